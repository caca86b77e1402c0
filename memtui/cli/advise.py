"""``memtui advise``: gives the advice, and says what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.cli import exitcode, targets
from memtui.cli.output import complain, print_json, print_table, reader_may_leave, short_name, shortlist
from memtui.cli.starting import before_acting
from memtui.cli.watching import Watching
from memtui.format import address_range, change, duration, safe, size, size_or_dash
from memtui.host.local import LocalHost
from memtui.model import wire
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.shutdown import CommandSignals

if TYPE_CHECKING:
    from memtui.host import Selection
    from memtui.model.plan import Plan
    from memtui.model.report import RangeReport, TargetReport


def run(arguments: argparse.Namespace) -> int:
    """Advise, print, and return the exit code."""
    wrong = targets.check(arguments)
    if wrong is not None:
        return wrong
    advice = Advice(arguments.advice)
    if arguments.thorough and advice is not Advice.PAGEOUT:
        return complain("--thorough goes with pageout only", exitcode.USAGE)
    with LocalHost(arguments.state_dir) as host, CommandSignals(host.release) as signals:
        for line in before_acting(host):
            complain(line)
        wanted, codes = targets.wanted_of(host, arguments)
        plan = _plan(host, arguments, wanted, signals)
        if plan is None:
            return complain("cancelled: nothing was advised", exitcode.CANCELLED)
        watching = Watching(host, arguments.watch, [item.target for item in wanted])
        reports = host.apply(plan, on_target=watching.begin, cancelled=signals.cancelled)
        if arguments.watch is not None:
            with reader_may_leave():
                if not arguments.json:
                    _print(reports, advice, as_json=False)
                watching.run(advice, reports, signals.cancelled, quiet=arguments.json)
    if arguments.watch is None or arguments.json:
        # JSON has what came back in it.
        with reader_may_leave():
            _print(reports, advice, arguments.json)
    codes.extend(exitcode.of_report(report) for report in reports)
    code = exitcode.of_all(codes)
    if code == exitcode.ALL and arguments.require_effect and not any(map(_moved, reports)):
        return exitcode.PART
    return code


def _plan(
    host: LocalHost, arguments: argparse.Namespace, wanted: Sequence[Selection], signals: CommandSignals
) -> Plan | None:
    """Return what is to be done; None where a signal came meanwhile."""
    try:
        plan = host.plan(
            Advice(arguments.advice),
            wanted,
            arguments.freeze,
            arguments.hold_ms,
            arguments.override_lockout,
            thorough=arguments.thorough,
            cancelled=signals.cancelled,
        )
    except MemtuiError as error:
        if error.reason is Reason.CANCELLED:
            return None
        raise
    return None if signals.came else plan


def _print(reports: Sequence[TargetReport], advice: Advice, as_json: bool) -> None:
    if as_json:
        print_json(wire.target_report(report, advice) for report in reports)
    for report in reports:
        if report.planned.blocked is not None or (as_json and _is_untold(report)):
            targets.complain_of(report.planned, report.reason, report.reason_text)
        elif not as_json:
            _print_report(report, advice)


def _is_untold(report: TargetReport) -> bool:
    """Whether something is to be said of the target as a whole that none of its ranges says."""
    return report.reason is not None and all(report.reason is not item.reason for item in report.ranges)


def _moved(report: TargetReport) -> bool:
    """Whether an effect was seen."""
    return any(item.outcome.value == "done" for item in report.ranges) or bool(report.moved_bytes)


def _print_report(report: TargetReport, advice: Advice) -> None:
    target = report.planned.process.pid
    held = "not held"
    if report.holds:
        held = f"held by {report.freeze.value} {duration(report.held_ms)} in {report.holds} goes"
        held = held.replace("in 1 goes", "in one go")
    print(f"{advice.value} on {target} {safe(report.planned.name)}: {report.outcome.value}, {held}")
    if report.reason_text:
        print(f"  {safe(report.reason_text)}")
    shown, rest = shortlist(report.ranges, _weight)
    rows = [_row(item, advice) for item in shown]
    print_table(
        ("REQUESTED", "FORECAST", "ADVISED", "MOVED", "RSS", "SWAP", "OUTCOME", "ADDRESS", "NAME", "WHY"),
        [*rows, _total(report, advice)],
        left=4,
    )
    if rest:
        print(f"  {rest}")
    for line in filter(None, (*report.told, report.bystanders)):
        print(f"  {safe(line)}")


def _weight(item: RangeReport) -> int:
    """Return how much a range should be seen: what was refused first, then by its size in RAM."""
    refused = item.planned.requested_bytes << 64 if item.outcome not in exitcode.TOOK else 0
    return refused + (item.moved_bytes or item.rss_before_bytes or 0)


def _row(item: RangeReport, advice: Advice) -> tuple[str, ...]:
    planned = item.planned
    return (
        size(planned.requested_bytes),
        size(planned.verdict.forecast_bytes),
        size(item.advised_bytes),
        _moved_cell(item, advice),
        change(item.rss_before_bytes, item.rss_after_bytes, planned.has_pages),
        change(item.swap_before_bytes, item.swap_after_bytes, planned.has_pages),
        item.outcome.value,
        address_range(planned.range.start, planned.range.end),
        short_name(planned.name),
        safe(_why(item)),
    )


def _why(item: RangeReport) -> str:
    why = " ".join(filter(None, (item.errno, item.reason_text)))
    # Without a reason the words of an outcome are what was seen.
    told = item.told if item.reason or not why else ""
    return "; ".join(filter(None, (why, told)))


def _total(report: TargetReport, advice: Advice) -> tuple[str, ...]:
    return (
        size(report.requested_bytes),
        size(report.planned.forecast_bytes),
        size(report.advised_bytes),
        _moved_cell(report, advice),
        change(report.held("rss_before_bytes"), report.held("rss_after_bytes")),
        change(report.held("swap_before_bytes"), report.held("swap_after_bytes")),
        report.outcome.value,
        "total",
        "",
        "",
    )


def _moved_cell(item: RangeReport | TargetReport, advice: Advice) -> str:
    return size_or_dash(item.moved_bytes, advice.can_have_moved(item.advised_bytes, item.moved_bytes))

"""``memtui advise``: gives the advice, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli import exitcode, targets
from memtui.cli.output import complain, print_json, reader_may_leave
from memtui.cli.starting import before_acting
from memtui.cli.watching import Watching
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.render import json_schema
from memtui.render.report_table import report_lines
from memtui.shutdown import CommandSignals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from memtui.host import Selection
    from memtui.model.plan import Plan
    from memtui.model.report import TargetReport


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
            arguments.allow_protected,
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
        print_json(json_schema.target_report(report, advice) for report in reports)
    for report in reports:
        if report.planned.blocked is not None or (as_json and _is_untold(report)):
            targets.complain_of(report.planned, report.reason, report.reason_text)
        elif not as_json:
            for line in report_lines(report, advice):
                print(line)


def _is_untold(report: TargetReport) -> bool:
    """Whether something is to be said of the target as a whole that none of its ranges says."""
    return report.reason is not None and all(report.reason is not item.reason for item in report.ranges)


def _moved(report: TargetReport) -> bool:
    """Whether an effect was seen."""
    return any(item.outcome.value == "done" for item in report.ranges) or bool(report.moved_bytes)

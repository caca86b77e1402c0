"""What came of a plan for one target, as ``memtui advise`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, address_range, change, count, duration, safe, size, size_or_dash
from memtui.render.effect import describe_range_effect, summary
from memtui.render.table import short_name, shortlist, table_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memtui.model.advice import Advice
    from memtui.model.report import RangeReport, TargetReport


def report_lines(report: TargetReport, advice: Advice) -> Iterator[SafeText]:
    """Yield what came of a target: how it was held, its ranges in a table, and the same in sentences."""
    target = report.planned.process.pid
    held = "not held"
    if report.holds:
        held = f"held by {report.freeze.value} {duration(report.held_ms)} in {count(report.holds, 'hold')}"
    yield SafeText(f"{advice.value} on {target} {safe(report.planned.name)}: {report.outcome.value}, {held}")
    if report.reason_text:
        yield SafeText(f"  {safe(report.reason_text)}")
    shown, rest = shortlist(report.ranges, _weight)
    rows = [_row(item, advice) for item in shown]
    table = table_lines(
        ("REQUESTED", "FORECAST", "ADVISED", "MOVED", "RSS", "SWAP", "OUTCOME", "ADDRESS", "NAME", "WHY"),
        [*rows, _total(report, advice)],
        left=4,
    )
    yield from map(SafeText, table)
    if rest:
        yield SafeText(f"  {rest}")
    for line in filter(None, (*summary(report, advice), report.bystanders)):
        yield SafeText(f"  {safe(line)}")


def _weight(item: RangeReport) -> int:
    """Return how much a range should be seen: what was refused first, then by its size in RAM."""
    refused = item.planned.requested_bytes << 64 if not item.outcome.was_taken else 0
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
        safe(_why(item, advice)),
    )


def _why(item: RangeReport, advice: Advice) -> str:
    why = " ".join(filter(None, (item.errno, item.reason_text)))
    # Without a reason the words of an outcome are what was seen.
    seen = describe_range_effect(item, advice) if item.reason or not why else ""
    return "; ".join(filter(None, (why, seen)))


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

"""The plan for one target, as ``memtui plan`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, address_range, safe, size
from memtui.render.advice import ADVICE_WORDS
from memtui.render.forecast import forecast_in_words, forecast_size
from memtui.render.reasons import rest_in_words
from memtui.render.table import short_name, shortlist, table_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memtui.model.plan import Plan, PlannedRange, TargetPlan


def plan_lines(plan: Plan, item: TargetPlan) -> Iterator[SafeText]:
    """Yield how a target would be held, its ranges in a table, and the forecast in a sentence."""
    held = f"will be held by {item.freeze.value}" if item.freeze.value != "off" else "not held"
    note = f" ({safe(item.freeze_reason)})" if item.freeze_reason else ""
    yield SafeText(f"{plan.advice.value} on {item.process.pid} {safe(item.name)}, {held}{note}")
    yield SafeText(f"  {ADVICE_WORDS[plan.advice].does}")
    shown, rest = shortlist(item.ranges, _weight)
    table = table_lines(
        ("REQUESTED", "FORECAST", "WILL", "ADDRESS", "NAME", "WHY"),
        [*(_row(part) for part in shown), _total(item)],
        left=4,
    )
    yield from map(SafeText, table)
    if rest:
        yield SafeText(f"  {rest}")
    yield SafeText(f"  {forecast_in_words(plan.advice, item)}")


def _weight(part: PlannedRange) -> tuple[int, int]:
    """Return how much a range should be seen: by what will come of it, then by its size."""
    return part.verdict.forecast_bytes or 0, part.requested_bytes


def _row(part: PlannedRange) -> tuple[str, ...]:
    return (
        size(part.requested_bytes),
        forecast_size(part.verdict),
        part.verdict.will.value,
        address_range(part.range.start, part.range.end),
        short_name(part.name),
        rest_in_words(part.verdict.reasons),
    )


def _total(item: TargetPlan) -> tuple[str, ...]:
    return (size(item.requested_bytes), size(item.forecast_bytes), "", "total", "", "")

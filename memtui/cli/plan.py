"""``memtui plan``: the forecast. Touches nothing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memtui.cli import exitcode, targets
from memtui.cli.output import print_json, print_table, short_name, shortlist
from memtui.cli.starting import state_dir_to_read, tell_left_held
from memtui.format import address_range, safe, size
from memtui.host.local import LocalHost
from memtui.model import wire
from memtui.model.advice import CATALOGUE, Advice
from memtui.model.foretold import forecast_in_words, forecast_size, rest_in_words

if TYPE_CHECKING:
    from memtui.model.plan import Plan, PlannedRange, TargetPlan


def run(arguments: argparse.Namespace) -> int:
    """Print what an advice would do."""
    wrong = targets.check(arguments)
    if wrong is not None:
        return wrong
    advice = Advice(arguments.advice)
    with LocalHost(state_dir_to_read(arguments)) as host:
        tell_left_held(host)
        wanted, codes = targets.wanted_of(host, arguments)
        plan = host.plan(advice, wanted, arguments.freeze)
    if arguments.json:
        print_json(wire.target_plan(plan, item) for item in plan.targets)
    for item in plan.targets:
        codes.append(_code(item))
        if not arguments.json and (item.blocked is None or item.ranges):
            _print_target(plan, item)
        if item.blocked is not None:
            targets.complain_of(item, item.blocked, item.blocked_text)
    return exitcode.of_all(codes)


def _code(item: TargetPlan) -> int:
    if item.blocked is not None:
        return exitcode.of_reason(item.blocked)
    return exitcode.ALL if item.ranges and all(part.goes for part in item.ranges) else exitcode.PART


def _print_target(plan: Plan, item: TargetPlan) -> None:
    held = f"will be held by {item.freeze.value}" if item.freeze.value != "off" else "not held"
    note = f" ({safe(item.freeze_reason)})" if item.freeze_reason else ""
    print(f"{plan.advice.value} on {item.process.pid} {safe(item.name)}, {held}{note}")
    print(f"  {CATALOGUE[plan.advice].does}")
    shown, rest = shortlist(item.ranges, _weight)
    print_table(
        ("REQUESTED", "FORECAST", "WILL", "ADDRESS", "NAME", "WHY"),
        [*(_row(part) for part in shown), _total(item)],
        left=4,
    )
    if rest:
        print(f"  {rest}")
    print(f"  {forecast_in_words(plan.advice, item)}")


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

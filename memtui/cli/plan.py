"""``memtui plan``: the forecast. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli import exitcode, targets
from memtui.cli.output import print_json
from memtui.cli.starting import state_dir_to_read, tell_left_held
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.render import json_schema
from memtui.render.plan_table import plan_lines

if TYPE_CHECKING:
    import argparse

    from memtui.model.plan import TargetPlan


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
        print_json(json_schema.target_plan(plan, item) for item in plan.targets)
    for item in plan.targets:
        codes.append(_code(item))
        if not arguments.json and (item.blocked is None or item.ranges):
            for line in plan_lines(plan, item):
                print(line)
        if item.blocked is not None:
            targets.complain_of(item, item.blocked, item.blocked_text)
    return exitcode.of_all(codes)


def _code(item: TargetPlan) -> int:
    if item.blocked is not None:
        return exitcode.of_reason(item.blocked)
    return exitcode.ALL if item.ranges and all(part.goes for part in item.ranges) else exitcode.PART

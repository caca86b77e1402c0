"""A plan is for the program that was looked at: after an exec it is dead, though the pid lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.filter import parse
from memtui.model.freeze import Freeze
from memtui.model.process import Liveness
from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from tests.kernel.toolkit import Child, smaps, total

if TYPE_CHECKING:
    from pathlib import Path


def test_plan_is_dead_after_an_exec_also_where_the_new_map_was_opened(tmp_path: Path) -> None:
    with Child() as child, LocalHost(tmp_path) as host:
        before = host.open(child.pid)
        # Heap and stack are known by name alone: the new program has them too.
        plan = host.plan(Advice.COLD, [Selection(before, select=parse("kind:heap,stack"))], Freeze.OFF)
        assert plan.requested_bytes > 0
        child.exec()
        after = host.open(child.pid)
        assert (before.standing(), after.standing()) == (Liveness.EXECED, Liveness.ALIVE)
        referenced = total(list(smaps(child.pid).values()), "referenced")
        (report,) = host.apply(plan)
        assert (report.outcome, report.reason) == (Outcome.GONE, Reason.EXECED)
        assert report.advised_bytes == report.calls == 0
        assert total(list(smaps(child.pid).values()), "referenced") >= referenced
        again = host.plan(Advice.COLD, [Selection(after, select=parse("kind:heap,stack"))], Freeze.OFF)
        assert host.apply(again)[0].advised_bytes == again.requested_bytes > 0


def test_two_users_of_one_target_share_it_until_both_let_go(tmp_path: Path) -> None:
    with Child() as child, LocalHost(tmp_path) as host:
        one, other = host.open(child.pid), host.open(child.pid)
        assert one is other
        one.release()
        assert other.standing() is Liveness.ALIVE
        assert len(other.look()) > 0

"""What every Host does, on the made-up one of the tests and on this machine: the fake must not be kinder."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from memtui.host import Host, RefaultEvent, Selection, Target
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess, Unusable
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark, Plan
from memtui.model.process import Liveness
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, Progress
from memtui.model.restore import Whose
from memtui.render.freeze import describe_choice
from tests.conftest import need
from tests.fakes import FakeHost
from tests.kernel.toolkit import MIB, Child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 32 * MIB
WAIT_S = 20.0
NO_PID = 2**22
KTHREADD = 2


@dataclass
class Machine:
    """A host and two of its processes, each with some private memory of SIZE and of 8 MiB."""

    host: Host
    pid: int
    other_pid: int

    def target(self, pid: int | None = None) -> Target:
        return self.host.open(self.pid if pid is None else pid)

    def plan(self, advice: Advice, *targets: Target) -> Plan:
        """Return a plan for the largest private mapping of each."""
        wanted = [Selection(target, (_largest(target),)) for target in targets]
        return self.host.plan(advice, wanted, Freeze.OFF)


def _largest(target: Target) -> Mark:
    space = target.look()
    rows = [row for row in space.rows() if row.vma.perms == "rw-p" and not row.vma.inode]
    chosen = max(rows, key=lambda row: row.rss_bytes or 0)
    return Mark(chosen.vma.range, chosen.vma.identity)


@pytest.fixture(params=["fake", pytest.param("this machine", marks=pytest.mark.kernel)])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine of each kind."""
    if request.param == "fake":
        host = FakeHost()
        yield Machine(host, 4242, 903)
        host.close()
        return
    need(os.geteuid() == 0, "the tests on the kernel need root")
    request.getfixturevalue("swap_file")
    with Child() as one, Child() as other, LocalHost(tmp_path / "state", journal_dir=tmp_path) as local:
        for child in (one, other):
            child.map(SIZE, fill=3)
        yield Machine(local, one.pid, other.pid)


def test_what_cannot_be_chosen_says_why(machine: Machine) -> None:
    with pytest.raises(NoSuchProcess) as gone:
        machine.host.open(NO_PID)
    assert gone.value.reason is Reason.NO_SUCH_PROCESS
    with pytest.raises(Unusable) as kernel:
        machine.host.open(KTHREADD)
    assert kernel.value.reason is Reason.KERNEL_THREAD


def test_a_target_is_counted_once_however_often_it_is_opened(machine: Machine) -> None:
    target = machine.target()
    assert machine.target() is target
    assert target.acquire()
    target.release()
    target.release()
    assert target.standing() is Liveness.ALIVE
    assert len(target.look()) > 0
    target.release()
    assert target.standing() is Liveness.CLOSED
    assert not target.acquire()
    with pytest.raises(MemtuiError) as closed:
        target.look()
    assert closed.value.reason is Reason.CANCELLED
    again = machine.target()
    assert again is not target
    assert again.process == target.process


def test_the_details_are_kept_and_stand_beside_the_live_numbers(machine: Machine) -> None:
    target = machine.target()
    space = target.look(details=True)
    assert space.process == target.process
    assert space.details
    assert len(space.rss_bytes or ()) == len(space.vmas)
    assert {row.vma.start for row in target.look().rows()} >= set(space.details)


def test_a_plan_touches_nothing_and_forecasts(machine: Machine) -> None:
    target = machine.target()
    before = target.look().rss_bytes
    plan = machine.plan(Advice.PAGEOUT, target)
    (planned,) = plan.targets
    assert (planned.process, planned.name, planned.blocked) == (target.process, target.name, None)
    (item,) = planned.ranges
    assert item.requested_bytes >= SIZE
    assert (item.verdict.forecast_bytes or 0) > 0
    assert target.look().rss_bytes == before


def test_a_plan_that_is_cancelled_raises(machine: Machine) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(MemtuiError) as raised:
        machine.host.plan(Advice.COLD, [Selection(machine.target())], Freeze.OFF, cancelled=cancelled)
    assert raised.value.reason is Reason.CANCELLED


def test_each_freeze_method_is_told_of(machine: Machine) -> None:
    choices = machine.host.freeze_choices(machine.target())
    assert {choice.method for choice in choices} == set(Freeze)
    assert all(describe_choice(choice) for choice in choices)
    assert next(choice for choice in choices if choice.method is Freeze.OFF).available


def test_targets_are_reported_in_turn_and_are_on_record(machine: Machine) -> None:
    first, second = machine.target(), machine.target(machine.other_pid)
    plan = machine.plan(Advice.COLD, first, second)
    told: list[object] = []
    progress: list[Progress] = []
    reports = machine.host.apply(plan, progress.append, told.append)
    assert list(reports) == told
    assert [report.planned for report in reports] == list(plan.targets)
    assert len({report.id for report in reports}) == 2
    assert progress
    assert all(report.advised_bytes >= SIZE or report.planned is plan.targets[1] for report in reports)
    assert all(report.moved_bytes is None for report in reports), "COLD moves nothing"
    history = machine.host.history()
    assert [entry.id for entry in history.entries] == [report.id for report in reports]
    last = machine.host.history(last=1)
    assert [entry.id for entry in last.entries] == [reports[1].id]
    assert not last.is_whole


def test_a_job_that_is_cancelled_before_it_begins_does_nothing(machine: Machine) -> None:
    cancelled = threading.Event()
    cancelled.set()
    plan = machine.plan(Advice.COLD, machine.target(), machine.target(machine.other_pid))
    reports = machine.host.apply(plan, cancelled=cancelled)
    for report in reports:
        assert (report.outcome, report.reason) == (Outcome.CANCELLED, Reason.CANCELLED)
        assert (report.calls, report.holds, report.advised_bytes) == (0, 0, 0)
        assert {item.outcome for item in report.ranges} == {Outcome.CANCELLED}
        assert report.reason_text == "cancelled before its turn"
    (again,) = machine.host.apply(machine.plan(Advice.COLD, machine.target()), cancelled=threading.Event())
    assert again.advised_bytes >= SIZE, "the next job has a token of its own"


def test_a_cancel_in_the_middle_leaves_out_what_was_not_begun(machine: Machine) -> None:
    cancelled = threading.Event()
    plan = machine.plan(Advice.COLD, machine.target(), machine.target(machine.other_pid))
    _, second = machine.host.apply(plan, on_target=lambda _: cancelled.set(), cancelled=cancelled)
    assert (second.outcome, second.calls) == (Outcome.CANCELLED, 0)


def test_nothing_is_begun_after_a_release(machine: Machine) -> None:
    plan = machine.plan(Advice.COLD, machine.target())
    machine.host.release()
    cancelled = threading.Event()
    (report,) = machine.host.apply(plan, cancelled=cancelled)
    assert (report.outcome, report.calls) == (Outcome.CANCELLED, 0)
    assert cancelled.is_set()


def test_two_jobs_never_overlap(machine: Machine) -> None:
    first = machine.plan(Advice.COLD, machine.target())
    second = machine.plan(Advice.COLD, machine.target(machine.other_pid))
    going, go_on, order = threading.Event(), threading.Event(), list[str]()

    def hold(_progress: Progress) -> None:
        going.set()
        assert go_on.wait(WAIT_S)

    def run(plan: Plan, name: str, on_progress: object) -> None:
        machine.host.apply(plan, on_progress, lambda _: order.append(name))  # type: ignore[arg-type]

    threads = [threading.Thread(target=run, args=(first, "first", hold))]
    threads[0].start()
    assert going.wait(WAIT_S)
    threads.append(threading.Thread(target=run, args=(second, "second", None)))
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert order == ["first", "second"]


def test_a_plan_for_a_target_that_was_released_finds_it_gone(machine: Machine) -> None:
    target = machine.target()
    plan = machine.plan(Advice.COLD, target)
    target.release()
    (report,) = machine.host.apply(plan)
    assert (report.outcome, report.reason, report.calls) == (Outcome.GONE, Reason.EXITED, 0)


def test_what_was_paged_out_is_monitored_and_put_back(machine: Machine) -> None:
    target = machine.target()
    (report,) = machine.host.apply(machine.plan(Advice.PAGEOUT, target))
    target.release()
    assert target.standing() is Liveness.ALIVE, "the monitor has a share"
    assert report.pages_seen
    assert (report.moved_bytes or 0) > 0
    assert report.moved_pages == (), "who keeps reports need not keep the pages"
    events: list[RefaultEvent] = []
    came = threading.Event()

    def tell(event: RefaultEvent) -> None:
        events.append(event)
        came.set()

    machine.host.refaults.follow(report.id, {0.01: True, 30.0: True}, tell)
    assert came.wait(WAIT_S)
    assert (events[0].report_id, events[0].recorded, events[0].is_last) == (report.id, True, False)
    assert events[0].sample is not None
    assert events[0].sample.back_bytes is not None
    (planned,) = machine.host.plan_restore(report.id)
    assert (planned.id, planned.blocked, planned.moved_bytes) == (report.id, None, report.moved_bytes)
    assert (planned.wanted_bytes or 0) > 0
    (again,) = machine.host.plan_restore()
    assert again.id == report.id, "without an id it is the last of this session"
    (restored,) = machine.host.restore((planned,))
    assert (restored.outcome, restored.still_out_bytes) == (Outcome.DONE, 0)
    assert target.standing() is Liveness.CLOSED, "what was put back is monitored no more"
    (entry,) = machine.host.history().entries
    assert entry.restored_bytes == restored.restored_bytes
    (nothing,) = machine.host.plan_restore(report.id)
    assert (nothing.blocked, nothing.wanted_bytes) == (Reason.ALL_BACK, 0)
    (refused,) = machine.host.restore((nothing,))
    assert (refused.outcome, refused.reason) == (Outcome.NO_EFFECT, Reason.ALL_BACK)
    assert refused.restored_bytes == 0
    assert not machine.host.refaults.unfollow(report.id)


def test_a_restore_that_is_cancelled_before_it_begins_does_nothing(machine: Machine) -> None:
    (report,) = machine.host.apply(machine.plan(Advice.PAGEOUT, machine.target()))
    cancelled = threading.Event()
    cancelled.set()
    plans = machine.host.plan_restore(report.id)
    (restored,) = machine.host.restore(plans, cancelled=cancelled)
    assert (restored.outcome, restored.reason) == (Outcome.CANCELLED, Reason.CANCELLED)
    assert restored.restored_bytes == 0
    (restored,) = machine.host.restore(plans)
    assert restored.outcome is Outcome.DONE


def test_an_action_that_is_not_on_record_cannot_be_put_back(machine: Machine) -> None:
    with pytest.raises(MemtuiError) as raised:
        machine.host.plan_restore("no such action", whose=Whose.SESSION)
    assert raised.value.reason is Reason.NO_SUCH_ACTION
    with pytest.raises(MemtuiError) as raised:
        machine.host.plan_restore()
    assert raised.value.reason is Reason.NO_SUCH_ACTION


def test_a_search_for_those_who_map_a_file_can_be_cancelled(machine: Machine) -> None:
    target = machine.target()
    row = next(row for row in target.look().rows() if row.vma.inode)
    assert machine.host.mappers(target, row).unreadable >= 0
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(MemtuiError) as raised:
        machine.host.mappers(target, row, cancelled=cancelled)
    assert raised.value.reason is Reason.CANCELLED


def test_closing_it_closes_every_target(machine: Machine) -> None:
    target = machine.target()
    machine.host.close()
    assert target.standing() is Liveness.CLOSED
    assert not target.acquire()
    target.release()

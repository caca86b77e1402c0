"""The threads: what the sampler reads and when, what the executor runs, on a host that counts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

import pytest
from textual.message import Message

from memtui.host import Selection, refault_monitor
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.process import Process
from memtui.model.reasons import Reason
from memtui.ui.messages import (
    LookedBack,
    MachineRead,
    MapLost,
    MapRead,
    PidFound,
    ProcessesRead,
    RunEnded,
    Said,
    TargetDone,
)
from memtui.ui.workers.plan_executor import PlanExecutor
from memtui.ui.workers.sampler import Beat, ChosenMap, Sampler
from tests.fakes import FakeHost, FakeTarget, process_id, vma

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

M = TypeVar("M", bound=Message)
WAIT_S = 10.0


class Inbox:
    """What a thread posted."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._came = threading.Condition()

    def post(self, message: Message) -> None:
        with self._came:
            self.messages.append(message)
            self._came.notify_all()

    def of(self, kind: type[M]) -> list[M]:
        return [item for item in self.messages if isinstance(item, kind)]

    def wait(self, condition: Callable[[], object]) -> None:
        with self._came:
            assert self._came.wait_for(condition, WAIT_S), self.messages


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def sampler(host: FakeHost, inbox: Inbox) -> Iterator[Sampler]:
    made = Sampler(host, inbox.post, 0.05)
    made.start()
    yield made
    made.stop()
    made.join(WAIT_S)
    assert not made.is_alive()


def test_the_sampler_reads_the_machine_the_list_and_the_chosen_map(
    sampler: Sampler, inbox: Inbox, host: FakeHost
) -> None:
    inbox.wait(lambda: inbox.of(MachineRead) and inbox.of(ProcessesRead))
    assert not inbox.of(MapRead)
    sampler.choose(process_id(4242))
    inbox.wait(lambda: len(inbox.of(MapRead)) >= 3)
    assert host.targets[0].looks[:3] == [False, True, False]
    first, second = inbox.of(MapRead)[:2]
    assert first.view.space.vmas is second.view.space.vmas


def test_another_choice_closes_the_handle_of_the_first(
    sampler: Sampler, inbox: Inbox, host: FakeHost
) -> None:
    sampler.choose(process_id(4242))
    inbox.wait(lambda: inbox.of(MapRead))
    sampler.choose(process_id(903))
    inbox.wait(lambda: any(item.wanted.pid == 903 for item in inbox.of(MapRead)))
    assert [target.closed for target in host.targets] == [1, 0]
    sampler.choose(None)
    inbox.wait(lambda: host.targets[1].closed or len(inbox.messages) > 500)
    assert host.targets[1].closed == 1


def test_a_handle_with_marks_outlives_the_choice(sampler: Sampler, inbox: Inbox, host: FakeHost) -> None:
    sampler.choose(process_id(4242))
    inbox.wait(lambda: inbox.of(MapRead))
    assert host.targets[0].acquire()
    sampler.choose(process_id(903))
    inbox.wait(lambda: any(item.wanted.pid == 903 for item in inbox.of(MapRead)))
    assert host.targets[0].closed == 0
    host.targets[0].release()
    assert host.targets[0].closed == 1


def test_a_target_that_execs_is_lost_with_its_reason_and_can_be_chosen_anew(
    sampler: Sampler, inbox: Inbox, host: FakeHost
) -> None:
    sampler.choose(process_id(4242))
    inbox.wait(lambda: inbox.of(MapRead))
    host.targets[0].look_error = NoSuchProcess(Reason.EXECED, "process 4242")
    inbox.wait(lambda: inbox.of(MapLost))
    assert "runs another program now" in inbox.of(MapLost)[0].words
    assert inbox.of(MapLost)[0].map_is_dead
    assert host.targets[0].closed == 1
    reads = len(inbox.of(MapRead))
    sampler.choose(process_id(4242))
    inbox.wait(lambda: len(inbox.of(MapRead)) > reads)


def test_a_reused_pid_is_not_taken_for_the_process(sampler: Sampler, inbox: Inbox, host: FakeHost) -> None:
    other = process_id(4242)
    wanted = type(other)(other.pid, other.start_time - 1, other.boot_id)
    sampler.choose(wanted)
    inbox.wait(lambda: inbox.of(MapLost))
    assert "its pid is another's now" in inbox.of(MapLost)[0].words
    assert host.targets[0].closed == 1


def test_a_pid_of_the_command_line_is_found_or_not(sampler: Sampler, inbox: Inbox, host: FakeHost) -> None:
    sampler.find(4242)
    inbox.wait(lambda: inbox.of(PidFound))
    assert (inbox.of(PidFound)[0].process, host.targets[0].closed) == (process_id(4242), 1)
    # Its map comes without anybody choosing it.
    inbox.wait(lambda: inbox.of(MapRead))
    assert inbox.of(MapRead)[0].wanted == process_id(4242)
    sampler.find(99_999)
    inbox.wait(lambda: len(inbox.of(PidFound)) == 2)
    assert "no such process" in inbox.of(PidFound)[1].words


def test_a_reading_that_breaks_does_not_end_the_sampler(inbox: Inbox) -> None:
    class Broken(FakeHost):
        def processes(self) -> list[Process]:
            raise ValueError("[/x] unforeseen")

    sampler = Sampler(Broken(), inbox.post, 0.05)
    sampler.start()
    try:
        inbox.wait(lambda: len(inbox.of(Said)) >= 2 and len(inbox.of(MachineRead)) >= 2)
        assert inbox.of(Said)[0].words == "ValueError: [/x] unforeseen"
    finally:
        sampler.stop()
        sampler.join(WAIT_S)


def test_dear_readings_stretch_the_beat(inbox: Inbox) -> None:
    class Dear(FakeHost):
        def machine(self):  # type: ignore[no-untyped-def]
            time.sleep(0.02)
            return super().machine()

    sampler = Sampler(Dear(), inbox.post, 0.05)
    sampler.start()
    try:
        inbox.wait(lambda: len(inbox.of(MachineRead)) >= 3)
        assert inbox.of(MachineRead)[2].period_s >= 0.2
    finally:
        sampler.stop()
        sampler.join(WAIT_S)


def test_one_dear_reading_does_not_stretch_the_beat() -> None:
    beat = Beat(1.0)
    for cost_s, period_s in ((5.0, 1.0), (0.01, 1.0), (5.0, 1.0), (0.3, 1.0), (0.3, 3.0), (0.2, 2.0)):
        beat.done(10.0, 10.0 + cost_s)
        assert beat.period_s == pytest.approx(period_s)
    assert beat.next == pytest.approx(12.0)
    beat.done(10.0, 15.0)
    assert beat.next > 15.0


@pytest.mark.parametrize(
    ("cost_ms", "looks"), [(20.0, [False, True, False, True]), (150.0, [False, True, False, False])]
)
def test_details_are_read_every_ten_seconds_where_they_are_cheap(cost_ms: float, looks: list[bool]) -> None:
    target = FakeHost().open(4242)
    target.cost_ms = cost_ms
    chosen = ChosenMap(process_id(4242), target)
    for now in (0.0, 0.1, 5.0, 11.0):
        chosen.look(now)
    assert target.looks == looks


def test_what_is_on_the_screen_is_looked_at_more_often_than_the_rest() -> None:
    target = FakeHost().open(4242)
    chosen = ChosenMap(process_id(4242), target)
    for now in (0.0, 1.0, 4.9, 5.0, 6.0):
        chosen.look(now, [0x1000])
    chosen.look(6.5)
    chosen.look(11.0, [0x2000])
    assert target.looked_at == [None, [0x1000], [0x1000], None, [0x1000], None, [0x2000]]


def test_a_layout_that_changed_is_a_new_tuple() -> None:
    target = FakeHost().open(4242)
    chosen = ChosenMap(process_id(4242), target)
    first = chosen.look(0.0).space
    assert chosen.look(1.0).space.vmas is first.vmas
    target.vmas.append(vma(0x7FFF_0000_0000, 4096))
    assert len(chosen.look(2.0).space) == len(first) + 1


@pytest.fixture
def executor(host: FakeHost, inbox: Inbox) -> Iterator[PlanExecutor]:
    made = PlanExecutor(host, inbox.post)
    made.start()
    yield made
    made.stop()
    made.join(WAIT_S)
    assert not made.is_alive()


def planned(host: FakeHost, pid: int = 4242) -> tuple[object, tuple[FakeTarget]]:
    target = host.open(pid)
    return host.plan(Advice.PAGEOUT, [Selection(target)]), (target,)


def test_plans_run_one_after_another_and_give_their_handles_back(
    executor: PlanExecutor, host: FakeHost, inbox: Inbox
) -> None:
    for pid in (4242, 811, 903):
        executor.submit(*planned(host, pid))  # type: ignore[arg-type]
    inbox.wait(lambda: len(inbox.of(RunEnded)) == 3)
    kinds = [type(item).__name__ for item in inbox.messages if type(item).__name__ != "RunProgressed"]
    assert kinds == ["RunStarted", "TargetDone", "RunEnded"] * 3
    assert [target.closed for target in host.targets] == [0, 0, 0], "what was moved is monitored"
    host.close()
    assert [target.closed for target in host.targets] == [1, 1, 1]
    assert len(inbox.of(TargetDone)) == 3


def test_a_cancel_before_the_host_has_begun_is_not_lost(inbox: Inbox) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(FakeHost):
        def apply(self, *given, **more):  # type: ignore[no-untyped-def]
            begun.set()
            assert go.wait(WAIT_S)
            return super().apply(*given, **more)

    host = Slow()
    executor = PlanExecutor(host, inbox.post)
    executor.start()
    try:
        executor.submit(*planned(host))  # type: ignore[arg-type]
        assert begun.wait(WAIT_S)
        executor.cancel()
        go.set()
        inbox.wait(lambda: inbox.of(RunEnded))
        report = inbox.of(TargetDone)[0].report
        assert {item.outcome.value for item in report.ranges} == {"cancelled"}
    finally:
        executor.stop()
        executor.join(WAIT_S)


def test_an_error_of_the_host_is_told_and_the_handles_are_given_back(
    executor: PlanExecutor, host: FakeHost, inbox: Inbox
) -> None:
    host.apply_error = MemtuiError(Reason.NO_SYS_NICE, "process 4242")
    executor.submit(*planned(host))  # type: ignore[arg-type]
    inbox.wait(lambda: inbox.of(RunEnded))
    assert inbox.of(RunEnded)[0].words.startswith("process 4242: advising other processes")
    assert host.targets[0].closed == 1


def test_stopping_throws_the_queue_away(host: FakeHost, inbox: Inbox) -> None:
    host.gate = threading.Event()
    executor = PlanExecutor(host, inbox.post)
    executor.start()
    for pid in (4242, 811, 903):
        executor.submit(*planned(host, pid))  # type: ignore[arg-type]
    inbox.wait(lambda: host.calls.count("apply pageout") == 1 and len(inbox.messages) > 1)
    executor.stop()
    host.gate.set()
    executor.join(WAIT_S)
    assert not executor.is_alive()
    assert host.calls.count("apply pageout") == 1
    assert [target.closed for target in host.targets] == [1, 1, 1]


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the host's monitor, whose checks the test makes."""
    monkeypatch.setattr(refault_monitor, "start_thread", lambda _thread: None)
    made = Clock()
    host.clock = made
    return made


def follow(executor: PlanExecutor, host: FakeHost, inbox: Inbox) -> None:
    """Apply a plan, whose report is ``1-0``."""
    executor.start()
    executor.submit(*planned(host))  # type: ignore[arg-type]
    inbox.wait(lambda: inbox.of(RunEnded))


@pytest.fixture
def following(host: FakeHost, inbox: Inbox, clock: Clock) -> Iterator[PlanExecutor]:
    """An executor that has applied a plan, and follows what it moved."""
    made = PlanExecutor(host, inbox.post, follows=True)
    follow(made, host, inbox)
    yield made
    made.stop()
    made.join(WAIT_S)


@pytest.mark.usefixtures("following")
def test_the_screen_has_it_checked_each_second_then_every_five_and_keeps_three(
    host: FakeHost, clock: Clock, inbox: Inbox
) -> None:
    looked, kept = [], []
    for tenth in range(700):
        clock.now = 100.0 + tenth / 10
        before = len(host.looks)
        host.refaults.check_due()
        if len(host.looks) > before:
            looked.append(tenth / 10)
            kept += [tenth / 10] if host.looks[-1][1] else []
    assert looked == [*range(1, 11), *range(15, 61, 5)]
    assert kept == [1, 10, 60]
    assert [item.kept for item in inbox.of(LookedBack)].count(True) == 3


@pytest.mark.usefixtures("following")
def test_a_check_that_was_missed_is_not_made_up_for_but_the_record_is(host: FakeHost, clock: Clock) -> None:
    clock.now += 30
    host.refaults.check_due()
    clock.now += 5
    host.refaults.check_due()
    assert host.looks == [("1-0", True), ("1-0", False)]


@pytest.mark.usefixtures("following")
def test_a_check_that_breaks_is_told_once_and_does_not_end_the_monitor(
    host: FakeHost, clock: Clock, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_id: str, **_more: object) -> None:
        raise OSError(5, "[/x]")

    monkeypatch.setattr(host.refaults, "check", broken)
    for _ in range(3):
        clock.now += 1
        host.refaults.check_due()
    assert len(inbox.of(Said)) == 1
    assert inbox.of(Said)[0].bad


@pytest.mark.usefixtures("following")
def test_a_check_that_could_not_be_recorded_is_told(host: FakeHost, clock: Clock, inbox: Inbox) -> None:
    host.unrecorded_now = "the ledger cannot be written: No space left on device"
    for _ in range(3):
        clock.now += 1
        host.refaults.check_due()
    (said,) = (item.words for item in inbox.of(Said))
    assert said.startswith(f"checking for refaults: {host.unrecorded_now}"), "only one was to be recorded"


def test_the_clock_of_the_checks_begins_where_the_plan_runs(
    following: PlanExecutor, host: FakeHost, clock: Clock
) -> None:
    """Not where a message is read: the screen may be busy."""
    assert following.is_alive()
    clock.now += 1
    host.refaults.check_due()
    assert host.looks == [("1-0", True)]


def test_it_is_followed_until_something_was_put_back(
    following: PlanExecutor, host: FakeHost, inbox: Inbox, clock: Clock
) -> None:
    (plan,) = host.plan_restore("1-0")
    for number, blocked in enumerate((Reason.NO_ATTACH, None), 2):
        following.submit_restore((plan._replace(blocked=blocked),))
        inbox.wait(lambda count=number: len(inbox.of(RunEnded)) == count)
        clock.now += 1
        host.refaults.check_due()
        assert len(host.looks) == 1, "where nothing could be put back, it is looked on"


def test_checks_are_made_without_being_asked_for(host: FakeHost, inbox: Inbox) -> None:
    executor = PlanExecutor(host, inbox.post, follows=True)
    follow(executor, host, inbox)
    inbox.wait(lambda: inbox.of(LookedBack))
    assert host.looks == [("1-0", True)]
    host.close()
    executor.stop()
    executor.join(WAIT_S)

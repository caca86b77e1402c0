"""Checks for refaults: when they are made, what they hold up, and what is told of them."""

from __future__ import annotations

import threading
import time
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from memtui.advise.ledger import Ledger
from memtui.cli import watching as watching_module
from memtui.cli.watching import Watching
from memtui.host import Host, RefaultEvent, Selection, Target, refault_monitor
from memtui.host.refault_monitor import RefaultMonitor
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import RefaultSample, RefaultVerdict, TargetReport, refault_verdict
from tests.fakes import FakeHost, FakeLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAIT_S = 10.0


def reports_of(*pids: int) -> tuple[TargetReport, ...]:
    """Return made-up reports of a pageout that moved something."""
    host = FakeHost()
    return host.apply(host.plan(Advice.PAGEOUT, [Selection(host.open(pid)) for pid in pids]))


class Looking(RefaultMonitor):
    """A monitor whose checks find what the test says. ``gate`` holds them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(cast("Ledger", FakeLedger(FakeHost())), clock)
        self.looked: list[str] = []
        self.gate: threading.Event | None = None
        self.error: Exception | None = None
        self.warning: str | None = None
        self.restored: set[str] = set()
        self.unknown: set[str] = set()
        self.came = threading.Condition()

    def check(self, report_id: str, *, record: bool = False) -> RefaultSample | None:
        assert record
        with self.came:
            self.looked.append(report_id)
            self.came.notify_all()
        if report_id in self.unknown:
            return None
        if self.gate is not None:
            assert self.gate.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        return RefaultSample(1.0, 0, 0, 0.0, self.warning) if report_id not in self.restored else None

    def was_restored(self, report_id: str) -> bool:
        return report_id in self.restored

    def wait(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.looked) >= count, WAIT_S)


def watching(looking: Looking, for_s: float) -> Watching:
    return Watching(cast("Host", SimpleNamespace(refaults=looking)), for_s, [])


def run(watch: Watching, reports: tuple[TargetReport, ...], *, came: bool = False) -> None:
    cancelled = threading.Event()
    if came:
        cancelled.set()
    watch.run(Advice.PAGEOUT, reports, cancelled, quiet=False)


def test_the_command_looks_at_the_first_target_while_the_plan_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    host = Looking()
    reports = reports_of(4242, 811)
    watch = watching(host, 0.01)
    watch.begin(reports[0])
    host.wait(1)
    assert host.looked == [reports[0].id]
    assert capsys.readouterr().out == "", "the reports are printed first"
    watch.begin(reports[1])
    run(watch, reports)
    assert host.looked == [report.id for report in reports]
    assert [len(report.back) for report in reports] == [1, 1]
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["4242", "811"]


def test_a_look_that_comes_when_the_next_is_due_counts_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching_module, "RECORDED_CHECKS_S", (0.01, 0.02))
    host, (report,) = Looking(), reports_of(4242)
    watch = watching(host, 0.05)
    with host._wake:
        watch.begin(report)
        time.sleep(0.06)  # All three are due before the thread comes to look.
    run(watch, (report,))
    assert len(report.back) == 1


def test_a_signal_ends_the_looks_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    host, (report,) = Looking(), reports_of(4242)
    watch = watching(host, 60.0)
    watch.begin(report)
    before = time.monotonic()
    run(watch, (report,), came=True)
    assert time.monotonic() - before < 0.8
    assert capsys.readouterr().err == "memtui: --watch was ended early\n"
    assert (report.back, host.looked) == ([], [])


def test_a_check_under_way_ends_before_a_signal_ends_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    host, (report,) = Looking(), reports_of(4242)
    host.gate = threading.Event()
    watch = watching(host, 0.01)
    watch.begin(report)
    host.wait(1)
    threading.Timer(0.3, host.gate.set).start()
    run(watch, (report,), came=True)
    told = capsys.readouterr()
    assert "resident again" in told.out
    assert told.err == "memtui: --watch was ended early\n"
    assert len(report.back) == 1


def test_an_error_of_a_look_and_what_is_not_on_record_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    host, reports = Looking(), reports_of(4242, 811)
    host.warning = "the ledger cannot be written: No space left on device"
    watch = watching(host, 0.01)
    for report in reports:
        watch.begin(report)
    run(watch, reports)
    assert capsys.readouterr().err == "memtui: the ledger cannot be written: No space left on device\n"
    host.error = MemtuiError(Reason.FAILED, "process 4242")
    watch = watching(host, 0.01)
    watch.begin(reports[0])
    with pytest.raises(MemtuiError, match="process 4242"):
        run(watch, reports)


def test_what_another_restored_is_said_to_be_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    host, (report,) = Looking(), reports_of(4242)
    host.restored.add(report.id)
    watch = watching(host, 0.01)
    watch.begin(report)
    run(watch, (report,))
    told = "was restored meanwhile: what is resident again was put back"
    assert capsys.readouterr().err == f"memtui: --watch: {report.id} {told}\n"


def test_what_moved_unseen_is_not_said_to_have_stayed(capsys: pytest.CaptureFixture[str]) -> None:
    host, (report,) = Looking(), reports_of(4242)
    report.pages_seen = False
    watch = watching(host, 0.01)
    watch.begin(report)
    run(watch, (report,))
    assert "process 4242: which pages left RAM could not be seen" in capsys.readouterr().err
    report.moved_bytes = 0
    run(watch, (report,))
    assert "nothing left RAM" in capsys.readouterr().err


class SlowCounter:
    """A counter that takes as long as the test wants."""

    def __init__(self) -> None:
        self.age_s = 1.0
        self.in_look = threading.Event()
        self.go_on = threading.Event()

    def count(self) -> RefaultSample:
        self.in_look.set()
        assert self.go_on.wait(WAIT_S)
        return RefaultSample(self.age_s, 4096, 0)


class Stage:
    """A monitor whose counters are slow, and what it let go of."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder / "state")
        self.let_go: list[object] = []
        self.under_test = RefaultMonitor(self.ledger)
        self.reports = reports_of(4242, 811)
        for report in self.reports:
            report.moved_pages = (Range(0, 4096),)
        self.targets = [SimpleNamespace(handle=None) for _ in self.reports]
        for target in self.targets:
            target.release = partial(self.let_go.append, target)

    def watch(self, number: int) -> SlowCounter:
        counter = SlowCounter()
        self.under_test.keep(self.reports[number].id, counter, cast("Target", self.targets[number]))
        return counter

    def begin_look(self, number: int) -> tuple[threading.Thread, list[RefaultSample | None]]:
        found: list[RefaultSample | None] = []

        def look() -> None:
            found.append(self.under_test.check(self.reports[number].id, record=True))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        return thread, found


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def at_once(what: Callable[[], object]) -> None:
    """Fail if something waits."""
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    thread.join(2.0)
    assert not thread.is_alive(), "it waits for the look"


def test_a_slow_look_holds_up_neither_the_next_target_nor_the_end(stage: Stage) -> None:
    in_use: list[object] = []
    slow = stage.watch(0)
    thread, found = stage.begin_look(0)
    assert slow.in_look.wait(WAIT_S)
    at_once(lambda: stage.watch(1))
    at_once(lambda: stage.under_test.close(in_use.extend))
    assert in_use == [stage.targets[0]]
    assert stage.let_go == [stage.targets[1]], "the one that is being looked at is in use"
    slow.go_on.set()
    thread.join(WAIT_S)
    assert stage.let_go == [stage.targets[1], stage.targets[0]]
    assert found == [None]
    assert stage.ledger.read() == ([], 0)


def test_a_look_during_which_a_restore_began_says_nothing(stage: Stage) -> None:
    slow = stage.watch(0)
    thread, found = stage.begin_look(0)
    assert slow.in_look.wait(WAIT_S)
    stage.under_test.end(stage.reports[0].id)
    assert stage.let_go == []
    in_use: list[object] = []
    stage.under_test.close(in_use.extend)
    assert in_use == [stage.targets[0]]
    slow.go_on.set()
    thread.join(WAIT_S)
    assert found == [None]
    assert stage.let_go == [stage.targets[0]]
    assert stage.ledger.read() == ([], 0)


@pytest.mark.parametrize(("restored_bytes", "was"), [(4096, True), (None, True), (0, False)])
def test_what_anybody_put_back_is_known_from_the_ledger(
    stage: Stage, restored_bytes: int | None, was: bool
) -> None:
    """Another memtui's, also once nothing is watched any more."""
    others = Ledger(stage.ledger.path.parent)
    mine, another = (report.id for report in stage.reports)
    assert not stage.under_test.was_restored(mine)
    others.write("restored", {"id": mine, "restored_bytes": restored_bytes})
    assert stage.under_test.was_restored(mine) is was
    assert not stage.under_test.was_restored(another)
    assert stage.under_test.was_restored(mine) is was, "it is remembered"


def test_each_look_has_its_own_warning(stage: Stage) -> None:
    stage.watch(0).go_on.set()
    look, of = stage.under_test.check, stage.reports[0].id
    stage.ledger.path.mkdir(parents=True)
    first = look(of, record=True)
    assert look(of) == RefaultSample(1.0, 4096, 0), "what was not to be recorded was recorded"
    stage.ledger.path.rmdir()
    second = look(of, record=True)
    assert first is not None
    assert second is not None
    assert first.warning is not None
    assert first.warning.startswith("the ledger cannot be written: ")
    assert second.warning is None
    assert [event.kind for event in stage.ledger.read()[0]] == ["back"]


def test_the_watch_ends_after_the_last_look_that_is_kept_or_twice_the_time(stage: Stage) -> None:
    slow = stage.watch(0)
    slow.go_on.set()
    watched = stage.under_test._monitored[stage.reports[0].id]
    look, of = stage.under_test.check, stage.reports[0].id
    slow.age_s = 60.0
    assert watched.left_s() == 5
    slow.age_s = 70.0
    assert watched.left_s() == 55, "no look after 60 s is on record"
    assert look(of) is not None
    assert watched.left_s() == 55
    assert look(of, record=True) is not None
    assert look(of) is None
    assert stage.let_go == [stage.targets[0]]
    slow = stage.watch(1)
    slow.age_s = 126.0
    stage.under_test.check_due()
    assert stage.let_go == stage.targets
    stage.under_test.close(lambda _in_use: None)


@pytest.mark.parametrize(
    ("after_s", "back_bytes", "said"),
    [
        (1.0, 0, RefaultVerdict.SO_FAR),
        (59.9, 5, RefaultVerdict.SO_FAR),
        (60.0, 5, RefaultVerdict.OUT),
        (60.0, 6, RefaultVerdict.PARTLY),
        (1.0, 50, RefaultVerdict.BACK),
        (1.0, None, None),
    ],
)
def test_what_is_out_has_stayed_out_only_when_the_watch_is_over(
    after_s: float, back_bytes: int | None, said: RefaultVerdict | None
) -> None:
    assert refault_verdict(100, RefaultSample(after_s, back_bytes, 0)) is said
    assert refault_verdict(0, RefaultSample(after_s, back_bytes, 0)) is None


class Told:
    """What a monitor told, and a clock of the test's for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[RefaultEvent] = []
        self.monitor = Looking(lambda: self.now)

    def after(self, seconds: float) -> list[RefaultEvent]:
        """Let time go by; return what is told then."""
        self.now += seconds
        before = len(self.events)
        self.monitor.check_due()
        return self.events[before:]

    def follow(self, *names: str) -> None:
        for name in names:
            self.monitor.follow(name, {1.0: True, 2.0: True, 10.0: True}, self.events.append)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(refault_monitor, "start_thread", lambda _thread: None)
    return Told()


def test_what_is_kept_no_more_or_was_put_back_is_checked_no_more(told: Told) -> None:
    told.monitor.unknown.add("other")
    told.follow("1-0", "other")
    first, other = told.after(1)
    assert (first.sample is not None, first.is_last) == (True, False)
    assert (other.sample, other.was_restored, other.is_last) == (None, False, True)
    assert [event.report_id for event in told.after(1)] == ["1-0"]
    assert told.monitor.unfollow("1-0") is False
    assert told.after(20) == []


def test_a_restore_by_another_is_told_once_and_also_after_the_last_check(told: Told) -> None:
    told.follow("1-0")
    assert [event.is_last for event in told.after(11)] == [True]
    assert told.after(60) == []
    told.monitor.restored.add("1-0")
    assert [event.was_restored for event in told.after(5)] == [True]
    assert told.after(60) == []


def test_an_error_of_the_system_does_not_end_the_checks_and_an_unforeseen_one_does(told: Told) -> None:
    told.follow("1-0")
    told.monitor.error = MemtuiError(Reason.FAILED, "process 1")
    assert [(event.error, event.is_last) for event in told.after(1)] == [(told.monitor.error, False)]
    told.monitor.error = OSError(5, "[/x]")
    assert [(event.error, event.is_last) for event in told.after(1)] == [(told.monitor.error, True)]
    assert told.after(20) == []


def test_a_check_that_is_stuck_keeps_nothing_alive() -> None:
    monitor = Looking()
    monitor.gate = threading.Event()
    monitor.follow("1-0", {0.0: True}, lambda _event: None)
    monitor.wait(1)
    thread = monitor._thread
    assert thread is not None
    assert thread.daemon
    at_once(lambda: monitor.close(lambda _in_use: None))
    monitor.gate.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()

"""Whatever is killed, and whenever: the target is as before, and nobody and nothing is left of ours.

A kill of the engine or of the guard is made good within a second by the other one. After a kill of both
at once a ptrace hold is over by itself, and the next start makes the others good. MEMTUI_FAULT_RUNS says
how many runs there are (`make faults`: 1,000).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest

from memtui.freeze.guard import STOPPING_POINTS
from memtui.freeze.recovery import replay
from memtui.host.left_held import default_journal_dir
from memtui.linux.cgroup import group_at, path_of
from memtui.linux.procfs import read_stat
from memtui.model.errors import NoSuchProcess
from memtui.model.freeze import Freeze, ThawOutcome
from tests.kernel.children import FreezeTarget, freeze_engine_command, freeze_wait
from tests.kernel.toolkit import memtui, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENGINE = """
import os, pathlib, subprocess, sys, threading, time
from memtui.freeze import protocol
from memtui.freeze.client import FreezeError, Guard
from memtui.freeze.guard import STOPPING_POINTS
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId


def say(*words):
    # One write a line: two threads speak here.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())


pid, stop_at, extra = int(sys.argv[1]), sys.argv[2], sys.argv[3]
parent = int(sys.argv[6])
method, journals = Freeze(sys.argv[4]), pathlib.Path(sys.argv[5])
process = ProcessId(pid, read_stat(pid).start_time, "")
pidfd = os.pidfd_open(pid)
guard = Guard.start(journals, pause_at=stop_at if stop_at in STOPPING_POINTS else None)
if extra:
    if extra == "heir":
        for connection in (guard._engine, guard._panic):
            connection.set_inheritable(True)
    child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
    say("child", child.pid)


def tell_pause():
    try:
        message = protocol.receive(guard._panic)
    except OSError:
        return
    if message is not None:
        say("at", message[0].at)


say("guard", guard.pid)
threading.Thread(target=tell_pause, daemon=True).start()


def stand(at):
    if at == stop_at:
        say("at", at)
        sys.stdin.readline()


stand("before_hold")
if stop_at == "looping":
    say("at looping")
    while True:
        guard.release(guard.hold(process, pidfd, method))
try:
    hold = guard.hold(process, pidfd, method)
    stand("held")
    while parent and read_stat(parent).state != "T":
        time.sleep(0.001)
    released = guard.release(hold)
    say("released", released.held_throughout, released.why)
except FreezeError as error:
    say("error", error.reason.value)
stand("released")
sys.stdin.readline()
guard.close()
"""

RUNS = int(os.environ.get("MEMTUI_FAULT_RUNS", "140"))

ENGINE_POINTS = ("before_hold", "held", "released")
_ONLY_OF = {
    "journalled": {Freeze.SIGSTOP, Freeze.CGROUP},
    "touched": {Freeze.SIGSTOP, Freeze.CGROUP},
    "group_made": {Freeze.CGROUP},
    "group_frozen": {Freeze.CGROUP},
    "went_home": {Freeze.CGROUP},
    # The other methods may be complete at once.
    "after_seize": {Freeze.PTRACE},
}
METHODS = (Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP)
STEPS = [
    (method, at)
    for method in METHODS
    for at in (*ENGINE_POINTS, *STOPPING_POINTS)
    if method in _ONLY_OF.get(at, METHODS)
]
HELD_AT = ("held", "all_stopped", "held_sent", "release_received")
NOT_YET_HELD_AT = (
    *("before_hold", "hold_received", "journalled", "group_made", "group_frozen", "touched"),
    *("after_seize", "all_stopped"),
)
ROUNDS = max(1, RUNS // (6 * len(STEPS)))
AT_RANDOM = max(20, RUNS - 3 * len(STEPS) * ROUNDS)


class Engine:
    """An engine in a process of its own, which holds a target and stands still at one point."""

    def __init__(
        self,
        target: FreezeTarget,
        method: Freeze,
        stop_at: str,
        journals: Path,
        extra: str = "",
        parent: int = 0,
    ) -> None:
        """With ``parent`` the hold lasts until that one has stopped itself."""
        self.journals = journals
        self.home = path_of(target.pid)
        self.popen = subprocess.Popen(
            freeze_engine_command(
                _ENGINE, str(target.pid), stop_at, extra, method.value, str(journals), str(parent)
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._backlog: list[tuple[str, str]] = []
        self.child: int | None = None
        try:
            self.child = int(self.said("child")) if extra else None
            self.guard_pid = int(self.said("guard"))
            self.guard_pidfd = os.pidfd_open(self.guard_pid)
            assert self.said("at") == stop_at
        except BaseException:
            self.popen.kill()
            self.popen.wait(10)
            raise

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self._lines.put(line)

    def said(self, what: str) -> str:
        """Return the rest of the line that begins with a word, once it is there."""
        while True:
            for at, (first, rest) in enumerate(self._backlog):
                if first == what:
                    del self._backlog[at]
                    return rest
            try:
                line = self._lines.get(timeout=20)
            except Empty:
                pytest.fail(f"the engine did not say {what!r}, but {self._backlog}")
            first, _, rest = line.strip().partition(" ")
            self._backlog.append((first, rest))

    def kill(self) -> None:
        """SIGKILL to the engine, which is not waited for."""
        self.popen.kill()

    def kill_guard(self) -> None:
        """SIGKILL to its guard."""
        signal.pidfd_send_signal(self.guard_pidfd, signal.SIGKILL)

    def kill_both_at_once(self) -> None:
        """SIGKILL to both, so that neither sees the other's end: the guard stands still for it."""
        signal.pidfd_send_signal(self.guard_pidfd, signal.SIGSTOP)
        freeze_wait(lambda: read_stat(self.guard_pid).state == "T", "the guard stands")
        self.popen.kill()
        self.popen.wait(10)
        self.kill_guard()
        freeze_wait(self.guard_is_gone, "the guard is gone")

    def guard_is_gone(self) -> bool:
        """Whether the guard has ended; whose child it is by now is not ours to say."""
        try:
            return read_stat(self.guard_pid).state in "ZX"
        except NoSuchProcess:
            return True

    def close(self) -> None:
        """End what is left of it."""
        self.popen.kill()
        self.popen.wait(10)
        self._reader.join(10)
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            pipe.close()
        freeze_wait(self.guard_is_gone, "the guard goes with its engine", 2)
        os.close(self.guard_pidfd)
        if self.child is not None:
            os.kill(self.child, signal.SIGKILL)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreezeTarget]:
    """One target for all runs: what one of them leaves behind, the next ones see."""
    with FreezeTarget(tmp_path_factory.mktemp("faults"), "idle", 10) as target:
        yield target
        assert target.popen.poll() is None


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals") / "holds"


def is_as_before(target: FreezeTarget, engine: Engine) -> bool:
    """Whether it is neither stopped nor traced nor frozen, and stands in its own cgroup."""
    assert engine.home is not None
    home = group_at(engine.home)
    if home is None:
        return False
    groups = [name for name in os.listdir(home.folder) if name.startswith(f"memtui-{engine.guard_pid}-")]
    return (
        target.tracers() == {0}
        and not set(target.states()) & set("tT")
        and not groups
        and {path_of(target.pid, int(tid)) for tid in os.listdir(f"/proc/{target.pid}/task")} == {engine.home}
    )


def assert_as_before(target: FreezeTarget, engine: Engine, within_s: float = 1.0) -> None:
    """The target runs again, whole, where it was, and the guard is gone, within a second."""
    freeze_wait(lambda: is_as_before(target, engine), "it is as before", within_s)
    freeze_wait(engine.guard_is_gone, "the guard is gone", 1.0)
    target.assert_all_progress(1.0)
    assert is_as_before(target, engine)
    freeze_wait(lambda: not list(engine.journals.glob("*")), "no journal is left", 1.0)


@pytest.mark.parametrize("run", range(ROUNDS))
@pytest.mark.parametrize(("method", "at"), STEPS)
def test_the_engine_is_killed_at_every_step(
    target: FreezeTarget, journals: Path, method: Freeze, at: str, run: int
) -> None:
    engine = Engine(target, method, at, journals)
    try:
        if at in HELD_AT:
            before = target.counters()
            assert target.counters() == before
            assert not is_as_before(target, engine)
        engine.kill()
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("run", range(ROUNDS))
@pytest.mark.parametrize(("method", "at"), STEPS)
def test_the_guard_is_killed_at_every_step(
    target: FreezeTarget, journals: Path, method: Freeze, at: str, run: int
) -> None:
    engine = Engine(target, method, at, journals)
    try:
        engine.kill_guard()
        assert_as_before(target, engine)
        assert engine.popen.stdin is not None
        if at in ENGINE_POINTS:
            if at == "released":
                return
            engine.popen.stdin.write("go on\n")
            engine.popen.stdin.flush()
        if at in NOT_YET_HELD_AT:
            assert engine.said("error") == "freeze_no_guard"
        else:
            held = at == "released_sent"
            assert engine.said("released") == ("True None" if held else "False the guard died")
    finally:
        engine.close()


@pytest.mark.parametrize("run", range(ROUNDS))
@pytest.mark.parametrize(("method", "at"), STEPS)
def test_both_are_killed_at_every_step(
    target: FreezeTarget, journals: Path, method: Freeze, at: str, run: int
) -> None:
    engine = Engine(target, method, at, journals)
    try:
        engine.kill_both_at_once()
        if method is Freeze.PTRACE:
            assert_as_before(target, engine)
            return
        if at in HELD_AT:
            before = target.counters()
            assert not is_as_before(target, engine)
            assert target.counters() == before, "it is left held, until the next start"
        released = replay(journals)
        assert_as_before(target, engine)
        assert not released.remarks
        assert {item.outcome for item in released.thawed} <= {ThawOutcome.RELEASED}
        if at in HELD_AT:
            assert [(item.pid, item.method) for item in released.thawed] == [(target.pid, method)]
        assert not replay(journals).thawed
    finally:
        engine.close()


@pytest.mark.parametrize("run", range(AT_RANDOM))
def test_anyone_is_killed_at_any_moment(target: FreezeTarget, journals: Path, run: int) -> None:
    chance = random.Random(run)
    victim = chance.choice(("engine", "guard", "engine then guard", "guard then engine"))
    engine = Engine(target, chance.choice(METHODS), "looping", journals)
    try:
        # A delay, so that the kill falls anywhere into the loop; it stands for no condition.
        threading.Event().wait(chance.uniform(0, 0.04))
        for who in victim.split(" then "):
            engine.kill() if who == "engine" else engine.kill_guard()
        if " then " in victim:
            freeze_wait(engine.guard_is_gone, "the guard is gone")
            engine.popen.wait(10)
            replay(journals)
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.xdist_group("machine")
@pytest.mark.parametrize("method", [Freeze.SIGSTOP, Freeze.CGROUP])
def test_memtui_thaw_releases_what_a_crash_left(target: FreezeTarget, tmp_path: Path, method: Freeze) -> None:
    folder = default_journal_dir(tmp_path)
    was_there = folder.exists()
    engine = Engine(target, method, "held", folder)
    try:
        engine.kill_both_at_once()
        done = memtui("thaw", "--json", state_dir=tmp_path)
        (row,) = rows(done)
        assert row == {
            "schema": "memtui.thaw/1",
            "pid": target.pid,
            "start_time": target.process.start_time,
            "method": method.value,
            "outcome": "released",
        }
        assert (done.returncode, done.stderr) == (0, "")
        assert_as_before(target, engine)
        again = memtui("thaw", state_dir=tmp_path)
        assert (again.returncode, again.stdout) == (0, "no process was left frozen\n")
    finally:
        engine.close()
    assert was_there or not folder.exists()


@pytest.mark.xdist_group("machine")
@pytest.mark.parametrize("method", [Freeze.SIGSTOP, Freeze.CGROUP])
def test_the_next_start_releases_what_a_crash_left(
    target: FreezeTarget, tmp_path: Path, method: Freeze
) -> None:
    folder = default_journal_dir(tmp_path)
    was_there = folder.exists()
    engine = Engine(target, method, "held", folder)
    try:
        engine.kill_both_at_once()
        looked = memtui("plan", "cold", target.pid, state_dir=tmp_path)
        assert looked.returncode in (0, 1)
        assert not is_as_before(target, engine), "looking releases nothing"
        done = memtui("advise", "cold", target.pid, "--select", "kind:heap", state_dir=tmp_path)
        assert f"released process {target.pid} (python" in done.stderr
        assert f"left held by {method.value}" in done.stderr
        assert_as_before(target, engine)
    finally:
        engine.close()
    assert was_there or not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("method", METHODS)
def test_the_engine_dies_of_other_signals(
    target: FreezeTarget, journals: Path, method: Freeze, number: int
) -> None:
    engine = Engine(target, method, "held", journals)
    try:
        engine.popen.send_signal(number)
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("extra", ["child", "heir"])
@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_the_engine_that_lives_on_keeps_nothing_held(
    target: FreezeTarget, journals: Path, method: Freeze, extra: str
) -> None:
    """Not even an heir to the engine's sockets, as a fork without an exec would be."""
    engine = Engine(target, method, "held", journals, extra)
    try:
        engine.kill()
        assert_as_before(target, engine)
        assert Path(f"/proc/{engine.child}").exists()
    finally:
        engine.close()


@pytest.mark.parametrize("method", METHODS)
def test_the_engine_that_hangs_is_outlived_by_the_deadline(
    target: FreezeTarget, journals: Path, method: Freeze
) -> None:
    engine = Engine(target, method, "held", journals)
    try:
        assert not is_as_before(target, engine)
        engine.popen.send_signal(signal.SIGSTOP)
        freeze_wait(lambda: is_as_before(target, engine), "the deadline of 2 s", 2.5)
        target.assert_free()
        assert not engine.guard_is_gone()
    finally:
        engine.close()

"""Whatever is killed, and whenever: the target runs on within a second, and nobody is left of ours."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from memtui.freeze.guard import STOPPING_POINTS
from memtui.linux.procfs import read_stat
from memtui.model.errors import NoSuchProcess
from tests.kernel.children import FreezeTarget, freeze_engine_command, freeze_wait

_ENGINE = """
import os, subprocess, sys, threading, time
from memtui.freeze import protocol
from memtui.freeze.client import FreezeError, Guard
from memtui.freeze.guard import STOPPING_POINTS
from memtui.linux.procfs import read_stat
from memtui.model.plan import Freeze
from memtui.model.process import ProcessId


def say(*words):
    # One write a line: two threads speak here.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())


pid, stop_at, extra = int(sys.argv[1]), sys.argv[2], sys.argv[3]
process = ProcessId(pid, read_stat(pid).start_time, "")
pidfd = os.pidfd_open(pid)
guard = Guard.start(stop_at if stop_at in STOPPING_POINTS else None)
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
        guard.release(guard.hold(process, pidfd, Freeze.PTRACE))
try:
    hold = guard.hold(process, pidfd, Freeze.PTRACE)
    stand("held")
    released = guard.release(hold)
    say("released", released.held_throughout, released.why)
except FreezeError as error:
    say("error", error.reason.value)
stand("released")
sys.stdin.readline()
guard.close()
"""

ENGINE_POINTS = ("before_hold", "held", "released")
POINTS = (*ENGINE_POINTS, *STOPPING_POINTS)


class Engine:
    """An engine in a process of its own, which holds a target and stands still at one point."""

    def __init__(self, target: FreezeTarget, stop_at: str, extra: str = "") -> None:
        self.popen = subprocess.Popen(
            freeze_engine_command(_ENGINE, str(target.pid), stop_at, extra),
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


def assert_as_before(target: FreezeTarget, engine: Engine) -> None:
    """The target runs again, whole, and the guard is gone, within a second."""
    target.assert_free(1.0)
    freeze_wait(engine.guard_is_gone, "the guard is gone", 1.0)
    target.assert_all_progress(1.0)
    assert target.tracers() == {0}
    assert not set(target.states()) & set("tT")


@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("at", POINTS)
def test_the_engine_is_killed_at_every_step(target: FreezeTarget, at: str, run: int) -> None:
    engine = Engine(target, at)
    try:
        if at in ("held", "all_stopped", "held_sent", "release_received"):
            assert set(target.states()) == {"t"}
        engine.kill()
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("run", range(20))
def test_the_engine_is_killed_at_any_moment(target: FreezeTarget, run: int) -> None:
    engine = Engine(target, "looping")
    try:
        # A delay, so that the kill falls anywhere into the loop; it stands for no condition.
        threading.Event().wait(random.Random(run).uniform(0, 0.02))
        engine.kill()
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("at", POINTS)
def test_the_guard_is_killed_at_every_step(target: FreezeTarget, at: str) -> None:
    engine = Engine(target, at)
    try:
        engine.kill_guard()
        assert_as_before(target, engine)
        assert engine.popen.stdin is not None
        if at in ENGINE_POINTS:
            if at == "released":
                return
            engine.popen.stdin.write("go on\n")
            engine.popen.stdin.flush()
        if at in ("before_hold", "hold_received", "after_seize", "all_stopped"):
            assert engine.said("error") == "freeze_no_guard"
        else:
            held = at == "released_sent"
            assert engine.said("released") == ("True None" if held else "False the guard died")
    finally:
        engine.close()


@pytest.mark.parametrize("run", range(20))
def test_the_guard_is_killed_at_any_moment(target: FreezeTarget, run: int) -> None:
    engine = Engine(target, "looping")
    try:
        threading.Event().wait(random.Random(run).uniform(0, 0.02))
        engine.kill_guard()
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("guard_first", [False, True])
@pytest.mark.parametrize("at", POINTS)
def test_both_are_killed_at_every_step(target: FreezeTarget, at: str, guard_first: bool) -> None:
    engine = Engine(target, at)
    try:
        kills = [engine.kill, engine.kill_guard]
        for kill in reversed(kills) if guard_first else kills:
            kill()
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_the_engine_dies_of_other_signals(target: FreezeTarget, number: int) -> None:
    engine = Engine(target, "held")
    try:
        engine.popen.send_signal(number)
        assert_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("extra", ["child", "heir"])
@pytest.mark.parametrize("at", ["held", "after_seize"])
def test_a_child_of_the_engine_that_lives_on_keeps_nothing_held(
    target: FreezeTarget, at: str, extra: str
) -> None:
    """Not even an heir to the engine's sockets, as a fork without an exec would be."""
    engine = Engine(target, at, extra)
    try:
        engine.kill()
        assert_as_before(target, engine)
        assert Path(f"/proc/{engine.child}").exists()
    finally:
        engine.close()


def test_the_engine_that_hangs_is_outlived_by_the_deadline(target: FreezeTarget) -> None:
    engine = Engine(target, "held")
    try:
        assert set(target.states()) == {"t"}
        engine.popen.send_signal(signal.SIGSTOP)
        freeze_wait(lambda: not set(target.states()) & set("tT"), "the deadline of 2 s", 2.5)
        target.assert_free()
        assert not engine.guard_is_gone()
    finally:
        engine.close()

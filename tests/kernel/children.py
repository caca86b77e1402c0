"""Processes that tests of the real kernel work on. Each is ended and reaped by whoever started it."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.linux import sysinfo
from memtui.linux.cgroup import Group, group_at, path_of
from memtui.linux.procfs import parse_colon_lines, read_stat
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FREEZE_SLOTS = 1024
"""Counters of a freeze target; the last two are the target's own news (see freeze_news)."""

_REPO = Path(__file__).resolve().parents[2]

_FREEZE_SOURCE = """
import ctypes, mmap, os, platform, signal, struct, sys, threading, time, zlib

mode, threads, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
slots = int(sys.argv[4])
with open(path, "r+b") as file:
    shared = mmap.mmap(file.fileno(), slots * 8)
ARM = platform.machine() == "aarch64"
CDLL = ctypes.CDLL(None)


def get(slot):
    return struct.unpack_from("=Q", shared, slot * 8)[0]


def put(slot, value):
    struct.pack_into("=Q", shared, slot * 8, value)


def idle(slot):
    while True:
        put(slot, get(slot) + 1)
        # A thousand that wake each millisecond starve each other of Python's lock for half a minute.
        time.sleep(max(0.001, threads / 10_000))


def busy(slot):
    block = bytes(1 << 20)
    while True:
        put(slot, get(slot) + 1)
        zlib.crc32(block)  # off the GIL, in user space


def mapper(slot):
    kept = []
    number = 0
    while True:
        number += 1
        kept.append(mmap.mmap(-1, 4096 * (1 + number % 7)))
        if len(kept) > 20:
            kept.pop(number % 20).close()
        put(slot, get(slot) + 1)


def vfork(slot):
    CLONE_VFORK = 0x4000
    number = 220 if ARM else 56
    # The child has this thread only: it either gets here, or waits for a GIL that nobody gives it.
    if CDLL.syscall(number, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        while True:
            signal.pause()
    idle(slot)


def leave(slot):
    put(slots - 1, 1)
    CDLL.syscall(93 if ARM else 60, 0)  # exit(2): of this thread alone


def count_signals(slot):
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    signal.set_wakeup_fd(theirs)
    # C handlers of Python write a byte a signal, while Python's own come together.
    signal.signal(signal.SIGRTMIN, lambda *_: None)
    put(slots - 1, 1)
    while True:
        put(slot, get(slot) + len(os.read(ours, 4096)))


def spawn(slot):
    def nothing():
        put(slot, get(slot) + 1)

    while True:
        thread = threading.Thread(target=nothing, daemon=True)
        thread.start()


def execs(slot):
    put(slot, get(slot) + 1)
    threading.Thread(target=lambda: os.execv(sys.executable, sys.orig_argv)).start()
    time.sleep(60)


WORK = {
    "idle": idle, "busy": busy, "mapper": mapper, "vfork": vfork, "leave": leave,
    "count_signals": count_signals, "spawn": spawn, "execs": execs,
}
rest = busy if mode == "busy" else idle
started = threading.Barrier(threads)


def run(slot):
    started.wait()
    rest(slot)


for slot in range(1, threads):
    threading.Thread(target=run, args=(slot,), daemon=True).start()
started.wait()
put(slots - 2, os.getpid())
WORK[mode](0)
"""


def freeze_wait(condition: Callable[[], object], what: str, within_s: float = 10.0) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(0.0005)


class FreezeTarget:
    """A process to be frozen. It counts in shared memory, one counter a thread, as long as it runs.

    ``below`` is a command line that takes its own behind it, and runs it as a child.
    """

    def __init__(
        self,
        folder: Path,
        mode: str = "idle",
        threads: int = 1,
        name: str = "counters",
        below: Sequence[str] = (),
    ) -> None:
        path = folder / f"{name}-{time.monotonic_ns()}"
        path.write_bytes(bytes(FREEZE_SLOTS * 8))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), FREEZE_SLOTS * 8)
        command = [sys.executable, "-c", _FREEZE_SOURCE, mode, str(threads), str(path), str(FREEZE_SLOTS)]
        # A session of its own: no terminal that the tests may have is its.
        self.popen = subprocess.Popen([*below, *command], start_new_session=True, stdin=subprocess.DEVNULL)
        self.pid = self.popen.pid
        self.threads = threads
        try:
            freeze_wait(lambda: self.counter(FREEZE_SLOTS - 2), "the target starts", 60)
            self.pid = self.counter(FREEZE_SLOTS - 2) if below else self.popen.pid
            self.pidfd = os.pidfd_open(self.pid)
        except BaseException:
            self.popen.kill()
            self.popen.wait()
            raise
        self.process = ProcessId(self.pid, read_stat(self.pid).start_time, sysinfo.boot_id())

    def counter(self, slot: int) -> int:
        """One of the target's counters."""
        return int(struct.unpack_from("=Q", self._shared, slot * 8)[0])

    def freeze_news(self) -> int:
        """What the target's mode has to say; 0 until it has."""
        return self.counter(FREEZE_SLOTS - 1)

    def freeze_children(self) -> list[int]:
        """The children of its first thread."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def counters(self) -> tuple[int, ...]:
        """All counters of its threads."""
        return tuple(self.counter(slot) for slot in range(self.threads))

    def states(self) -> str:
        """The state letters of all threads."""
        letters = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                letters.append((task / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0])
            except (FileNotFoundError, ProcessLookupError):
                # It ended between the listing and the look.
                continue
        return "".join(letters)

    def tracers(self) -> set[int]:
        """The tracers of all threads; 0 stands for none."""
        found = set()
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                found.add(int(parse_colon_lines((task / "status").read_bytes())["TracerPid"]))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def assert_free(self, within_s: float = 1.0) -> None:
        """It is neither stopped nor traced nor in a cgroup of ours, and goes on, within a second."""
        until = time.monotonic() + within_s

        def is_free() -> bool:
            stopped = set(self.states()) & set("tT")
            return self.tracers() == {0} and not stopped and not self._groups_of_ours()

        freeze_wait(is_free, "free", within_s)
        self.assert_progress(max(0.05, until - time.monotonic()))

    def held_group(self) -> Group | None:
        """The cgroup of ours that all its threads stand in; None if none does. Not while it is moved."""
        paths = {path_of(self.pid, int(task.name)) for task in self._live_tasks()}
        ours = self._groups_of_ours()
        if not ours:
            return None
        assert paths == ours
        (path,) = ours
        return group_at(path)

    def _groups_of_ours(self) -> set[str]:
        """In which cgroups of ours its threads were seen, one after the other: a move can come between."""
        paths = {path_of(self.pid, int(task.name)) for task in self._live_tasks()}
        return {path for path in paths if path and "/memtui-" in path}

    def _live_tasks(self) -> list[Path]:
        tasks = list(Path(f"/proc/{self.pid}/task").iterdir())
        return [
            task
            for task in tasks
            if (task / "stat").read_text("utf-8", "replace").rpartition(")")[2][1] != "Z"
        ]

    def assert_progress(self, within_s: float = 1.0) -> None:
        """Its counters move: any of them."""
        before = self.counters()
        freeze_wait(lambda: self.counters() != before, "the target goes on", within_s)

    def assert_all_progress(self, within_s: float = 90.0) -> None:
        """Every single counter moves."""
        before = self.counters()
        freeze_wait(
            lambda: all(new != old for new, old in zip(self.counters(), before, strict=True)),
            "every thread goes on",
            within_s,
        )

    def assert_frozen(self, method: Freeze = Freeze.PTRACE) -> None:
        """Every thread stands still, as the method has it, and none counts."""
        before = self.counters()
        self.assert_states_frozen(method)
        assert self.counters() == before

    def assert_states_frozen(self, method: Freeze = Freeze.PTRACE) -> None:
        """Every thread stands in the stop of the method."""
        if method is Freeze.CGROUP:
            group = self.held_group()
            assert group is not None
            assert group.is_frozen()
        else:
            assert set(self.states()) == {"t" if method is Freeze.PTRACE else "T"}

    def assert_free_of_tracer(self) -> None:
        """Nobody traces it and it is not stopped."""
        assert self.tracers() == {0}
        assert not set(self.states()) & set("tT")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        """End and reap it, and what it is below."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        os.close(self.pidfd)
        self.popen.kill()
        self.popen.wait(10)
        self._shared.close()

    def __enter__(self) -> FreezeTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_STOPPER = """
import os, signal, sys

how, own_group = sys.argv[1], sys.argv[2] == "own-group"
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD] if how != "waits" else [])
child = os.fork()
if child == 0:
    if own_group:
        os.setpgid(0, 0)
    os.execv(sys.argv[3], sys.argv[3:])
if own_group:
    try:
        os.setpgid(child, child)
    except OSError:
        pass  # it was quicker, and is another program by now
while True:
    if how == "waits":
        _, status = os.waitpid(child, os.WUNTRACED)
    else:
        signal.sigwait([signal.SIGCHLD])
        pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if not pid:
            continue
    if not os.WIFSTOPPED(status):
        break
    if how != "ignores":
        os.kill(0 if how == "group" else os.getpid(), signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)
"""


def below_stopper(how: str, *, own_group: bool = False) -> list[str]:
    """Return what runs a program below a parent that stops itself with its child.

    ``waits`` as su does, ``signal`` as sudo does, ``group`` as sudo does on a terminal: with its whole
    process group; ``ignores`` only takes note of it.
    """
    return [sys.executable, "-c", _STOPPER, how, "own-group" if own_group else ""]


def freeze_engine_command(script: str, *arguments: str) -> list[str]:
    """Return the command of an engine of its own: a script that imports memtui from this checkout."""
    head = f"import sys; sys.path.insert(0, {str(_REPO)!r})\n"
    return [sys.executable, "-c", head + script, *arguments]

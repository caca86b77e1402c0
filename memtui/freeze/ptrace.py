"""Holding by ptrace: every thread is seized and interrupted; if we die, the kernel lets them run on.

All of it belongs to the OS thread that seized (ptrace(2)), so one thread does all of it. Facts of
ptrace that this rests on, from ptrace(2) and kernel/ptrace.c, kernel/signal.c (Linux 6.18):

- A seized thread that has not stopped cannot be detached; only the tracer's end frees it.
- A thread caught while a signal is being delivered must be handed that signal when it is detached.
- A group-stopped process stays stopped when it is detached.
- An exec by a thread that is not the leader takes over the leader's tid without a word to the
  tracer, so that a leader which is said to have stopped may be another program by now.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from memtui.freeze.method import FreezeError, Subject
from memtui.freeze.threads import (
    DEAD_STATES,
    EXITED,
    listed,
    named,
    state_words,
    thread_stat,
    thread_status,
    tracer_of,
)
from memtui.linux import syscalls
from memtui.linux.abi import WALL
from memtui.linux.capabilities import CAP_SYS_PTRACE, has_capability
from memtui.linux.procfs import read_file
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESCAN_S = 0.01
_PASSES = 20
_ATTEMPTS = 3
_TRACED_STOP = "t"


def waited() -> Iterator[tuple[int, int]]:
    """Yield (tid, status) of every thread that has something to report; never waits."""
    while True:
        try:
            tid, status = os.waitpid(-1, os.WNOHANG | WALL)
        except ChildProcessError:
            return
        if tid == 0:
            return
        yield tid, status


def signal_to_hand_back(status: int) -> int:
    """Return the signal that a stopped thread must be given when it is detached; 0 for none."""
    # An event stop (PTRACE_EVENT_STOP) names a signal too, which is not being delivered.
    return 0 if status >> 16 else os.WSTOPSIG(status)


class PtraceFreezer:
    """One process held by ptrace. Made for one hold."""

    # What stops is reported by SIGCHLD; the tick is for what is not.
    tick_s = 0.01
    ends_with_us = True

    def __init__(self, subject: Subject) -> None:
        self._pid = subject.pid
        self.stopped_at: float | None = None
        self._stopped: dict[int, int] = {}
        self._waiting: set[int] = set()
        self._undetached: set[int] = set()
        self._next_scan = 0.0
        self._complete = False
        self.lost: str | None = None

    @property
    def threads(self) -> int:
        """How many threads stand still."""
        return len(self._stopped)

    def prepare(self) -> None:
        """Nothing needs to be made ready: if we die the kernel lets all threads go."""

    def cleanup(self) -> None:
        """Nothing was made."""

    def advance(self) -> bool:
        """Seize what is new; return whether every thread stands still.

        Raises:
            FreezeError: EXITED, FREEZE_DENIED, FREEZE_TRACED, FREEZE_REFUSED.
        """
        if self.stopped_at is None:
            self.stopped_at = time.monotonic()
        if self._waiting and time.monotonic() < self._next_scan:
            return False
        self._next_scan = time.monotonic() + _RESCAN_S
        for _ in range(_PASSES):
            self._seize_new()
            if self._waiting:
                return False
            if self._all_stand():
                self._complete = True
                return True
        return False

    def _seize_new(self) -> None:
        there = listed(self._pid)
        # A tid that is no longer listed: the thread went on as the leader (exec), or the tid was
        # another process's by the time it was seized. What stops of it is let go as it reports.
        self._waiting &= there
        for tid in self._stopped.keys() - there:
            _detach(tid, self._stopped.pop(tid))
        # The leader first: where tracing is refused, nothing was touched yet.
        new = sorted(there - self._stopped.keys() - self._waiting)
        for tid in new:
            if self._seize(tid):
                self._waiting.add(tid)
        for tid in self._waiting.intersection(new):
            _interrupt(tid)

    def _all_stand(self) -> bool:
        """Return whether the threads that have stopped are all that there are.

        The listing alone does not tell: it ends early where a thread dies while it is read
        (next_tid(), fs/proc/base.c). The count does, read after all that are known have stopped.
        """
        stat = thread_stat(self._pid, self._pid)
        if stat is None:
            return False
        dead_leader = stat.state in DEAD_STATES
        if self._pid in self._stopped and stat.state != _TRACED_STOP:
            # Said to have stopped, but dead since, or another program since (exec).
            del self._stopped[self._pid]
            return False
        if not self._stopped and stat.threads <= dead_leader:
            raise FreezeError(Reason.EXITED)
        return stat.threads == len(self._stopped) + dead_leader

    def on_wait_status(self, tid: int, status: int) -> None:
        """Take in what waitpid(2) reported of a thread."""
        if not os.WIFSTOPPED(status):
            if self._complete and tid in self._stopped:
                self.lost = EXITED
            self._stopped.pop(tid, None)
            self._waiting.discard(tid)
        elif tid in self._waiting or tid in self._stopped or tid == self._pid:
            self._waiting.discard(tid)
            self._stopped[tid] = signal_to_hand_back(status)
        else:
            _detach(tid, signal_to_hand_back(status))

    def pending(self) -> str:
        """Return, in words, what has not stopped yet."""
        late = sorted(self._waiting)
        if not late:
            return "new threads appear faster than they can be stopped"
        return state_words(self._pid, late[0], len(late) + len(self._stopped), len(late))

    def release(self) -> bool:
        """Detach every stopped thread; return whether none is left that only our end can free."""
        untouched = True
        while self._stopped:
            tid, number = self._stopped.popitem()
            if not _detach(tid, number):
                self._undetached.add(tid)
                # Only SIGKILL takes a thread out of a ptrace stop behind its tracer's back, and a
                # process dies as a whole. Once the first thread runs on, that may be its own doing:
                # it exits, or by an exec ends the others.
                if untouched:
                    self.lost = EXITED
            untouched = False
        return not self._waiting and not self._undetached

    def _seize(self, tid: int) -> bool:
        """Seize a thread; return whether there was one that can be stopped.

        Raises:
            FreezeError: FREEZE_DENIED, FREEZE_TRACED, FREEZE_REFUSED, FAILED.
        """
        for _ in range(_ATTEMPTS):
            try:
                syscalls.ptrace_seize(tid)
                return True
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return False
                if error.errno != errno.EPERM:
                    raise FreezeError(Reason.FAILED, "", f"{error.filename}: {error.strerror}") from error
            seizable = self._why_not(tid)
            if seizable is not None:
                return seizable
        raise FreezeError(Reason.FREEZE_DENIED, "", denied_words())

    def _why_not(self, tid: int) -> bool | None:
        """Find out what EPERM meant.

        Return True for a thread that we trace already, False for one that is dead, and None where
        nothing is to be seen: no right to it, or a leader that was dead and by exec is alive again.
        """
        stat = thread_stat(self._pid, tid)
        if stat is None or stat.state in DEAD_STATES:
            return False
        if stat.is_kernel_thread:
            raise FreezeError(Reason.FREEZE_REFUSED, "", "a kernel thread is never frozen")
        tracer = tracer_of(self._pid, tid)
        if tracer is None:
            return False
        if tracer == os.getpid():
            return True
        if tracer:
            raise FreezeError(Reason.FREEZE_TRACED, "", f"already traced by {named(tracer)}")
        return None


def _interrupt(tid: int) -> None:
    try:
        syscalls.ptrace_interrupt(tid)
    except OSError as error:
        # ESRCH: it died or exec'ed since it was seized; waitpid or the next scan tells.
        if error.errno != errno.ESRCH:
            raise FreezeError(Reason.FAILED, "", f"{error.filename}: {error.strerror}") from error


def _detach(tid: int, number: int) -> bool:
    """Detach a stopped thread; return False if it is no longer stopped."""
    try:
        syscalls.ptrace_detach(tid, number)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return False
        raise
    return True


def let_stranger_go(tid: int, status: int) -> None:
    """Detach a thread that reported a stop when nothing is held any more."""
    if os.WIFSTOPPED(status):
        _detach(tid, signal_to_hand_back(status))


def raise_if_denied(pid: int) -> None:
    """Refuse a process that cannot be traced, as far as can be seen without trying.

    Raises:
        FreezeError: FREEZE_TRACED, FREEZE_DENIED, EXITED.
    """
    status = thread_status(pid, pid)
    if status is None:
        raise FreezeError(Reason.EXITED)
    tracer = int(status.get("TracerPid", "0"))
    if tracer:
        raise FreezeError(Reason.FREEZE_TRACED, "", f"already traced by {named(tracer)}")
    if has_capability(CAP_SYS_PTRACE):
        return
    same_user = set(status.get("Uid", "").split()) == {str(os.geteuid())}
    # Of level 1 an exception may have been made for us (PR_SET_PTRACER), which is not to be seen.
    if not same_user or (yama_level() or 0) > 1:
        raise FreezeError(Reason.FREEZE_DENIED, "", denied_words())


def yama_level() -> int | None:
    """Return Yama's ptrace_scope (Documentation/admin-guide/LSM/Yama.rst); None where it is not built in."""
    try:
        return int(read_file("/proc/sys/kernel/yama/ptrace_scope"))
    except (OSError, ValueError):
        return None


def denied_words(level: int | None = None) -> str:
    """Return that tracing is not permitted, and what Yama has to do with it."""
    level = yama_level() if level is None else level
    allows = {1: "only descendants may be traced", 2: "it takes CAP_SYS_PTRACE", 3: "nobody may trace"}
    words = "you may not trace this process"
    if level is None or level not in allows:
        return words
    return f"{words} (Yama's ptrace_scope is {level}: {allows[level]})"

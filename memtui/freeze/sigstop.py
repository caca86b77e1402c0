"""Holding by SIGSTOP through the pidfd, until every thread is ``T``; let go by SIGCONT.

Its parent is told of both (SIGCHLD), and may stop itself with it; the process runs its SIGCONT handler.
Facts from signal(7) and kernel/signal.c (Linux 6.18):

- SIGCONT wakes every thread of a stopped process, whoever sent it, so that any thread tells of one.
- SIGCONT also takes back a SIGSTOP that is still pending.
"""

from __future__ import annotations

import os
import signal
import time

from memtui.freeze.cgroup import frozen_by
from memtui.freeze.journal import Entry
from memtui.freeze.method import FreezeError, Subject
from memtui.freeze.threads import (
    DEAD_STATES,
    EXITED,
    ends_soon,
    is_dead,
    listed,
    named,
    process_group_holds_terminal,
    state_words,
    stop_in_force,
    switches,
    thread_stat,
    tracer_of,
)
from memtui.linux import sysinfo
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason

_NO_SIGNALS = "you may not send signals to this process"
_SPIN_S = 0.002
_SETTLE_S = 0.0001
_STOPPED, _TRACED_STOP = "T", "t"
_CONTINUED = "continued from outside (SIGCONT)"
_WOKEN = "woken from outside meanwhile (by SIGCONT, or by a tracer)"


class SigstopFreezer:
    """One process held by SIGSTOP. Made for one hold.

    One that was stopped before is sent nothing: it stays as it is.
    """

    tick_s = 0.001
    ends_with_us = False

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._pid = subject.pid
        self._entry: Entry | None = None
        self.stopped_at: float | None = None
        self._sent = False
        self._complete = False
        self._standing: set[int] = set()
        # A thread, and how often it was switched away from: it tells a SIGCONT that came and went.
        self._witness: tuple[int, int] | None = None
        self.lost: str | None = None

    @property
    def threads(self) -> int:
        """How many threads stand still."""
        return len(self._standing)

    def prepare(self) -> None:
        """Look whether somebody else stopped it, and record it.

        Raises:
            FreezeError: EXITED, FREEZE_REFUSED, FREEZE_TRACED, FREEZE_NO_JOURNAL.
        """
        raise_if_unsuited(self._pid)
        subject = self._subject
        was_stopped = stop_in_force(self._pid)
        if not was_stopped:
            subject.bystanders.begin(self._pid)
        entry = Entry(
            sysinfo.boot_id(), self._pid, subject.start_time, Freeze.SIGSTOP.value, was_stopped=was_stopped
        )
        subject.journal.add(entry)
        self._entry = entry
        subject.pause("journalled")

    def advance(self) -> bool:
        """Stop it; return whether every thread stands still.

        Raises:
            FreezeError: EXITED, FREEZE_DENIED, FREEZE_TRACED.
        """
        assert self._entry is not None
        if self.stopped_at is None:
            self.stopped_at = time.monotonic()
            if not self._entry.was_stopped:
                # Before it is sent: whatever comes in between, letting go then undoes it.
                self._sent = True
                self._stop()
                self._subject.pause("touched")
        until = time.monotonic() + _SPIN_S
        while not self._all_stand():
            if time.monotonic() >= until:
                return False
            # It needs a CPU to stop on, and we are nicer to ourselves than to it.
            time.sleep(_SETTLE_S)
        self._complete = True
        return True

    def _stop(self) -> None:
        try:
            self._send(signal.SIGSTOP)
        except FreezeError:
            self._sent = False
            raise

    def on_wait_status(self, tid: int, status: int) -> None:
        """Nothing is reported of threads that are not traced."""

    def pending(self) -> str:
        """Return, in words, what has not stopped yet."""
        stats = {tid: thread_stat(self._pid, tid) for tid in sorted(listed(self._pid))}
        late = [tid for tid, stat in stats.items() if stat is not None and stat.state not in "TZX"]
        if not late:
            return "its threads come and go faster than they stop; it was let go and runs on"
        # The kernel may give the signal to a thread that cannot take it, and then no other one stops.
        stuck = [tid for tid in late if (stat := stats[tid]) is not None and stat.state == "D"]
        return state_words(self._pid, (stuck or late)[0], len(stats), len(late))

    def release(self) -> bool:
        """Continue it, if we stopped it."""
        if self._complete:
            self.lost = self._why_lost()
        if self._sent:
            self._sent = False
            try:
                self._send(signal.SIGCONT)
            except FreezeError as error:
                # Dead is well; and who may stop a process may continue it (kill(2)).
                if error.reason is not Reason.EXITED:
                    raise
        return True

    def cleanup(self) -> None:
        """Forget it, and see to who stopped because of it."""
        self._subject.bystanders.over()
        if self._entry is not None:
            self._subject.journal.drop(self._entry)
            self._entry = None

    def _all_stand(self) -> bool:
        there = listed(self._pid)
        self._standing &= there
        for tid in there - self._standing:
            stat = thread_stat(self._pid, tid)
            if stat is None or stat.state in DEAD_STATES:
                continue
            if stat.state == _TRACED_STOP:
                raise_if_traced(self._pid, tid)
            if stat.state != _STOPPED:
                return False
            self._standing.add(tid)
        leader = thread_stat(self._pid, self._pid)
        if leader is None:
            raise FreezeError(Reason.EXITED)
        dead_leader = leader.state in DEAD_STATES
        if not self._standing and leader.threads <= dead_leader:
            raise FreezeError(Reason.EXITED)
        if not dead_leader and leader.state != _STOPPED:
            # A thread that called exec has taken the first one's number, and runs (de_thread(), fs/exec.c);
            # or somebody else continued it.
            self._standing.discard(self._pid)
            return False
        # The listing ends early where a thread dies while it is read; the count does not.
        if leader.threads != len(self._standing) + dead_leader:
            return False
        return self._witness_sleeps()

    def _witness_sleeps(self) -> bool:
        """Return whether a thread was seen twice without having run in between."""
        if self._witness is None or self._witness[0] not in self._standing:
            tid = min(self._standing)
            seen = switches(self._pid, tid)
            self._witness = None if seen is None else (tid, seen)
            time.sleep(_SETTLE_S)
        if self._witness is None:
            return False
        tid, before = self._witness
        if switches(self._pid, tid) == before:
            return True
        # Its state says stopped a moment before it is switched away.
        self._witness = None
        return False

    def _why_lost(self) -> str | None:
        if is_dead(self._subject.pidfd):
            return EXITED
        for tid in self._standing:
            stat = thread_stat(self._pid, tid)
            if stat is None or stat.state in DEAD_STATES:
                return EXITED
            if stat.state == _TRACED_STOP:
                return "another tracer took it"
            if stat.state != _STOPPED:
                return EXITED if ends_soon(self._pid) else _CONTINUED
        assert self._witness is not None
        if switches(self._pid, self._witness[0]) == self._witness[1]:
            return None
        return EXITED if ends_soon(self._pid) else _WOKEN

    def _send(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._subject.pidfd, number)
        except ProcessLookupError as error:
            raise FreezeError(Reason.EXITED) from error
        except PermissionError as error:
            raise FreezeError(Reason.FREEZE_DENIED, "", _NO_SIGNALS) from error


def raise_if_traced(pid: int, tid: int) -> None:
    """Raise FREEZE_TRACED if somebody traces a thread: its stops are told to that one first."""
    tracer = tracer_of(pid, tid)
    if tracer:
        raise FreezeError(Reason.FREEZE_TRACED, "", f"already traced by {named(tracer)}")


def raise_if_unsuited(pid: int) -> None:
    """Refuse a process that SIGSTOP would not stop for sure, or that SIGCONT would not bring back.

    Raises:
        FreezeError: FREEZE_REFUSED, FREEZE_DENIED, FREEZE_TRACED, EXITED.
    """
    stat = thread_stat(pid, pid)
    if stat is None:
        raise FreezeError(Reason.EXITED)
    if process_group_holds_terminal(stat):
        words = (
            "it is in the foreground of its terminal: its shell or sudo would take the terminal back, and "
            "it would stop itself again (SIGTTIN); use --freeze ptrace"
        )
        raise FreezeError(Reason.FREEZE_REFUSED, "", words)
    try:
        os.kill(pid, 0)
    except ProcessLookupError as error:
        raise FreezeError(Reason.EXITED) from error
    except PermissionError as error:
        raise FreezeError(Reason.FREEZE_DENIED, "", _NO_SIGNALS) from error
    for tid in listed(pid):
        raise_if_traced(pid, tid)
    frozen = frozen_by(pid)
    if frozen is not None:
        raise FreezeError(Reason.FREEZE_REFUSED, "", f"somebody froze its cgroup already ({frozen})")

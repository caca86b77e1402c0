"""The guard: a small process that freezes and thaws, so that memtui's death leaves nobody frozen.

Run by :mod:`memtui.freeze.client` in a session of its own. It lets go of everything when it is told
to, at the deadline of a hold, and when a socket closes or the engine dies. If it dies itself, the
kernel detaches a dead tracer's threads; the other methods have the journal. Against its own hanging
stands SIGALRM: its default action ends a guard that traces, another one lets go and ends.

Single-threaded: the OS thread that seized must wait and detach, and one loop sees to it all.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.freeze import protocol, ptrace
from memtui.freeze.bystanders import TICK_S, Bystanders
from memtui.freeze.cgroup import CgroupFreezer
from memtui.freeze.journal import Journal
from memtui.freeze.method import Begin, FreezeError, Freezer, Subject
from memtui.freeze.sigstop import SigstopFreezer
from memtui.freeze.threads import is_dead
from memtui.linux import syscalls
from memtui.linux.procfs import read_stat
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS: dict[Freeze, Begin] = {
    Freeze.PTRACE: ptrace.PtraceFreezer,
    Freeze.SIGSTOP: SigstopFreezer,
    Freeze.CGROUP: CgroupFreezer,
}
"""Adding a method takes its module and a line here."""

STOPPING_POINTS = (
    "hold_received",
    "journalled",
    "group_made",
    "group_frozen",
    "touched",
    "after_seize",
    "all_stopped",
    "held_sent",
    "release_received",
    "after_detach",
    "went_home",
    "tidied",
    "released_sent",
)
"""Where a test can have the guard stand: it waits there until the engine is gone, then goes on.

A method passes only some of them: ``journalled`` and ``touched`` sigstop and cgroup, ``group_made``,
``group_frozen`` and ``went_home`` cgroup, ``after_seize`` a hold that is not complete at once.
"""

_ALARM_SLACK_S = 0.1
_SEIZING_S = 0.25

_IGNORED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


@dataclass(slots=True)
class _Hold:
    """A hold from its request to its release. Times are of the monotonic clock, in seconds."""

    id: int
    pid: int
    start_time: int
    pidfd: int
    freezer: Freezer
    deadline_s: float
    began: float
    stop_by: float
    deadline: float
    held: bool = False
    over_ms: float | None = None
    """How long it lasted, once it is over; then ``why`` says what ended it early."""
    why: str | None = None


class _Overdue(Exception):
    """The alarm rang: what was being done took longer than it may."""


class Guard:
    """The loop. At most one hold at a time."""

    def __init__(
        self,
        engine: socket.socket,
        panic: socket.socket,
        engine_pidfd: int,
        wakeup_fd: int,
        journal: Journal,
        pause_at: str | None = None,
    ) -> None:
        self._engine = engine
        self._panic = panic
        self._engine_pidfd = engine_pidfd
        self._wakeup_fd = wakeup_fd
        self._journal = journal
        self._pause_at = pause_at
        self._bystanders = Bystanders(journal)
        self._asked_for_bystanders = False
        self._hold: _Hold | None = None
        self._done = False
        self._poller = select.poll()
        for fd in (engine.fileno(), panic.fileno(), engine_pidfd, wakeup_fd):
            self._poller.register(fd, select.POLLIN)

    def run(self) -> None:
        """Serve until the engine is gone, or until only our end can free a thread."""
        protocol.send(self._engine, protocol.Ready(protocol.VERSION, os.getpid()))
        while not self._done:
            ready = {fd for fd, _ in self._poller.poll(self._patience_ms())}
            # In this order: what lets go comes before what takes hold.
            if self._engine_pidfd in ready:
                self._done = True
            elif self._panic.fileno() in ready:
                self._read_panic()
            if not self._done and self._wakeup_fd in ready:
                os.read(self._wakeup_fd, 4096)
            if not self._done:
                self._turn()
            if not self._done and self._engine.fileno() in ready:
                self._read_engine()
        self.release("the engine is gone")
        self._bystanders.watch_out()
        self._journal.close()

    def release(self, why: str | None) -> bool:
        """Let go of what is held, now; return whether no thread is left that only our end frees.

        ``why`` is what ends the hold early, None if nothing does.
        """
        hold = self._hold
        if hold is None:
            return True
        clean = True
        if hold.over_ms is None:
            self._reap()
            if not hold.freezer.ends_with_us:
                # Letting go must not be cut short where our end would not do it.
                signal.setitimer(signal.ITIMER_REAL, 0)
            clean = hold.freezer.release() or is_dead(hold.pidfd)
            hold.over_ms = (time.monotonic() - (hold.freezer.stopped_at or hold.began)) * 1000
            hold.why = hold.freezer.lost or why
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._done = self._done or not clean
            self._pause("after_detach")
        hold.freezer.cleanup()
        return clean

    def _patience_ms(self) -> float | None:
        hold = self._hold
        if hold is None or hold.over_ms is not None:
            return TICK_S * 1000 if self._bystanders.is_watching else None
        left = hold.deadline - time.monotonic() if hold.held else hold.freezer.tick_s
        return max(0.0, left) * 1000

    def _turn(self) -> None:
        """Take in what threads report, and do what the time asks for."""
        self._reap()
        hold = self._hold
        if hold is None or hold.over_ms is not None:
            self._see_to_bystanders()
            return
        now = time.monotonic()
        if hold.held:
            if now >= hold.deadline:
                self.release("deadline")
        elif now >= hold.stop_by:
            self._refuse(FreezeError(Reason.FREEZE_TIMEOUT, "", hold.freezer.pending()))
        else:
            self._advance(hold)

    def _see_to_bystanders(self) -> None:
        self._bystanders.look()
        if self._asked_for_bystanders and not self._bystanders.is_watching:
            self._asked_for_bystanders = False
            self._say(protocol.BystandersReply(self._bystanders.take_words()))

    def _reap(self) -> None:
        for tid, status in ptrace.waited():
            if self._hold is not None and self._hold.over_ms is None:
                self._hold.freezer.on_wait_status(tid, status)
            else:
                ptrace.let_stranger_go(tid, status)

    def _read_panic(self) -> None:
        received = _received(self._panic)
        if received is None:
            self._done = True
            return
        _close_all(received[1])
        hold = self._hold
        if hold is not None and not hold.held:
            self._refuse(FreezeError(Reason.CANCELLED, "", "thawed by the operator"))
        else:
            self.release("panic")

    def _read_engine(self) -> None:
        received = _received(self._engine)
        if received is None:
            self._done = True
            return
        message, fds = received
        if isinstance(message, protocol.HoldRequest) and len(fds) == 1:
            self._begin(message, fds[0])
        elif isinstance(message, protocol.ReleaseRequest) and not fds:
            self._release(message)
        elif isinstance(message, protocol.BystandersRequest) and not fds and self._hold is None:
            self._asked_for_bystanders = True
            self._see_to_bystanders()
        else:
            _close_all(fds)
            raise protocol.ProtocolError("the engine asked for what is not asked of a guard")

    def _begin(self, request: protocol.HoldRequest, pidfd: int) -> None:
        self._pause("hold_received")
        if self._hold is not None:
            os.close(pidfd)
            detail = f"the guard holds process {self._hold.pid} already"
            self._say(protocol.Refused(request.id, Reason.FAILED.value, detail, False))
            return
        subject = Subject(
            request.pid, request.start_time, pidfd, self._journal, self._bystanders, self._pause
        )
        begin = next((begin for method, begin in METHODS.items() if method.value == request.method), None)
        if begin is None:
            raise protocol.ProtocolError("no such method")
        freezer = begin(subject)
        _on_alarm(freezer)
        now, deadline_s = time.monotonic(), request.deadline_ms / 1000
        hold = self._hold = _Hold(
            request.id, request.pid, request.start_time, pidfd, freezer, deadline_s, now, now, now
        )
        try:
            _check_identity(request.pid, request.start_time, pidfd)
            freezer.prepare()
        except FreezeError as error:
            self._refuse(error)
            return
        hold.began = time.monotonic()
        hold.deadline = hold.began + deadline_s
        hold.stop_by = min(hold.began + request.timeout_ms / 1000, hold.deadline)
        self._advance(hold)

    def _advance(self, hold: _Hold) -> None:
        # Seizing can block for ever (measured on 6.18): a thread in exec waits for us to reap another
        # one, and we wait for its credentials' lock. This then ends us, and the kernel lets all go.
        soon = time.monotonic() + _SEIZING_S
        _alarm_at(min(soon, hold.stop_by) if hold.freezer.ends_with_us else hold.stop_by)
        try:
            complete = hold.freezer.advance()
            _alarm_at(hold.stop_by)
            if not complete:
                self._pause("after_seize")
                return
            _check_identity(hold.pid, hold.start_time, hold.pidfd)
        except FreezeError as error:
            self._refuse(error)
            return
        hold.held = True
        hold.deadline = (hold.freezer.stopped_at or hold.began) + hold.deadline_s
        _alarm_at(hold.deadline)
        self._pause("all_stopped")
        stopping_ms = (time.monotonic() - (hold.freezer.stopped_at or hold.began)) * 1000
        self._say(protocol.Held(hold.id, hold.freezer.threads, stopping_ms))
        self._pause("held_sent")

    def _refuse(self, error: FreezeError) -> None:
        """End a hold that did not come about: first let go, then say so."""
        hold = self._hold
        assert hold is not None
        clean = self.release("refused")
        self._forget()
        self._say(_refusal(hold.id, error, final=not clean))

    def _release(self, request: protocol.ReleaseRequest) -> None:
        self._pause("release_received")
        hold = self._hold
        if hold is None or hold.id != request.id or not hold.held:
            raise protocol.ProtocolError("release of what is not held")
        clean = True
        if hold.over_ms is None:
            clean = self.release(None)
        self._pause("tidied")
        self._forget()
        over_ms = hold.over_ms if hold.over_ms is not None else 0.0
        self._say(protocol.ReleasedReply(hold.id, hold.why is None, over_ms, hold.why, not clean))
        self._pause("released_sent")

    def _forget(self) -> None:
        if self._hold is not None:
            os.close(self._hold.pidfd)
            self._hold = None

    def _say(self, message: protocol.Message) -> None:
        try:
            protocol.send(self._engine, message, flags=socket.MSG_DONTWAIT)
        except OSError:
            # Nobody listens, or does not read what we say: either way nobody waits for this hold.
            self._done = True

    def _pause(self, at: str) -> None:
        """Stand here, if a test asked for it, until the engine is gone."""
        if at != self._pause_at:
            return
        with suppress(OSError):  # the engine is gone already
            protocol.send(self._panic, protocol.Paused(at))
        poller = select.poll()
        poller.register(self._engine_pidfd, select.POLLIN)
        poller.register(self._engine.fileno(), select.POLLHUP)
        poller.poll()


def _received(connection: socket.socket) -> tuple[protocol.Message, list[int]] | None:
    try:
        return protocol.receive(connection)
    except ConnectionError:
        # Closed with something of ours unread: the end all the same.
        return None


def _refusal(hold_id: int, error: FreezeError, final: bool) -> protocol.Refused:
    return protocol.Refused(hold_id, error.reason.value, error.detail, final)


def _check_identity(pid: int, start_time: int, pidfd: int) -> None:
    """Make sure that a pid still is the process that was meant.

    Raises:
        FreezeError: EXITED.
    """
    try:
        stat = read_stat(pid)
    except MemtuiError as error:
        raise FreezeError(Reason.EXITED) from error
    if stat.start_time != start_time:
        raise FreezeError(Reason.EXITED, "", "the process has exited; its pid is another's now")
    # Looked at last: while the pidfd lives, the pid cannot have been given to another.
    if is_dead(pidfd):
        raise FreezeError(Reason.EXITED)


def _on_alarm(freezer: Freezer) -> None:
    """Say what the alarm does: it ends us where that frees the target, else it has us let go and end."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL if freezer.ends_with_us else _overdue)


def _overdue(_number: int, _frame: object) -> None:
    raise _Overdue("it took longer than it may")


def _alarm_at(moment: float) -> None:
    """Have the alarm ring a little after ``moment`` (monotonic clock)."""
    signal.setitimer(signal.ITIMER_REAL, max(0.001, moment - time.monotonic() + _ALARM_SLACK_S))


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _prepare_signals() -> int:
    """Set all signals as the guard needs them; return the fd that is readable when a thread reports."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    # Inherited from whichever thread of the engine started us.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return read_end


def _stay_at_hand() -> None:
    """Best effort: the machine is short of memory when we are needed most."""
    with suppress(OSError):  # without CAP_IPC_LOCK, beyond RLIMIT_MEMLOCK
        syscalls.mlockall()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-1000")  # lowering it takes CAP_SYS_RESOURCE
    with suppress(OSError):  # without CAP_SYS_NICE; a target stands still while we wait for a CPU
        os.nice(-10)
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("memtui-guard")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the guard on the fds given, and end the process. Never returns."""
    parser = argparse.ArgumentParser(prog="memtui.freeze.guard")
    parser.add_argument("engine_fd", type=int)
    parser.add_argument("panic_fd", type=int)
    parser.add_argument("engine_pidfd", type=int)
    parser.add_argument("--journals", type=Path, help="where the journal lies")
    parser.add_argument("--pause-at", choices=STOPPING_POINTS, help="for tests")
    options = parser.parse_args(arguments)
    wakeup_fd = _prepare_signals()
    engine = socket.socket(fileno=options.engine_fd)
    panic = socket.socket(fileno=options.panic_fd)
    journal = Journal(options.journals)
    guard = Guard(engine, panic, options.engine_pidfd, wakeup_fd, journal, options.pause_at)
    _stay_at_hand()
    # Up to here it says what went wrong; from here on nobody reads it.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)
    gc.freeze()
    os._exit(_serve(guard, engine))


def _serve(guard: Guard, engine: socket.socket) -> int:
    """Run the loop; return the exit status, with nothing left to unwind.

    A seized thread that has not stopped is free only when we are gone, so we go at once.
    """
    try:
        guard.run()
        return 0
    except _Overdue:
        try:
            guard.release("deadline")
        finally:
            _die_of_the_alarm()
            os._exit(1)
    except BaseException as error:  # whatever it is, letting go comes first
        try:
            guard.release("the guard failed")
            last_word = protocol.Dying(f"{type(error).__name__}: {error}")
            protocol.send(engine, last_word, flags=socket.MSG_DONTWAIT)
        finally:
            os._exit(1)


def _die_of_the_alarm() -> None:
    """End as a guard does that the alarm ends by itself: that is how the engine knows of it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGALRM)


if __name__ == "__main__":
    main()

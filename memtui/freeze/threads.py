"""What the methods need to know of the threads of a process. A thread that is gone is None, no error."""

from __future__ import annotations

import select
import signal
import time
from typing import NamedTuple

from memtui.freeze.method import FreezeError
from memtui.linux import abi
from memtui.linux.cgroup import frozen_by_v1
from memtui.linux.ending import is_ending
from memtui.linux.procfs import Stat, parse_colon_lines, parse_stat, read_file, thread_ids
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.reasons import Reason

DEAD_STATES = frozenset("ZX")
EXITED = "exited"
"""Why a hold ended whose process was killed."""

_ENDS_LOOKS = 5
_SIGSTOP_BIT = 1 << signal.SIGSTOP - 1
_SIGCHLD_BIT = 1 << signal.SIGCHLD - 1


def is_dead(pidfd: int) -> bool:
    """Whether a process has exited."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def thread_stat(pid: int, tid: int) -> Stat | None:
    """Return the stat of one thread."""
    try:
        return parse_stat(read_file(f"/proc/{pid}/task/{tid}/stat"))
    except OSError:
        # Gone between the listing and the look, which is an answer.
        return None


def thread_status(pid: int, tid: int) -> dict[str, str] | None:
    """Return the status of one thread."""
    try:
        return parse_colon_lines(read_file(f"/proc/{pid}/task/{tid}/status"))
    except OSError:
        return None


def listed(pid: int) -> set[int]:
    """Return the threads of a process. The listing may end early where a thread dies meanwhile.

    Raises:
        FreezeError: EXITED.
    """
    try:
        return set(thread_ids(pid))
    except NoSuchProcess as error:
        raise FreezeError(Reason.EXITED) from error
    except MemtuiError as error:
        raise FreezeError(error.reason) from error


def tracer_of(pid: int, tid: int) -> int | None:
    """Return the tracer's pid, 0 for none, None if the thread is gone."""
    status = thread_status(pid, tid)
    return None if status is None else int(status.get("TracerPid", "0"))


def named(pid: int) -> str:
    """Return a process in words, its name raw."""
    stat = thread_stat(pid, pid)
    return f"process {pid} ({stat.name})" if stat else f"process {pid}"


def switches(pid: int, tid: int) -> int | None:
    """Return how often a thread was switched away from; it does not change while the thread sleeps."""
    status = thread_status(pid, tid)
    if status is None:
        return None
    kinds = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
    return sum(int(status.get(kind, "0")) for kind in kinds)


def stop_in_force(pid: int) -> bool:
    """Whether a process is stopped by a signal, or about to be.

    Looked at in this order, since the signal is pending until the thread that takes it has stopped
    (get_signal() and do_signal_stop(), kernel/signal.c, all under one lock).

    Raises:
        FreezeError: EXITED.
    """
    status = thread_status(pid, pid) or {}
    if int(status.get("ShdPnd", "0"), 16) & _SIGSTOP_BIT:
        return True
    stats = (thread_stat(pid, tid) for tid in sorted(listed(pid)))
    return any(stat is not None and stat.state == "T" for stat in stats)


def may_notice_stops(pid: int) -> bool:
    """Whether a process could get to know that a child of its stops, as far as can be seen.

    By SIGCHLD, caught or blocked (signalfd(2), sigwait(3)), or in a wait that asks for stops. Who
    neither catches nor blocks it, and waits for ends alone, is not told (do_notify_parent_cldstop(),
    kernel/signal.c).
    """
    until = time.monotonic() + _SETTLES_S
    for tid in _threads_of(pid):
        call = _settled_call(pid, tid, until)
        # In sigwait(3) the signals waited for are not blocked (do_sigtimedwait()).
        if call is None or call.number == abi.SYS_RT_SIGTIMEDWAIT or call.wait_options & abi.WSTOPPED:
            return True
        status = thread_status(pid, tid)
        if status is not None:
            bits = int(status.get("SigCgt", "0"), 16) | int(status.get("SigBlk", "0"), 16)
            if bits & _SIGCHLD_BIT:
                return True
    return False


def waits_for_stops(pid: int) -> bool:
    """Whether a process waits right now to be told that a child stops, as far as that can be seen.

    Not in a wait that asks for continuations as well: that is how a shell keeps the book of its jobs.
    """
    for tid in _threads_of(pid):
        call = _call_of(pid, tid)
        if call is not None and call.wait_options & (abi.WSTOPPED | abi.WCONTINUED) == abi.WSTOPPED:
            return True
    return False


class _Call(NamedTuple):
    """The system call in which a thread is; ``number`` is -1 outside of one."""

    number: int
    wait_options: int
    """Of wait4(2) or waitid(2); 0 of every other call."""


_NO_CALL = _Call(-1, 0)
_SETTLES_S = 0.02


def _settled_call(pid: int, tid: int, until: float) -> _Call | None:
    """Return the call in which a thread is; of one that runs look again, until it is in one."""
    while (call := _call_of(pid, tid)) is None and time.monotonic() < until:
        time.sleep(0.001)
    return call


def _call_of(pid: int, tid: int) -> _Call | None:
    """Return the call in which a thread is (proc_pid_syscall(5)); None if it runs, or is not to be seen."""
    if abi.SYS_WAIT4 is None:
        return None
    try:
        fields = read_file(f"/proc/{pid}/task/{tid}/syscall").split()
    except (FileNotFoundError, ProcessLookupError):
        # The thread has ended; or CONFIG_HAVE_ARCH_TRACEHOOK is not there.
        return _NO_CALL if thread_stat(pid, tid) is None else None
    except OSError:
        return None
    if len(fields) < 7:
        return None if fields[:1] == [b"running"] else _NO_CALL
    number = int(fields[0])
    place = {abi.SYS_WAIT4: 3, abi.SYS_WAITID: 4}.get(number)
    return _Call(number, 0 if place is None else int(fields[place], 16))


def _threads_of(pid: int) -> list[int]:
    try:
        return sorted(thread_ids(pid))
    except MemtuiError:
        # Gone, or hidden from us: then its first thread tells, if anything does.
        return [pid]


def ends_soon(pid: int) -> bool:
    """Whether a process that was woken is at its end.

    Between the SIGKILL that it has taken and the flag of its exit lie some instructions, for which it
    needs a CPU: one that does not look so is looked at again.
    """
    for _ in range(_ENDS_LOOKS):
        if is_ending(pid):
            return True
        time.sleep(0.001)
    return False


def state_words(pid: int, tid: int, of_all: int, late: int) -> str:
    """Return, in words, that threads did not stop, and the state of one of them."""
    stat = thread_stat(pid, tid)
    state = stat.state if stat else "?"
    head = f"{late} of {of_all} threads did not stop: thread {tid} is in state {state}"
    if state != "D":
        return f"{head}; it was let go and runs on"
    frozen = frozen_by_others_v1(pid)
    if frozen is not None:
        return f"{head} (somebody froze its cgroup, {frozen}); it was let go"
    return f"{head} (waits for a vfork child or for a device); it was let go and runs on"


def frozen_by_others_v1(pid: int) -> str | None:
    """Return the version 1 group by which a process is frozen; None if by none, or if that is hidden."""
    try:
        return frozen_by_v1(pid)
    except (OSError, MemtuiError):
        # Then it does not stop in time, and that is told.
        return None


def process_group_holds_terminal(stat: Stat) -> bool:
    """Whether a process belongs to the foreground job of its terminal."""
    return bool(stat.tty_number) and stat.process_group == stat.foreground_group

"""What the methods need to know of the threads of a process. A thread that is gone is None, no error."""

from __future__ import annotations

import os
import select
import signal

from memtui.freeze.method import FreezeError
from memtui.linux import abi
from memtui.linux.procfs import Stat, parse_colon_lines, parse_stat, read_file, thread_ids
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.reasons import Reason

DEAD_STATES = frozenset("ZX")
_SIGSTOP_BIT = 1 << signal.SIGSTOP - 1
_SIGCHLD_BIT = 1 << signal.SIGCHLD - 1
_SIGKILL_BIT = 1 << signal.SIGKILL - 1


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
    if waits_for_stops(pid) is not False:
        return True
    for tid in _threads_of(pid):
        status = thread_status(pid, tid)
        if status is not None:
            bits = int(status.get("SigCgt", "0"), 16) | int(status.get("SigBlk", "0"), 16)
            if bits & _SIGCHLD_BIT:
                return True
    return False


def waits_for_stops(pid: int, *, alone: bool = False) -> bool | None:
    """Whether a process waits right now to be told when a child stops; None if that cannot be seen.

    With ``alone`` a wait that asks for continuations as well does not count: that is how a shell keeps
    the book of its jobs.
    """
    if abi.SYS_WAIT4 is None:
        return None
    for tid in _threads_of(pid):
        try:
            fields = read_file(f"/proc/{pid}/task/{tid}/syscall").split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:
            # Another user's; or CONFIG_HAVE_ARCH_TRACEHOOK is not there.
            return None
        options = _wait_options(fields)
        if options & abi.WSTOPPED and not (alone and options & abi.WCONTINUED):
            return True
    return False


def _wait_options(fields: list[bytes]) -> int:
    """Return the options of the wait in which a thread is, as proc_pid_syscall(5) shows it; 0 if in none."""
    place = {abi.SYS_WAIT4: 3, abi.SYS_WAITID: 4}
    if len(fields) < 7 or int(fields[0]) not in place:
        return 0
    return int(fields[place[int(fields[0])]], 16)


def _threads_of(pid: int) -> list[int]:
    try:
        return sorted(thread_ids(pid))
    except MemtuiError:
        # Gone, or hidden from us: then its first thread tells, if anything does.
        return [pid]


def is_ending(pid: int) -> bool:
    """Whether a process is exiting, or has been killed and is about to; a SIGKILL on its way counts."""
    stat = thread_stat(pid, pid)
    if stat is None:
        return True
    if stat.state not in DEAD_STATES:
        return stat.is_ending or _is_killed(pid, pid)
    # Its first thread has ended, which others may outlive.
    for tid in _threads_of(pid):
        other = thread_stat(pid, tid)
        if tid != pid and other is not None and not other.is_ending and not _is_killed(pid, tid):
            return False
    return True


def _is_killed(pid: int, tid: int) -> bool:
    status = thread_status(pid, tid) or {}
    pending = int(status.get("SigPnd", "0"), 16) | int(status.get("ShdPnd", "0"), 16)
    return bool(pending & _SIGKILL_BIT)


def state_words(pid: int, tid: int, of_all: int, late: int) -> str:
    """Return, in words, that threads did not stop, and the state of one of them."""
    stat = thread_stat(pid, tid)
    state = stat.state if stat else "?"
    why = " (waits for a vfork child or for a device)" if state == "D" else ""
    return (
        f"{late} of {of_all} threads did not stop: thread {tid} is in state {state}{why}; "
        "it was let go and runs on"
    )


def process_group_holds_terminal(stat: Stat) -> bool:
    """Whether a process belongs to the foreground job of its terminal."""
    return bool(stat.tty_number) and stat.process_group == stat.foreground_group


def is_process_dir(pid: int) -> bool:
    """Whether there is a process of that pid, in whatever state."""
    return os.path.isdir(f"/proc/{pid}")

"""What the methods need to know of the threads of a process. A thread that is gone is None, no error."""

from __future__ import annotations

import os
import select
import signal

from memtui.freeze.method import FreezeError
from memtui.linux.procfs import Stat, parse_colon_lines, parse_stat, read_file, thread_ids
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.reasons import Reason

DEAD_STATES = frozenset("ZX")
_SIGSTOP_BIT = 1 << signal.SIGSTOP - 1


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

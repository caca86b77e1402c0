"""Whether a process is at its end: it takes a while, and looks like an exec or a SIGCONT meanwhile.

A killed process is woken from every stop, its memory goes in exit_mm(), and only at the very end of
do_exit() its pidfd becomes readable: for much memory tens of milliseconds lie between (Linux 6.18).
"""

from __future__ import annotations

import signal

from memtui.linux.procfs import Stat, parse_colon_lines, parse_stat, read_file, thread_ids
from memtui.model.errors import MemtuiError

_SIGKILL_BIT = 1 << signal.SIGKILL - 1


def is_ending(pid: int) -> bool:
    """Whether a process has exited, is exiting, or has a SIGKILL on its way.

    One whose first thread alone has ended goes on.
    """
    try:
        tids = thread_ids(pid)
    except MemtuiError:
        return True
    # The first thread last: where an exec takes over its number meanwhile, it is seen alive.
    return all(_thread_is_ending(pid, tid) for tid in sorted(tids, reverse=True))


def _thread_is_ending(pid: int, tid: int) -> bool:
    stat = _stat(pid, tid)
    if stat is None or stat.is_ending:
        return True
    try:
        status = parse_colon_lines(read_file(f"/proc/{pid}/task/{tid}/status"))
    except OSError:
        return True
    return bool((int(status.get("SigPnd", "0"), 16) | int(status.get("ShdPnd", "0"), 16)) & _SIGKILL_BIT)


def _stat(pid: int, tid: int) -> Stat | None:
    try:
        return parse_stat(read_file(f"/proc/{pid}/task/{tid}/stat"))
    except OSError:
        return None

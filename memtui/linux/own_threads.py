"""Threads and processes of our own, where the system may refuse one more."""

from __future__ import annotations

import errno
import threading

from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        MemtuiError: NO_TASKS, where clone(2) fails with EAGAIN: at RLIMIT_NPROC or the cgroup's pids.max.
    """
    try:
        thread.start()
    except RuntimeError as error:
        if thread.ident is not None:
            # Started twice: that is our own fault.
            raise
        raise MemtuiError(Reason.NO_TASKS) from error


def require_threads(count: int) -> None:
    """Make sure that so many threads more can be started just now.

    Raises:
        MemtuiError: NO_TASKS.
    """
    over = threading.Event()
    started = []
    try:
        for _ in range(count):
            started.append(threading.Thread(target=over.wait, daemon=True))
            start_thread(started[-1])
    finally:
        over.set()
        for thread in started:
            if thread.ident is not None:
                thread.join()


def no_process(error: OSError) -> str:
    """Return why a process could not be started, in words."""
    if error.errno == errno.EAGAIN:
        return Reason.NO_TASKS.text
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}"

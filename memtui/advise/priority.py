"""The priority of the thread that works while a target stands still."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NICE = -10
"""As the guard has it: on a busy machine a target stands still for as long as we wait for a CPU."""


@contextmanager
def raised_priority() -> Iterator[None]:
    """Let this thread alone run before others meanwhile, where we may (CAP_SYS_NICE, RLIMIT_NICE).

    On Linux the nice value is a thread's own (setpriority(2), "C library/kernel differences").
    """
    tid = threading.get_native_id()
    was = os.getpriority(os.PRIO_PROCESS, tid)
    if was > _NICE:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, tid, _NICE)
    try:
        yield
    finally:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, tid, was)

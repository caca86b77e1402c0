"""A process: who it is, and what the process list shows of it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class ProcessId(NamedTuple):
    """The identity of a process: a pid alone is reused, these three together are not.

    ``start_time`` is field 22 of /proc/PID/stat, in clock ticks since boot (proc_pid_stat(5)).
    """

    pid: int
    start_time: int
    boot_id: str


class Standing(str, Enum):
    """What became of a process that was chosen."""

    ALIVE = "alive"
    EXECED = "execed"
    """It runs another program now: its old map, and every mark in it, is dead."""
    ZOMBIE = "zombie"
    EXITED = "exited"
    CLOSED = "closed"
    """Nobody looks at it any more, so that nothing is known."""


class Process(NamedTuple):
    """One row of the process list. All text is raw; None is what could not be known.

    ``state`` is the letter of /proc/PID/stat. ``user`` is a name, or the uid in digits.
    """

    id: ProcessId
    name: str
    user: str | None
    state: str
    rss_bytes: int | None
    swap_bytes: int | None
    major_faults: int | None
    command: str | None
    cgroup: str | None = None
    is_kernel_thread: bool = False
    parent_pid: int | None = None

    @property
    def has_memory(self) -> bool:
        """Whether it has an address space of its own: kernel threads and zombies have none."""
        return not self.is_kernel_thread and self.state not in ("Z", "X")

    @property
    def pid(self) -> int:
        """The bare pid, to show."""
        return self.id.pid

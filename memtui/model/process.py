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


class Liveness(str, Enum):
    """What became of a process that was chosen."""

    ALIVE = "alive"
    EXECED = "execed"
    """It runs another program now: its old map, and every mark in it, is dead."""
    ZOMBIE = "zombie"
    EXITED = "exited"
    CLOSED = "closed"
    """Nobody looks at it any more, so that nothing is known."""


_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")


class Process(NamedTuple):
    """One row of the process list. All text is raw; None is what could not be known.

    ``state`` is the letter of /proc/PID/stat. ``user`` is whose rights it acts with (its effective uid): a
    name, or the uid in digits. ``swap_bytes`` is of private memory: what of shared memory is in swap the
    kernel counts for no process (VmSwap). ``hugetlb_bytes`` is no part of ``rss_bytes``, of which the
    others are. ``leader_exited`` tells that its first thread has ended, and others run on.
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
    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    hugetlb_bytes: int | None = None
    leader_exited: bool = False

    @property
    def has_memory(self) -> bool:
        """Whether it has an address space of its own: kernel threads and zombies have none."""
        return not self.is_kernel_thread and (self.state not in ("Z", "X") or self.leader_exited)

    @property
    def unit(self) -> str | None:
        """The systemd unit that it belongs to, by its cgroup; None where there is none, or nobody knows."""
        for part in reversed((self.cgroup or "").split("/")):
            if part.endswith(_UNITS):
                # systemd puts a _ before what would collide with the kernel's own files.
                return part.removeprefix("_")
        return None

    @property
    def pid(self) -> int:
        """The bare pid, to show."""
        return self.id.pid

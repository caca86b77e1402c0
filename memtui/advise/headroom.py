"""How much more may be brought into RAM: what the machine and the target's cgroups have room for.

Pages from swap are charged to the cgroup that they came from. Where that is full and nothing of it has a
way out, the kernel kills a process of it rather than leave a page out (KERNEL.md 12.7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.linux import machine
from memtui.linux.memory_limit import MemoryLimits
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from memtui.advise.cutting import Call

FLOOR_SHARE = 0.05
FLOOR_LEAST_BYTES = 64 << 20
"""What must stay available of the machine's memory (MemAvailable): a share of it all, and at least this.

The share holds for the limits of the target's cgroups too.
"""


class Headroom:
    """What may still be brought in for a process. What is not known is no room.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """

    def __init__(self, pid: int) -> None:
        self._limits = MemoryLimits(pid)
        self._machine_bytes = self._group_bytes = 0

    def look(self) -> int:
        """Look how much may be brought in now; return it in bytes."""
        self._machine_bytes = machine_room_bytes()
        self._group_bytes = self._limits.room_bytes(FLOOR_SHARE)
        return min(self._machine_bytes, self._group_bytes)

    def why_not(self, call: Call) -> Reason | None:
        """Return why a call may not bring in what it costs, by the last look; None if it may."""
        if call.cost_bytes > self._machine_bytes:
            return Reason.MEMORY_LOW
        return Reason.MEMORY_LIMIT if call.charged_bytes > self._group_bytes else None

    def refuses(self, more_bytes: int) -> Reason | None:
        """Look, and return why so much may not be brought in; None if it may."""
        self.look()
        if more_bytes > self._machine_bytes:
            return Reason.MEMORY_LOW
        return Reason.MEMORY_LIMIT if more_bytes > self._group_bytes else None


def machine_room_bytes() -> int:
    """Return how much may be taken so that enough of the machine's memory stays available; 0 if unknown."""
    memory = machine.memory()
    if memory.available_bytes is None or memory.total_bytes is None:
        return 0
    floor = max(FLOOR_LEAST_BYTES, int(memory.total_bytes * FLOOR_SHARE))
    return max(0, memory.available_bytes - floor)

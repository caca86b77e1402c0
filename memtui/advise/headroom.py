"""How much more may be brought into RAM: what the machine and the target's cgroups have room for.

Pages from swap are charged to the cgroup that they came from. Where that is full and nothing of it has a
way out, the kernel kills a process of it rather than leave a page out (docs/kernel-facts.md 12.7).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memtui.linux import sysinfo
from memtui.linux.memory_limit import MemoryLimits
from memtui.model.advice import Advice
from memtui.model.ranges import PAGE_BYTES
from memtui.model.reasons import Reason
from memtui.model.verdict import Expectation, ReasonBytes
from memtui.model.vma import VmaKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.advise.alignment import Call
    from memtui.model.plan import PlannedRange

BRINGS_IN = frozenset({Advice.WILLNEED, Advice.COLLAPSE})
"""What they bring in must find room; the others make room."""

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
        self.machine_bytes = self.group_bytes = 0
        """By the last look."""

    def look(self) -> int:
        """Look how much may be brought in now; return it in bytes."""
        self.machine_bytes = machine_room_bytes()
        self.group_bytes = self._limits.room_bytes(FLOOR_SHARE)
        return min(self.machine_bytes, self.group_bytes)

    def why_not(self, call: Call) -> Reason | None:
        """Return why a call may not bring in what it costs, by the last look; None if it may."""
        if call.cost_bytes > self.machine_bytes:
            return Reason.MEMORY_LOW
        return Reason.MEMORY_LIMIT if call.charged_bytes > self.group_bytes else None

    def refuses(self, more_bytes: int) -> Reason | None:
        """Look, and return why so much may not be brought in; None if it may."""
        self.look()
        if more_bytes > self.machine_bytes:
            return Reason.MEMORY_LOW
        return Reason.MEMORY_LIMIT if more_bytes > self.group_bytes else None


def fit_in_room(
    ranges: Sequence[PlannedRange], advice: Advice, pid: int, huge_page_bytes: int | None
) -> list[PlannedRange]:
    """Return ranges with no more forecast to come in than there is room for, ascending.

    WILLNEED uses up what there is. COLLAPSE frees the small pages for each huge one: it needs room for one.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    headroom = Headroom(pid)
    headroom.look()
    of_machine, of_group = headroom.machine_bytes, headroom.group_bytes
    found = []
    for item in ranges:
        verdict = item.verdict
        wanted = verdict.forecast_bytes
        if not wanted or verdict.refused:
            found.append(item)
            continue
        is_charged = item.kind is not VmaKind.FILE or advice is Advice.COLLAPSE
        tighter = of_group < of_machine
        room = min(of_machine, of_group) if is_charged else of_machine
        if advice is Advice.COLLAPSE:
            comes = wanted if room >= (huge_page_bytes or 0) else 0
        else:
            comes = min(wanted, room // PAGE_BYTES * PAGE_BYTES)
            of_machine -= comes
            of_group -= comes if is_charged else 0
        if comes < wanted:
            reason = Reason.MEMORY_LIMIT if is_charged and tighter else Reason.MEMORY_LOW
            reasons = (ReasonBytes(reason, wanted - comes), *verdict.reasons)
            will = Expectation.PARTLY if comes else Expectation.NO
            item = item._replace(verdict=replace(verdict, will=will, forecast_bytes=comes, reasons=reasons))
        found.append(item)
    return found


def machine_room_bytes() -> int:
    """Return how much may be taken so that enough of the machine's memory stays available; 0 if unknown."""
    memory = sysinfo.memory()
    if memory.available_bytes is None or memory.total_bytes is None:
        return 0
    floor = max(FLOOR_LEAST_BYTES, int(memory.total_bytes * FLOOR_SHARE))
    return max(0, memory.available_bytes - floor)

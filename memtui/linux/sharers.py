"""Which processes map a file: a look through the maps of all of them, when it is asked for.

Two containers of one image map the same pages under two devices: each has an overlay of its own over the
same lower layer. That the pages are the same only their page frames tell, which needs CAP_SYS_ADMIN
(admin-guide/mm/pagemap.rst).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memtui.linux.folios import file_frames
from memtui.linux.procfs import MapLines, decode, read_process_file, read_stat
from memtui.linux.sysinfo import file_systems
from memtui.model.errors import MemtuiError, NotPermitted
from memtui.model.ranges import PAGE_BYTES
from memtui.model.reasons import Reason
from memtui.model.restore import Sharer, Sharers
from memtui.model.vma import VmaKind

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from memtui.model.vma import Vma

_COMPARED_BYTES = 64 << 20


def mappers_of(vma: Vma, but: int, cancelled: threading.Event | None = None) -> Sharers:
    """Return the processes, other than ``but``, that map the same file or shared memory.

    A file is known by device and inode, as maps shows them; private memory has none, and no mappers. What
    lies under another device, and has the same name or inode, is compared page frame by page frame.

    Raises:
        MemtuiError: CANCELLED, before the next process, after ``cancelled`` was set; if ``but`` has gone.
    """
    if not vma.inode and vma.kind is not VmaKind.SHMEM:
        return Sharers((), 0)
    search = _Search(vma, but)
    found: list[Sharer] = []
    possible: list[Sharer] = []
    unreadable = 0
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if cancelled is not None and cancelled.is_set():
            raise MemtuiError(Reason.CANCELLED)
        if pid == but:
            continue
        try:
            maps = search.is_mapped_by(pid)
            if maps is not False:
                (possible if maps is None else found).append(Sharer(pid, read_stat(pid).name))
        except NotPermitted:
            unreadable += 1
        except MemtuiError:
            # It has exited meanwhile.
            continue
    return Sharers(tuple(found), unreadable, search.times_mapped_again(), tuple(possible))


class _Search:
    """Looks for the file of one VMA in other maps."""

    def __init__(self, vma: Vma, pid: int) -> None:
        self._vma = vma
        self._pid = pid
        self._inode = b" %d " % vma.inode
        self._name = os.fsencode(vma.name)
        # A process sees the mounts of its own namespace; what is missing there may be an overlay.
        self._is_on_a_disk = not vma.device.startswith("00:")

    def is_mapped_by(self, pid: int) -> bool | None:
        """Return whether a process maps it; None where it may be, and the page frames are hidden.

        Raises:
            MemtuiError: if it has gone, or may not be read.
        """
        others = list(self._alike(read_process_file(pid, "maps")))
        if any(self._is_same_file(other) for other in others):
            return True
        answers = {self._shares_pages(pid, other) for other in others}
        return True if True in answers else None if None in answers else False

    def times_mapped_again(self) -> int:
        """Return how often the same part of the file is mapped by the process itself, beside this VMA.

        Raises:
            MemtuiError: if it has gone.
        """
        mine = self._alike(read_process_file(self._pid, "maps"))
        return sum(
            1
            for other in mine
            if other.start != self._vma.start and self._is_same_file(other) and self._common(other)
        )

    def _alike(self, text: bytes) -> Iterator[Vma]:
        """Yield the VMAs with the same inode or name: it may be the same file, under whatever device."""
        if self._inode not in text and self._name not in text:
            return
        lines = MapLines(frozenset())
        for line in text.split(b"\n"):
            if self._inode in line or (self._name and self._name in line):
                other = lines.vma(decode(line))
                if other.inode == self._vma.inode or other.name == self._vma.name:
                    yield other

    def _is_same_file(self, other: Vma) -> bool:
        return (other.device, other.inode) == (self._vma.device, self._vma.inode)

    def _common(self, other: Vma) -> tuple[int, int] | None:
        """Return the part of the file, in bytes from its beginning, that both map."""
        low = max(self._vma.offset, other.offset)
        high = min(self._vma.offset + self._vma.size_bytes, other.offset + other.size_bytes)
        return (low, high) if low < high else None

    def _shares_pages(self, pid: int, other: Vma) -> bool | None:
        """Return whether a page of the file stands in both under one frame; None where that is hidden."""
        common = self._common(other)
        if common is None or (self._is_on_a_disk and not other.device.startswith("00:")):
            return False
        low, high = common[0], min(common[1], common[0] + _COMPARED_BYTES)
        pages = (high - low) // PAGE_BYTES
        ours = file_frames(self._pid, self._vma.start + low - self._vma.offset, pages)
        theirs = file_frames(pid, other.start + low - other.offset, pages)
        if ours is None or theirs is None:
            # Only an overlay gives one file's pages two devices.
            kinds = (file_systems(self._pid).get(self._vma.device), file_systems(pid).get(other.device))
            return None if "overlay" in kinds else False
        return any(mine and mine == its for mine, its in zip(ours, theirs, strict=False))

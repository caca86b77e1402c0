"""RSS and swap where the page table does not tell them: what smaps says stands in their place.

Measured on Linux 6.18 (docs/kernel-facts.md 12.1, 12.4, 3.2, 3.3). The page table shows markers (of
userfaultfd, of lost pages, before Linux 6.15 of guard regions) as if they were swapped, and has no trace of
shared memory in swap, also where a mapping looks like one of a file since its tmpfs is hidden from us. Memory
of hugetlbfs stands in it as resident, and RSS leaves it out.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING

from memtui.model.pages import Residency
from memtui.model.vma import USERFAULTFD_FLAGS, VmaDetails

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memtui.linux.vma_table import MapTable


class SmapsCheck:
    """Holds the page table's numbers of one map against smaps, and corrects them. Not for several threads."""

    def __init__(self) -> None:
        self._starts: Sequence[int] = ()
        self._details: Mapping[int, VmaDetails] = {}
        self._shmem: frozenset[int] = frozenset()
        self._hugetlb_starts: list[int] = []
        self._hugetlb: Sequence[int] = ()
        self._shown: dict[int, int] = {}
        self._is_learnt = False
        self._uses_markers = False
        self._places: Sequence[int] = ()
        self.starts: frozenset[int] = frozenset()
        """Where VMAs begin of whose swap the page table does not tell, but those of shared memory."""

    def lay_out(self, table: MapTable, shmem: Iterable[int], details: Mapping[int, VmaDetails]) -> None:
        """Take a new layout; ``shmem`` says which VMAs map shared memory.

        ``details`` are those of VMAs that stand in it as they stood in the last one.
        """
        self._starts, self._details = table.starts, details
        self._shmem = frozenset(shmem)
        self._shown = {start: swap for start, swap in self._shown.items() if start in details}
        self._hugetlb_starts = [start for start in self._hugetlb_starts if start in details]
        self._sort()

    def learn(self, shmem: Iterable[int], details: Mapping[int, VmaDetails], seen: Residency) -> None:
        """Take what smaps said, just before the page table was ``seen``."""
        self._shmem = frozenset(shmem)
        self._details, self._shown, self._hugetlb_starts = details, {}, []
        self._is_learnt, self._uses_markers = True, False
        served: dict[tuple[str, ...] | None, bool] = {None: True}
        rows = map(details.get, self._starts)
        numbers = zip(self._starts, rows, seen.rss_bytes, seen.swap_bytes, strict=True)
        for at, (start, row, rss, swap) in enumerate(numbers):
            if row is None or swap is None:
                continue
            is_served = served.get(row.flags)
            if is_served is None:
                is_served = served[row.flags] = not USERFAULTFD_FLAGS.isdisjoint(row.flags or ())
            # A page that came or went in between has changed RSS, too.
            differs = row.swap_bytes != swap and row.rss_bytes == rss
            if differs or is_served or at in self._shmem:
                self._shown[start] = swap
                self._uses_markers |= is_served or (differs and swap > row.swap_bytes)
            if row.hugetlb_bytes or row.has_flag("ht"):
                self._hugetlb_starts.append(start)
        self._sort()

    def _sort(self) -> None:
        starts, place = self._starts, partial(bisect_left, self._starts)
        self._hugetlb = [place(start) for start in self._hugetlb_starts]
        places = {place(start) for start in self._shown} | self._shmem
        if self._uses_markers:
            # Of a process without markers the page table is believed also of VMAs that have come since.
            places.update(at for at, start in enumerate(starts) if start not in self._details)
        self._places = sorted(places)

    def correct(self, seen: Residency) -> Residency:
        """Return the numbers as they are; None is what only smaps tells, and has not told of this."""
        places = self._places
        if not self._is_learnt and any(seen.swap_bytes):
            places = range(len(self._starts))
        elif seen.marked:
            places = sorted({*places, *seen.marked})
        if not places and not self._hugetlb:
            self.starts = frozenset()
            return seen
        rss, swap = list(seen.rss_bytes), list(seen.swap_bytes)
        for at in places:
            swap[at] = self._swap(at, rss[at], swap[at])
        for at in self._hugetlb:
            rss[at] = swap[at] = 0
        self.starts = frozenset([self._starts[at] for at in places if at not in self._shmem])
        return Residency(rss, swap, seen.marked)

    def _swap(self, at: int, rss: int | None, shown: int | None) -> int | None:
        start = self._starts[at]
        row = self._details.get(start)
        if not shown and at not in self._shmem and (row is None or not row.swap_bytes):
            # Nothing is in swap, and nothing is marked.
            return shown
        if row is None or row.rss_bytes != rss or self._shown.get(start) != shown:
            return None
        return row.swap_bytes

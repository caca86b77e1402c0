"""Live RSS and swap of every VMA, again and again, at little more than what the kernel's walk costs.

The address space is scanned in windows of neighbouring VMAs. What the kernel says of a window is
compared, as bytes, with what it said the last time, and counted anew only where it differs.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Protocol

from memtui.model.pages import PRESENT, SWAPPED, ZERO, may_be_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memtui.linux.vma_table import MapTable

_WINDOW_VMAS = 256
_BEYOND = 1 << 64
_IN_RSS = PRESENT | ZERO


class Scanner(Protocol):
    """PAGEMAP_SCAN of one process: see syscalls.PageScanner."""

    def scan_raw(self, start: int, end: int, max_pages: int) -> tuple[bytes, bool]: ...


class LiveResidency:
    """The numbers of one layout. Not for several threads at once.

    ``rss_bytes`` and ``swap_bytes`` are in the order of the VMAs, as of the last :meth:`read`; the lists
    are new ones whenever a number has changed, and the same ones while none has. ``marked`` are the VMAs in
    which what looks swapped may be markers: see Residency.
    """

    def __init__(
        self, table: MapTable, scanner: Scanner, window_pages: int, error_of: Callable[[OSError], Exception]
    ) -> None:
        self._scanner = scanner
        self._window_pages = window_pages
        self._error_of = error_of
        self._table = table
        self._starts = table.starts
        usable = len(table)
        # [vsyscall] lies above what may be scanned.
        while usable and table[usable - 1].name == "[vsyscall]":
            usable -= 1
        self._usable = usable
        self._end = table[usable - 1].end if usable else 0
        self._hugetlb = frozenset(at for at in table.holding(b"huge") if table[at].kind.value == "hugetlb")
        self._seen: list[tuple[bytes, ...]] = [()] * -(-usable // _WINDOW_VMAS)
        self._was_read = False
        self.rss_bytes: list[int | None] = [0] * len(table)
        self.swap_bytes: list[int | None] = [0] * len(table)
        self.marked: frozenset[int] = frozenset()

    def read(self, only: Iterable[int] | None = None) -> None:
        """Look again at all VMAs, or at those windows in which the addresses ``only`` lie.

        The first time it is all of them.

        Raises:
            MemtuiError: if the process has gone, or may no longer be read.
        """
        windows: Iterable[int] = range(len(self._seen))
        if only is not None and self._was_read:
            places = (bisect_right(self._starts, address) - 1 for address in only)
            windows = sorted({max(0, at) // _WINDOW_VMAS for at in places if at < self._usable})
        fresh = False
        for window in windows:
            first = window * _WINDOW_VMAS
            last = min(first + _WINDOW_VMAS, self._usable)
            if first >= last:
                continue
            raw = self._scan(self._starts[first], self._starts[last] if last < self._usable else self._end)
            if raw != self._seen[window]:
                if not fresh:
                    self.rss_bytes, self.swap_bytes = self.rss_bytes[:], self.swap_bytes[:]
                    fresh = True
                self._count(raw, first, last)
                self._seen[window] = raw
        self._was_read = True

    def _scan(self, start: int, end: int) -> tuple[bytes, ...]:
        parts: list[bytes] = []
        finished = False
        while not finished and start < end:
            try:
                part, finished = self._scanner.scan_raw(start, end, self._window_pages)
            except OSError as error:
                raise self._error_of(error) from error
            if part:
                parts.append(part)
                start = struct.unpack_from("=Q", part, len(part) - 16)[0]
        return tuple(parts)

    def _count(self, raw: Sequence[bytes], first: int, last: int) -> None:
        rss: list[int] = [0] * (last - first)
        swap: list[int] = [0] * (last - first)
        marked: set[int] = set()
        starts = [*self._starts[first:last], _BEYOND]
        ends = [*self._table.ends(first, last), _BEYOND]
        at, stop = 0, ends[0]
        for part in raw:
            for start, end, state in struct.iter_unpack("=QQQ", part):
                into = rss if state & _IN_RSS == PRESENT else swap if state & SWAPPED else None
                if into is None:
                    continue
                while stop <= start:
                    at += 1
                    stop = ends[at]
                # What lies between VMAs was mapped after the map was read: it is nobody's.
                if start < starts[at]:
                    start = starts[at]
                if into is swap and may_be_marker(state):
                    marked.update(range(first + at, first + bisect_left(starts, end, lo=at)))
                while end > stop:
                    into[at] += stop - start
                    at += 1
                    start, stop = starts[at], ends[at]
                if end > start:
                    into[at] += end - start
        for index in self._hugetlb:
            if first <= index < last:
                # Measured: not in smaps' Rss, though present.
                rss[index - first] = 0
        self.rss_bytes[first:last] = rss
        self.swap_bytes[first:last] = swap
        if marked or self.marked:
            self.marked = self.marked.difference(range(first, last)) | marked

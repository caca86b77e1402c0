"""Which pages of a process are in RAM, in swap, huge: PAGEMAP_SCAN, with its fallbacks.

Measured on Linux 6.18: per VMA, the sum of present pages that are not the zero page equals smaps'
Rss, at an eighth of the cost, except for hugetlb memory, which Rss leaves out, and for the swap of
shared memory, which leaves no trace in the page table.
"""

from __future__ import annotations

import errno
import os
from array import array
from bisect import bisect_right
from enum import Enum
from itertools import chain, groupby
from operator import sub
from typing import TYPE_CHECKING

from memtui.linux.procfs import error_of, read_smaps
from memtui.linux.rss_tracker import LiveResidency
from memtui.linux.syscalls import PageScanner
from memtui.model.pages import (
    FILE,
    PRESENT,
    SWAPPED,
    WRITTEN,
    RawRun,
    Residency,
    cut,
    may_be_marker,
    tally_by_span,
)
from memtui.model.ranges import PAGE_BYTES, AddressColumns, Range, RangeSet, Span
from memtui.model.vma import Vma, VmaDetails, VmaKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from memtui.linux.process_handle import ProcessHandle
    from memtui.linux.vma_table import MapTable
    from memtui.model.errors import MemtuiError

WINDOW_PAGES = (256 << 20) // PAGE_BYTES
"""Populated pages a scan visits under one hold of the mmap lock: 256 MiB (docs/kernel-facts.md 4.7)."""

_JOIN_BYTES = 2 << 20
_PREAD_LIMIT_BYTES = 64 << 30
_PREAD_ENTRIES = 1 << 16
# Of an entry of pagemap that is not present: whether it is swapped and no guard region, and then its type and
# its place. Type 31 is of markers, which are not in swap (include/linux/swap.h; docs/kernel-facts.md 12.1).
_LOOKS_SWAPPED, _IN_SWAP, _PLACE, _TYPE, _MARKER = 0b1100_0100 << 56, 0b0100_0000 << 56, (1 << 55) - 1, 31, 31


class Source(str, Enum):
    """Where page states come from."""

    SCAN = "scan"
    PAGEMAP = "pagemap"
    SMAPS = "smaps"


class PageReader:
    """Reads the page states of one process. Not for several threads at once.

    ``source`` is the best way that works here, found by trying; a test may ask for a lesser one.

    Raises:
        MemtuiError: if the process has exited or exec'ed.
    """

    def __init__(self, handle: ProcessHandle, source: Source = Source.SCAN) -> None:
        self._handle = handle
        self._scanner = None
        self.source = Source.SMAPS
        if handle.pagemap is None or source is Source.SMAPS:
            return
        self.source = Source.PAGEMAP
        if source is Source.SCAN:
            scanner = PageScanner(handle.pagemap)
            if self._scan_works(scanner):
                self._scanner = scanner
                self.source = Source.SCAN

    def residency(self, vmas: Sequence[Vma]) -> Residency:
        """Return RSS and swap of each VMA.

        Raises:
            MemtuiError: if the process has gone, or nothing of it may be read.
        """
        usable = [vma for vma in vmas if vma.kind is not VmaKind.VSYSCALL]
        size = sum(vma.size_bytes for vma in usable)
        if self.source is Source.SMAPS or (self.source is Source.PAGEMAP and size > _PREAD_LIMIT_BYTES):
            return residency_of_details(vmas, self.details())
        if self._scanner is not None and usable:
            # One walk over the whole address space: holes cost nothing, an ioctl a VMA costs 1.5 us.
            looks = self._scans(usable[0].start, usable[-1].end)
        else:
            looks = self._pread(AddressColumns.from_items(usable))
        spans, runs = AddressColumns.from_items(vmas), list(chain.from_iterable(looks))
        found = tally_by_span(spans, runs)
        for index, vma in enumerate(vmas):
            if vma.kind is VmaKind.HUGETLB:
                found.rss_bytes[index] = 0
        markers = [run for run in runs if may_be_marker(run[2])]
        marked = tally_by_span(spans, markers).swap_bytes if markers else ()
        return Residency(
            found.rss_bytes, found.swap_bytes, frozenset(at for at, size in enumerate(marked) if size)
        )

    def live(self, table: MapTable) -> LiveResidency | None:
        """Return the live numbers of a layout, to be read again and again; None without PAGEMAP_SCAN."""
        if self._scanner is None:
            return None
        return LiveResidency(table, self._scanner, WINDOW_PAGES, self._error_of)

    def runs(self, within: RangeSet) -> list[RawRun] | None:
        """Return the runs of populated pages in ``within``; None where pagemap may not be read.

        Raises:
            MemtuiError: if the process has gone.
        """
        runs = self.each_run(within)
        return None if runs is None else list(cut(runs, within))

    def raw_runs(self, spans: Sequence[Span] | AddressColumns) -> list[RawRun] | None:
        """Return the runs of populated pages in ascending ``spans``, and perhaps of some between them.

        Quicker than :meth:`runs`. None where pagemap may not be read.

        Raises:
            MemtuiError: if the process has gone.
        """
        looks = self.each_look(spans)
        if looks is None:
            return None
        found: list[RawRun] = []
        for look in looks:
            found.extend(look)
        return found

    def each_run(self, spans: Sequence[Span] | AddressColumns) -> Iterator[RawRun] | None:
        """Return the same one after the other.

        Raises:
            MemtuiError: at any step, if the process has gone.
        """
        looks = self.each_look(spans)
        return None if looks is None else chain.from_iterable(looks)

    def each_look(self, spans: Sequence[Span] | AddressColumns) -> Iterator[list[RawRun]] | None:
        """Return the same look by look, each of which holds the target's mmap lock but briefly.

        Raises:
            MemtuiError: at any step, if the process has gone.
        """
        if self._scanner is not None:
            return self._scan_joined(AddressColumns.from_items(spans))
        return self._pread(AddressColumns.from_items(spans)) if self.source is Source.PAGEMAP else None

    def reach(self, within: AddressColumns, budget_bytes: int) -> int:
        """Return how many leading items of ``within`` hold at most ``budget_bytes`` of populated pages.

        Always at least one. Where page states cannot be read, sizes stand in for them.
        """
        runs: Iterable[RawRun] = ((start, end, PRESENT) for start, end in within)
        if self._scanner is not None:
            looks = self._scan_joined(within)
            ranges = tuple(Range(start, end) for start, end in within)
            runs = cut(chain.from_iterable(looks), ranges)
        left = budget_bytes
        for start, end, _state in runs:
            left -= end - start
            if left < 0:
                return max(1, bisect_right(within.starts, start) - 1)
        return len(within)

    def without_markers(self, runs: Iterable[RawRun]) -> int | None:
        """Return how many bytes of ``runs`` are in swap; None where that cannot be told from markers.

        Raises:
            MemtuiError: if the process has gone.
        """
        found = 0
        for start, end, state in runs:
            if not state & SWAPPED:
                continue
            for data, _at in self._entries(start, end):
                for entry in array("Q", data):
                    if entry & _LOOKS_SWAPPED == _IN_SWAP:
                        if not entry & _PLACE:
                            # Hidden from who has not CAP_SYS_ADMIN (admin-guide/mm/pagemap.rst).
                            return None
                        found += entry & _TYPE != _MARKER
        return found * PAGE_BYTES

    def details(self) -> dict[int, VmaDetails]:
        """Read smaps: everything, slowly. Pins no address space: look at the standing afterwards.

        Raises:
            MemtuiError: NoSuchProcess, NotPermitted.
        """
        return read_smaps(self._handle.pid)

    def _scan_works(self, scanner: PageScanner) -> bool:
        try:
            scanner.scan(0, PAGE_BYTES, 1)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise self._error_of(error) from error
            # ENOTTY before Linux 6.7; an emulator or a filter may answer with anything else.
            return False
        return True

    def _error_of(self, error: OSError) -> MemtuiError:
        if error.errno == errno.ESRCH:
            return self._handle.lost_error()
        return error_of(error, self._handle.pid)

    def _scan_joined(self, spans: AddressColumns) -> Iterator[list[RawRun]]:
        for start, end in _joined(spans):
            yield from self._scans(start, end)

    def _scans(self, start: int, end: int) -> Iterator[list[RawRun]]:
        """Yield what each ioctl found."""
        assert self._scanner is not None
        at = start
        finished = False
        while not finished:
            try:
                runs, finished = self._scanner.scan(at, end, WINDOW_PAGES)
            except OSError as error:
                raise self._error_of(error) from error
            yield runs
            if runs:
                at = runs[-1][1]
            finished = finished or at >= end

    def _pread(self, spans: AddressColumns) -> Iterator[list[RawRun]]:
        for first, last in spans:
            for data, start in self._entries(first, last):
                yield list(_runs_of_entries(data, start))

    def _entries(self, first: int, last: int) -> Iterator[tuple[bytes, int]]:
        """Yield pagemap's entries of a stretch, part by part, each with where it begins."""
        file = self._handle.pagemap
        assert file is not None
        for start in range(first, last, _PREAD_ENTRIES * PAGE_BYTES):
            pages = min(_PREAD_ENTRIES, (last - start) // PAGE_BYTES)
            try:
                data = os.pread(file.fileno(), pages * 8, start // PAGE_BYTES * 8)
            except OSError as error:
                raise self._error_of(error) from error
            yield data[: len(data) // 8 * 8], start


def _joined(spans: AddressColumns) -> Iterator[tuple[int, int]]:
    """Join neighbours over small gaps: one ioctl over a gap is cheaper than two."""
    if not len(spans):
        return
    starts, ends = spans.starts, spans.ends
    start = starts[0]
    for at, gap in enumerate(map(sub, starts[1:], ends)):
        if gap > _JOIN_BYTES:
            yield start, ends[at]
            start = starts[at + 1]
    yield start, ends[-1]


def _bits_of(entry: int) -> int:
    """Return bits 57 to 63 of an entry but those that do not count; 0 of what is known to be a marker."""
    bits = entry >> 57 & 0b1110011
    return 0 if bits & 0x60 == 0x20 and entry & _TYPE == _MARKER else bits


def _runs_of_entries(data: bytes, start: int) -> Iterator[RawRun]:
    """Turn entries of /proc/PID/pagemap into runs (Documentation/admin-guide/mm/pagemap.rst).

    The zero page cannot be told from others here, so RSS may come out too high by it.
    """
    entries = array("Q")
    entries.frombytes(data)
    at = start
    for bits, group in groupby(entries, key=_bits_of):
        end = at + sum(1 for _ in group) * PAGE_BYTES
        # The second lowest bit is that of a guard region, which looks swapped and holds nothing; the
        # lowest one that of a write protection by userfaultfd.
        state = PRESENT if bits & 0x40 else SWAPPED if bits & 0x22 == 0x20 else 0
        if state:
            yield at, end, state | (FILE if bits & 0x10 else 0) | (0 if bits & 1 else WRITTEN)
        at = end


def residency_of_details(vmas: Sequence[Vma], details: Mapping[int, VmaDetails]) -> Residency:
    """Return RSS and swap of each VMA as smaps has them; None for one that smaps does not list."""
    rows = [details.get(vma.start) for vma in vmas]
    return Residency(
        [row.rss_bytes if row else None for row in rows], [row.swap_bytes if row else None for row in rows]
    )

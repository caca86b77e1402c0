"""Who else maps the pages of a range: the entries of /proc/PID/pagemap, added up without a loop a page.

Bit 56 of an entry tells that a page is mapped once. The kernel's advice asks that of the whole folio
(folio_maybe_mapped_shared(), mm/madvise.c), so that of a large folio which another process maps a part
of nothing goes. Measured on Linux 6.18: of a huge page that is mapped as one, bit 56 tells the state
of its first page only; there /proc/kpagecount has the truth, for those who may read it. And a dirty
large folio of a file goes only if the range maps it whole and in one piece: /proc/kpageflags tells.
"""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_left, bisect_right
from operator import sub
from typing import TYPE_CHECKING

from memtui.linux import folios
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.procfs import error_of
from memtui.model.pages import HUGE, ZERO, PageFacts, RawRun
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.ranges import AddressColumns, Span

_ENTRY_BYTES = 8
_STRETCH_BYTES = 256 << 20
_GAP_BYTES = 16 * PAGE_BYTES
_MARGIN_BYTES = 512 * PAGE_BYTES
_SMALL_BYTES = 64 * PAGE_BYTES
"""Up to this size spans are looked at as wholes: there are many of them, and few ways to be."""

_TOP, _LOW = (7, 0) if sys.byteorder == "little" else (0, 7)
"""Where in an entry its bits 56 to 63 stand, and its bits 0 to 7."""

ABSENT, OWN_ANONYMOUS, OWN_FILE, SHARED, SWAPPED, STUCK, NOUGHT, PINNED = range(8)
"""What a page is, one byte a page."""
_COUNTED = (OWN_ANONYMOUS, OWN_FILE, SHARED, SWAPPED, STUCK, NOUGHT, PINNED)
_KINDS = 1 + len(_COUNTED)


def _class_of(top: int) -> int:
    # Bits 63 present, 62 swapped, 61 file or shared memory, 58 a guard region, which looks swapped and is
    # not, 56 mapped once (admin-guide/mm/pagemap.rst).
    if not top & 0x80:
        return SWAPPED if top & 0x44 == 0x40 else ABSENT
    if not top & 0x01:
        return SHARED
    return OWN_FILE if top & 0x20 else OWN_ANONYMOUS


_SHARED_ALL = bytes.maketrans(bytes((OWN_ANONYMOUS, OWN_FILE)), bytes((SHARED, SHARED)))
_PINNED_OWN = bytes.maketrans(bytes((OWN_ANONYMOUS,)), bytes((PINNED,)))
_CLASSES = bytes(_class_of(top) for top in range(256))
_BY_TYPE = bytes(ABSENT if low & 31 == 31 else SWAPPED for low in range(256))
"""What a page is that looks swapped: type 31 is of markers. Without CAP_SYS_ADMIN all types are 0."""
_RUN_OF_SWAPPED = re.compile(bytes((SWAPPED,)) + b"+")


class Stretch:
    """Neighbouring pages with what they are; ``classes`` has a byte a page from ``start`` on."""

    def __init__(self, start: int, classes: bytearray) -> None:
        self.start = start
        self.end = start + len(classes) * PAGE_BYTES
        self.classes = classes

    def empty(self, start: int, end: int) -> None:
        """Say that the zero page stands from ``start`` to ``end``."""
        first, last = self._places(start, end)
        self.classes[first:last] = bytes((NOUGHT,)) * (last - first)

    def share(self, start: int, end: int) -> None:
        """Say that what is resident from ``start`` to ``end`` is mapped by others too."""
        first, last = self._places(start, end)
        self.classes[first:last] = self.classes[first:last].translate(_SHARED_ALL)

    def pin(self, start: int, end: int) -> None:
        """Say that what is anonymous, and nobody else's, from ``start`` to ``end`` is pinned."""
        first, last = self._places(start, end)
        self.classes[first:last] = self.classes[first:last].translate(_PINNED_OWN)

    def _places(self, start: int, end: int) -> tuple[int, int]:
        return (start - self.start) // PAGE_BYTES, (end - self.start) // PAGE_BYTES


def _neighbours(looks: Iterator[list[RawRun]]) -> Iterator[tuple[list[RawRun], bool]]:
    """Yield runs with no wide gap between them, and whether they lie in one window; else each on its own."""
    for look in looks:
        if not look:
            continue
        first = 0
        ends = [end for _start, end, _state in look]
        gaps = map(sub, [start for start, _end, _state in look[1:]], ends)
        wide = [at for at, gap in enumerate(gaps, 1) if gap > _GAP_BYTES]
        for behind in (*wide, len(look)):
            group = look[first:behind] if first or behind < len(look) else look
            first = behind
            if group[0][0] // _STRETCH_BYTES == (group[-1][1] - 1) // _STRETCH_BYTES:
                yield group, True
            else:
                yield from (([run], False) for run in group)


class _Borders:
    """Where spans begin and end, sorted when it is first asked for: most plans have no file to ask of."""

    def __init__(self, spans: AddressColumns) -> None:
        self._spans = spans
        self._sorted: list[int] | None = None

    def between(self, start: int, end: int) -> list[int]:
        """Return the borders from ``start`` to ``end``, both included."""
        if self._sorted is None:
            self._sorted = sorted({*self._spans.starts, *self._spans.ends})
        return self._sorted[bisect_left(self._sorted, start) : bisect_right(self._sorted, end)]


class PageClassifier:
    """Looks at the pages of one process, for one plan. Close it.

    ``pinned`` is what of its memory is pinned for I/O. A test may ask for a lesser ``source`` than the best
    that works here.

    Raises:
        MemtuiError: if the process has exited or exec'ed.
    """

    def __init__(
        self,
        handle: ProcessHandle,
        huge_page_bytes: int | None,
        source: Source = Source.SCAN,
        pinned: RangeSet = (),
    ) -> None:
        self._pinned = pinned
        self._handle = handle
        self._reader = PageReader(handle, source)
        self._huge_page_bytes = huge_page_bytes
        self._folios = folios.Folios.open(handle.pagemap_fd)
        self._small: dict[bytes, PageFacts] = {}

    def __enter__(self) -> PageClassifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        if self._folios is not None:
            self._folios.close()

    @property
    def sees_zero_and_huge(self) -> bool:
        """Whether the zero page and huge pages can be told from others: only PAGEMAP_SCAN does."""
        return self._reader.source is Source.SCAN

    def runs(self, spans: Sequence[Span]) -> Iterator[RawRun] | None:
        """Return the runs of populated pages in ascending spans, one by one, and perhaps some between."""
        return self._reader.each_run(spans)

    def write_protected(self, runs: Sequence[RawRun], huge_page_bytes: int) -> frozenset[int]:
        """Return the huge pages, by address, with a page that a userfaultfd protects from writes.

        Raises:
            MemtuiError: if the process has gone.
        """
        blocks = {
            at
            for start, end, _state in runs
            for at in range(start // huge_page_bytes * huge_page_bytes, end, huge_page_bytes)
        }
        found = []
        for block in sorted(blocks):
            tops = self._read(block, huge_page_bytes // PAGE_BYTES)[_TOP::_ENTRY_BYTES]
            # Bit 57 of an entry (pagemap.rst).
            if any(top & 0x02 for top in tops):
                found.append(block)
        return frozenset(found)

    def facts(self, spans: AddressColumns) -> Iterator[PageFacts | None] | None:
        """Yield the facts of ascending spans; None before those is only a chance to be interrupted.

        None where pagemap may not be read.

        Raises:
            MemtuiError: at any step, if the process has gone.
        """
        looks = self._reader.each_look(spans)
        return None if looks is None else self._facts(spans, looks)

    def _facts(self, spans: AddressColumns, looks: Iterator[list[RawRun]]) -> Iterator[PageFacts | None]:
        starts, ends = spans.starts, spans.ends
        at, last = 0, len(spans)
        counts = [0] * _KINDS
        begun = False
        none = self._page_facts(counts)
        page, small = PAGE_BYTES, self._small.get
        for stretch in self._stretches(looks, _Borders(spans)):
            low, high, classes = stretch.start, stretch.end, bytes(stretch.classes)
            while at < last and ends[at] <= low:
                yield self._page_facts(counts) if begun else none
                at, counts, begun = at + 1, [0] * _KINDS, False
            while at < last:
                start, end = starts[at], ends[at]
                if start >= high:
                    break
                if not begun and low <= start and end <= high and end - start <= _SMALL_BYTES:
                    part = classes[(start - low) // page : (end - low) // page]
                    yield small(part) or self._small_facts(part)
                    at += 1
                    continue
                _count(stretch, start, end, counts)
                if end > high:
                    begun = True
                    break
                yield self._page_facts(counts)
                at, counts, begun = at + 1, [0] * _KINDS, False
            yield None
        for _ in range(at, last):
            yield self._page_facts(counts) if begun else none
            counts, begun = [0] * _KINDS, False

    def _small_facts(self, classes: bytes) -> PageFacts:
        """Return the facts of a few pages, one value for all that are alike."""
        found = self._page_facts([classes.count(what) for what in range(_KINDS)])
        self._small[classes] = found
        return found

    def _page_facts(self, counts: Sequence[int]) -> PageFacts:
        own_anonymous, own_file, shared, swapped, stuck, zero, pinned = (
            counts[what] * PAGE_BYTES for what in _COUNTED
        )
        known = self._folios is not None
        return PageFacts(own_anonymous, own_file, shared, swapped, stuck, zero, known, pinned_bytes=pinned)

    def _stretches(self, looks: Iterator[list[RawRun]], borders: _Borders) -> Iterator[Stretch]:
        """Read the entries of runs, neighbours together: a read costs more than a few empty entries."""
        parts: list[RawRun] = []
        lead = trail = number = 0
        for group, inside in _neighbours(looks):
            # Cut where a page table ends too: see Folios.stuck().
            start, end = group[0][0], group[-1][1]
            for window in range(start // _STRETCH_BYTES, -(-end // _STRETCH_BYTES)):
                at, stop = max(start, window * _STRETCH_BYTES), min(end, (window + 1) * _STRETCH_BYTES)
                if parts and (at - parts[-1][1] > _GAP_BYTES or window != number):
                    yield self._stretch(parts, borders, lead, trail)
                    parts = []
                if not parts:
                    lead, number = min(_MARGIN_BYTES, at - start), window
                parts.extend(group if inside else [(at, stop, group[0][2])])
                trail = min(_MARGIN_BYTES, end - stop)
        if parts:
            yield self._stretch(parts, borders, lead, trail)

    def _stretch(self, parts: Sequence[RawRun], borders: _Borders, lead: int, trail: int) -> Stretch:
        """Read a stretch; also ``lead`` and ``trail`` bytes around it, in which its folios may go on."""
        start, end = parts[0][0], parts[-1][1]
        data = self._read(start - lead, (end - start + lead + trail) // PAGE_BYTES)
        wide = Stretch(start - lead, bytearray(data[_TOP::_ENTRY_BYTES].translate(_CLASSES)))
        types = data[_LOW::_ENTRY_BYTES]
        for found in _RUN_OF_SWAPPED.finditer(bytes(wide.classes)):
            first, last = found.span()
            wide.classes[first:last] = types[first:last].translate(_BY_TYPE)
        special = [part for part in parts if part[2] & (ZERO | HUGE)]
        for run_start, run_end, state in special:
            if state & ZERO:
                # Only PAGEMAP_SCAN tells it; here it looks like a page that others map.
                wide.empty(run_start, run_end)
            elif state & HUGE and self._huge_page_bytes is not None and self._folios is not None:
                self._look_into_huge(wide, run_start, run_end, self._huge_page_bytes)
        # Pages are found whole before the first is marked: finding looks at the classes while it goes.
        if self._folios is not None:
            for page in list(self._folios.straddling(data, wide.classes)):
                wide.classes[page] = SHARED
        if self._pinned:
            self._mark_pinned(wide, special)
        first, last = lead // PAGE_BYTES, (lead + end - start) // PAGE_BYTES
        stretch = Stretch(start, wide.classes[first:last])
        if self._folios is not None and OWN_FILE in stretch.classes:
            entries = data[first * _ENTRY_BYTES : last * _ENTRY_BYTES]
            for page in list(self._folios.stuck(entries, stretch.classes, self._cuts(stretch, borders))):
                stretch.classes[page] = STUCK
        return stretch

    def _cuts(self, stretch: Stretch, borders: _Borders) -> list[int]:
        """Return the pages before which a VMA, a range or a page table begins."""
        inside = borders.between(stretch.start, stretch.end)
        size = self._huge_page_bytes or _STRETCH_BYTES
        tables = range(-(-stretch.start // size) * size, stretch.end, size)
        return sorted({(edge - stretch.start) // PAGE_BYTES for edge in (*inside, *tables)})

    def _mark_pinned(self, stretch: Stretch, special: Sequence[RawRun]) -> None:
        """Of a huge page that is mapped as one, and of which a part is pinned, nothing goes."""
        size = self._huge_page_bytes or PAGE_BYTES
        huge = [(low, high) for low, high, state in special if state & HUGE]
        for part in intersect(self._pinned, (Range(stretch.start, stretch.end),)):
            stretch.pin(part.start, part.end)
            around = Range(part.start // size * size, -(-part.end // size) * size)
            for low, high in huge:
                start, end = max(low, around.start, stretch.start), min(high, around.end, stretch.end)
                if start < end:
                    stretch.pin(start, end)

    def _look_into_huge(self, stretch: Stretch, start: int, end: int, size: int) -> None:
        assert self._folios is not None
        for block in range(start // size * size, end, size):
            if self._folios.is_mapped_elsewhere(self._read(block, 1), size // PAGE_BYTES):
                stretch.share(max(start, block), min(end, block + size))

    def _read(self, start: int, pages: int) -> bytes:
        fd = self._handle.pagemap_fd
        assert fd is not None
        try:
            data = os.pread(fd, pages * _ENTRY_BYTES, start // PAGE_BYTES * _ENTRY_BYTES)
        except OSError as error:
            raise error_of(error, self._handle.pid) from error
        if len(data) < pages * _ENTRY_BYTES:
            raise self._handle.lost_error()
        return data


def _count(stretch: Stretch, start: int, end: int, counts: list[int]) -> None:
    first = max(0, start - stretch.start) // PAGE_BYTES
    last = (min(end, stretch.end) - stretch.start) // PAGE_BYTES
    classes = stretch.classes
    for what in _COUNTED:
        counts[what] += classes.count(what, first, last)

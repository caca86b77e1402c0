"""The pages of a range, as runs of equal state.

The bits are those of PAGEMAP_SCAN (include/uapi/linux/fs.h, Linux 6.7), so that a run passes from
the kernel to the model without translation.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from memtui.model.ranges import AddressColumns, Range, RangeSet, inner_aligned, normalise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

LRU_BATCH_PAGES = 31
"""Pages that a CPU keeps in a batch before they stand in an LRU list (PAGEVEC_SIZE, Linux 6.10)."""

WRITTEN = 1 << 1
"""Not write-protected by a userfaultfd. What looks swapped without it may be no more than such a mark."""
FILE = 1 << 2
"""Page of a file or of shared memory."""
PRESENT = 1 << 3
"""In RAM and mapped here."""
SWAPPED = 1 << 4
"""In swap, or a marker of userfaultfd, which the kernel shows as if it were (docs/kernel-facts.md 12.1).

Never set for shared memory in swap, which leaves no trace in the page table.
"""
ZERO = 1 << 5
"""The shared zero page: present, but not counted in RSS."""
HUGE = 1 << 6
"""Mapped by a huge page table entry."""
_IN_RSS = PRESENT | ZERO


class Run(NamedTuple):
    """Neighbouring pages of equal state, ``start`` to ``end`` (addresses in bytes)."""

    start: int
    end: int
    state: int


RawRun = tuple[int, int, int]
"""A run as the kernel gives it: start, end, state. A Run is one."""


class Tally(NamedTuple):
    """Bytes of some pages: in RSS, in swap (private pages only), and mapped as huge pages."""

    rss_bytes: int
    swap_bytes: int
    huge_bytes: int


def tally(runs: Iterable[RawRun]) -> Tally:
    """Add up runs. RSS is what is present and not the zero page (measured equal to smaps' Rss)."""
    rss = swap = huge = 0
    for start, end, state in runs:
        if state & (PRESENT | ZERO) == PRESENT:
            rss += end - start
            if state & HUGE:
                huge += end - start
        elif state & SWAPPED:
            swap += end - start
    return Tally(rss, swap, huge)


class Residency(NamedTuple):
    """RSS and swap of many VMAs: two lists, in the order of the VMAs, in bytes; None is unknown.

    ``marked`` are the VMAs, by number, of which a part of what looks swapped may be markers.
    """

    rss_bytes: Sequence[int | None]
    swap_bytes: Sequence[int | None]
    marked: frozenset[int] = frozenset()


class SpanTally(NamedTuple):
    """RSS and swap of many spans: two lists, in the order of the spans, in bytes."""

    rss_bytes: list[int]
    swap_bytes: list[int]


def tally_by_span(spans: Sequence[tuple[int, int]], runs: Iterable[RawRun]) -> SpanTally:
    """Add up runs by span (start, end), both ascending. A run may reach over several spans."""
    columns = AddressColumns.from_pairs(spans)
    starts, ends, last = columns.starts, columns.ends, len(columns)
    rss = [0] * last
    swap = [0] * last
    at = 0
    for start, end, state in runs:
        into = rss if state & _IN_RSS == PRESENT else swap if state & SWAPPED else None
        if into is None:
            continue
        while at < last and ends[at] <= start:
            at += 1
        here = at
        while here < last and starts[here] < end:
            span_start, span_end = starts[here], ends[here]
            if span_start <= start and end <= span_end:
                into[here] += end - start
                break
            into[here] += min(end, span_end) - max(start, span_start)
            if span_end >= end:
                break
            here += 1
    return SpanTally(rss, swap)


def may_be_marker(state: int) -> bool:
    """Whether pages of this state look swapped and may be no more than markers of userfaultfd."""
    return state & (SWAPPED | WRITTEN | PRESENT) == SWAPPED


def cut(runs: Iterable[RawRun], within: RangeSet) -> Iterator[RawRun]:
    """Yield the parts of ascending ``runs`` that lie in ``within``, taking no more runs than it must."""
    at = 0
    for start, end, state in runs:
        while at < len(within) and within[at].end <= start:
            at += 1
        here = at
        while here < len(within) and within[here].start < end:
            yield max(start, within[here].start), min(end, within[here].end), state
            if within[here].end >= end:
                break
            here += 1


def resident(runs: Iterable[RawRun]) -> RangeSet:
    """Return the addresses that count in RSS."""
    return normalise(Range(start, end) for start, end, state in runs if state & (PRESENT | ZERO) == PRESENT)


def swapped(runs: Iterable[RawRun]) -> RangeSet:
    """Return the addresses of private pages in swap."""
    return normalise(Range(start, end) for start, end, state in runs if state & SWAPPED)


class PageFacts(NamedTuple):
    """What the page table says of a range, page by page added up; bytes.

    The first three are resident. ``own_file_bytes`` are pages of a file or of shared memory,
    ``shared_bytes`` those that COLD and PAGEOUT skip, since another mapping maps them too.
    ``swapped_bytes`` are private pages in swap, ``zero_bytes`` the zero page. ``stuck_bytes`` are
    resident, nobody else's, and stay all the same: see linux/folios.py. Without ``folios_known`` large
    folios could not be seen, and ``stuck_bytes`` may lie under ``own_file_bytes``. ``merged_bytes`` are pages
    that KSM merged, ``pinned_bytes`` anonymous pages pinned for I/O; the process has up to
    ``pinned_elsewhere_bytes`` more of those, and nothing tells where. ``marked_bytes`` look swapped and may
    be no more than markers: see SWAPPED.
    """

    own_anonymous_bytes: int
    own_file_bytes: int
    shared_bytes: int
    swapped_bytes: int
    stuck_bytes: int = 0
    zero_bytes: int = 0
    folios_known: bool = True
    merged_bytes: int = 0
    pinned_bytes: int = 0
    pinned_elsewhere_bytes: int = 0
    marked_bytes: int = 0

    @property
    def resident_bytes(self) -> int:
        """What counts in RSS."""
        own = self.own_anonymous_bytes + self.own_file_bytes
        return own + self.shared_bytes + self.stuck_bytes + self.merged_bytes + self.pinned_bytes


class HugeFacts(NamedTuple):
    """The whole, aligned huge pages of a range, by what stands in them; bytes.

    ``fillable_bytes`` are huge pages that hold something and are not huge yet, of which
    ``filled_bytes`` are resident; ``huge_bytes`` are huge already, ``empty_bytes`` hold nothing, and
    ``zero_bytes`` nothing but the zero page. Of the others the kernel makes no huge page: ``copied_bytes``
    are those of a file or of shared memory that hold a page copied on write, ``watched_bytes`` those that a
    userfaultfd keeps small, ``pinned_bytes`` those with a page pinned for I/O. ``swapped_bytes`` are
    anonymous, and a part of each is in swap; ``swapped_filled_bytes`` of them are resident.
    """

    fillable_bytes: int
    filled_bytes: int
    huge_bytes: int
    empty_bytes: int
    copied_bytes: int = 0
    zero_bytes: int = 0
    watched_bytes: int = 0
    pinned_bytes: int = 0
    swapped_bytes: int = 0
    swapped_filled_bytes: int = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether the kernel would find nothing at all to work on, and refuse."""
        return not (self.huge_bytes or self.populated_bytes)

    @property
    def populated_bytes(self) -> int:
        """Those that hold pages and are not huge."""
        kept = self.copied_bytes + self.watched_bytes + self.pinned_bytes
        return self.fillable_bytes + self.swapped_bytes + kept


class CacheFacts(NamedTuple):
    """Of a part of a file: the bytes that lie in the file at all, and those in the page cache."""

    in_file_bytes: int
    cached_bytes: int


def huge_facts(
    within: Range,
    runs: Iterable[RawRun],
    huge_page_bytes: int,
    *,
    of_file: bool = False,
    pinned: RangeSet = (),
    keeps_holes: bool = False,
    protected: Collection[int] = (),
) -> HugeFacts:
    """Sort the huge pages of a range by ascending runs, which may reach beyond it.

    ``of_file`` tells that a file or shared memory stands behind it: what is not FILE was copied. A
    userfaultfd ``keeps_holes`` where it watches them, and has ``protected`` huge pages, by address, a part of
    which it has write-protected.
    """
    inner = inner_aligned(within, huge_page_bytes)
    if inner is None:
        return HugeFacts(0, 0, 0, 0)
    blocks: dict[int, _Block] = {}
    huge = 0
    for start, end, state in cut(runs, (inner,)):
        if not state & (PRESENT | SWAPPED):
            continue
        if state & _IN_RSS == PRESENT and state & HUGE:
            huge += end - start
            continue
        for number in range(start // huge_page_bytes, -(-end // huge_page_bytes)):
            count = min(end, (number + 1) * huge_page_bytes) - max(start, number * huge_page_bytes)
            blocks.setdefault(number * huge_page_bytes, _Block()).add(state, count, of_file)
    facts = HugeFacts(0, 0, huge, inner.size_bytes - huge - len(blocks) * huge_page_bytes)
    pinned_blocks = _blocks_of(pinned, huge_page_bytes) if pinned else frozenset[int]()
    sums = Counter[str]()
    for address, block in blocks.items():
        holds = block.resident + block.swapped
        if block.copied:
            sums["copied_bytes"] += huge_page_bytes
        elif address in protected or (keeps_holes and holds < huge_page_bytes):
            sums["watched_bytes"] += huge_page_bytes
        elif not holds:
            sums["zero_bytes"] += huge_page_bytes
        elif address in pinned_blocks:
            sums["pinned_bytes"] += huge_page_bytes
        elif block.swapped:
            sums["swapped_bytes"] += huge_page_bytes
            sums["swapped_filled_bytes"] += block.resident
        else:
            sums["fillable_bytes"] += huge_page_bytes
            sums["filled_bytes"] += block.resident
    return facts._replace(**sums)


class _Block:
    """What stands in one huge page, in bytes; ``copied`` tells that a page of it was copied on write."""

    __slots__ = ("copied", "resident", "swapped")

    def __init__(self) -> None:
        self.resident = self.swapped = 0
        self.copied = False

    def add(self, state: int, count_bytes: int, of_file: bool) -> None:
        if state & _IN_RSS == PRESENT:
            self.resident += count_bytes
        elif state & SWAPPED:
            self.swapped += count_bytes
        self.copied = self.copied or (of_file and not state & FILE)


def _blocks_of(ranges: RangeSet, size: int) -> frozenset[int]:
    return frozenset(
        at for part in ranges for at in range(part.start // size * size, -(-part.end // size) * size, size)
    )

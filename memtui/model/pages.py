"""The pages of a range, as runs of equal state.

The bits are those of PAGEMAP_SCAN (include/uapi/linux/fs.h, Linux 6.7), so that a run passes from
the kernel to the model without translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from memtui.model.ranges import Range, RangeSet, inner_aligned, normalise
from memtui.model.spans import Spans

LRU_BATCH_PAGES = 31
"""Pages that a CPU keeps in a batch before they stand in an LRU list (PAGEVEC_SIZE, Linux 6.10)."""

FILE = 1 << 2
"""Page of a file or of shared memory."""
PRESENT = 1 << 3
"""In RAM and mapped here."""
SWAPPED = 1 << 4
"""In swap. Never set for shared memory, whose swapped pages leave no trace in the page table."""
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
    """RSS and swap of many VMAs: two lists, in the order of the VMAs, in bytes; None is unknown."""

    rss_bytes: Sequence[int | None]
    swap_bytes: Sequence[int | None]


class SpanTally(NamedTuple):
    """RSS and swap of many spans: two lists, in the order of the spans, in bytes."""

    rss_bytes: list[int]
    swap_bytes: list[int]


def tally_by_span(spans: Sequence[tuple[int, int]], runs: Iterable[RawRun]) -> SpanTally:
    """Add up runs by span (start, end), both ascending. A run may reach over several spans."""
    columns = Spans.of(spans)
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
    folios could not be seen, and ``stuck_bytes`` may lie under ``own_file_bytes``.
    """

    own_anonymous_bytes: int
    own_file_bytes: int
    shared_bytes: int
    swapped_bytes: int
    stuck_bytes: int = 0
    zero_bytes: int = 0
    folios_known: bool = True

    @property
    def resident_bytes(self) -> int:
        """What counts in RSS."""
        return self.own_anonymous_bytes + self.own_file_bytes + self.shared_bytes + self.stuck_bytes


class HugeFacts(NamedTuple):
    """The whole, aligned huge pages of a range, by what stands in them; bytes.

    ``fillable_bytes`` are huge pages that hold something and are not huge yet, of which
    ``filled_bytes`` are resident; ``huge_bytes`` are huge already, ``empty_bytes`` hold nothing.
    ``copied_bytes`` are those of a file or of shared memory that hold a page copied on write: the kernel
    makes no huge page of them.
    """

    fillable_bytes: int
    filled_bytes: int
    huge_bytes: int
    empty_bytes: int
    copied_bytes: int = 0


class CacheFacts(NamedTuple):
    """Of a part of a file: the bytes that lie in the file at all, and those in the page cache."""

    in_file_bytes: int
    cached_bytes: int


def huge_facts(
    within: Range, runs: Iterable[RawRun], huge_page_bytes: int, *, of_file: bool = False
) -> HugeFacts:
    """Sort the huge pages of a range by ascending runs, which may reach beyond it.

    ``of_file`` tells that a file or shared memory stands behind it: what is not FILE was copied.
    """
    inner = inner_aligned(within, huge_page_bytes)
    if inner is None:
        return HugeFacts(0, 0, 0, 0)
    holds: dict[int, int] = {}
    copied: set[int] = set()
    huge = 0
    for start, end, state in cut(runs, (inner,)):
        if not state & (PRESENT | SWAPPED):
            continue
        is_resident = state & (PRESENT | ZERO) == PRESENT
        if is_resident and state & HUGE:
            huge += end - start
            continue
        for block in range(start // huge_page_bytes, -(-end // huge_page_bytes)):
            part = min(end, (block + 1) * huge_page_bytes) - max(start, block * huge_page_bytes)
            holds[block] = holds.get(block, 0) + (part if is_resident else 0)
            if of_file and not state & FILE:
                copied.add(block)
    barred = len(copied) * huge_page_bytes
    fillable = len(holds) * huge_page_bytes - barred
    filled = sum(bytes_held for block, bytes_held in holds.items() if block not in copied)
    return HugeFacts(fillable, filled, huge, inner.size_bytes - fillable - huge - barred, barred)

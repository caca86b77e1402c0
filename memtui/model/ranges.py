"""Page-aligned address ranges and their algebra.

A *range set* is a tuple of ranges, ascending and neither overlapping nor touching, as
:func:`normalise` makes it. All functions here take and return range sets unless they say otherwise.
Very many ranges are kept as two columns: so many pairs are slow to make and to add up.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from mmap import PAGESIZE
from operator import sub
from typing import Protocol, overload

PAGE_BYTES = PAGESIZE
"""The size of a base page of this machine, in bytes."""

ADDRESS_LIMIT = 1 << 64
"""One past the highest address that a 64-bit register holds."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """The addresses from ``start`` up to, but not with, ``end``.

    Raises:
        ValueError: if the range is empty, reversed or outside 64 bits.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= ADDRESS_LIMIT:
            raise ValueError(f"not a range: {self.start:#x}-{self.end:#x}")

    @property
    def size_bytes(self) -> int:
        """How many bytes the range holds."""
        return self.end - self.start

    def contains(self, address: int) -> bool:
        """Whether ``address`` lies in the range."""
        return self.start <= address < self.end

    def intersect(self, other: Range) -> Range | None:
        """Return what both ranges hold, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Range(start, end) if start < end else None


RangeSet = tuple[Range, ...]


def normalise(ranges: Iterable[Range]) -> RangeSet:
    """Return the range set of all addresses in ``ranges``, which may overlap and come in any order."""
    merged: list[Range] = []
    for item in sorted(ranges):
        if merged and item.start <= merged[-1].end:
            if item.end > merged[-1].end:
                merged[-1] = Range(merged[-1].start, item.end)
        else:
            merged.append(item)
    return tuple(merged)


def union(left: Iterable[Range], right: Iterable[Range]) -> RangeSet:
    """Return the addresses that are in either."""
    return normalise((*left, *right))


def intersect(left: RangeSet, right: RangeSet) -> RangeSet:
    """Return the addresses that are in both."""
    both: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        common = left[i].intersect(right[j])
        if common is not None:
            both.append(common)
        if left[i].end <= right[j].end:
            i += 1
        else:
            j += 1
    return tuple(both)


def subtract(left: RangeSet, right: RangeSet) -> RangeSet:
    """Return the addresses of ``left`` that are not in ``right``."""
    rest: list[Range] = []
    j = 0
    for item in left:
        start = item.start
        while j < len(right) and right[j].end <= start:
            j += 1
        k = j
        while k < len(right) and right[k].start < item.end:
            if right[k].start > start:
                rest.append(Range(start, right[k].start))
            start = max(start, right[k].end)
            k += 1
        if start < item.end:
            rest.append(Range(start, item.end))
    return tuple(rest)


def total_bytes(ranges: Iterable[Range]) -> int:
    """Return the sum of the sizes, in bytes."""
    return sum(item.size_bytes for item in ranges)


def split(item: Range, at_most_bytes: int, align_bytes: int = PAGE_BYTES) -> Iterator[Range]:
    """Cut ``item`` into pieces of at most ``at_most_bytes``, at multiples of ``align_bytes``.

    Raises:
        ValueError: if ``at_most_bytes`` is less than ``align_bytes``.
    """
    if at_most_bytes < align_bytes:
        raise ValueError("pieces would be smaller than their alignment")
    start = item.start
    while item.end - start > at_most_bytes:
        cut = (start + at_most_bytes) // align_bytes * align_bytes
        yield Range(start, cut)
        start = cut
    yield Range(start, item.end)


def is_aligned(item: Range, align_bytes: int = PAGE_BYTES) -> bool:
    """Whether both ends lie on a multiple of ``align_bytes``."""
    return item.start % align_bytes == 0 and item.end % align_bytes == 0


def inner_aligned(item: Range, align_bytes: int) -> Range | None:
    """Return the largest aligned range inside ``item`` (whole huge pages, say), or None."""
    start = -(-item.start // align_bytes) * align_bytes
    end = item.end // align_bytes * align_bytes
    return Range(start, end) if start < end else None


_WORD_BYTES = array("L").itemsize


class Span(Protocol):
    """Something from an address up to another."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class AddressColumns(Sequence["tuple[int, int]"]):
    """Stretches (start, end), ascending. ``starts`` and ``ends`` are not to be changed."""

    __slots__ = ("_pairs", "ends", "starts")

    def __init__(self, starts: Sequence[int], ends: Sequence[int], pairs: array[int] | None = None) -> None:
        self.starts = starts
        self.ends = ends
        self._pairs = pairs

    @staticmethod
    def from_pairs(spans: Sequence[tuple[int, int]]) -> AddressColumns:
        """Return pairs as columns; columns as they are."""
        if isinstance(spans, AddressColumns):
            return spans
        return AddressColumns([start for start, _ in spans], [end for _, end in spans])

    @staticmethod
    def from_items(items: Sequence[Span] | AddressColumns) -> AddressColumns:
        """Return the addresses of ascending things as columns; columns as they are."""
        if isinstance(items, AddressColumns):
            return items
        return AddressColumns([item.start for item in items], [item.end for item in items])

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes."""
        return sum(self.ends) - sum(self.starts)

    @property
    def pairs(self) -> array[int]:
        """Start and size by turns, as unsigned longs; made once, also for the slices that are made later."""
        if self._pairs is None:
            pairs = array("L", bytes(2 * len(self) * _WORD_BYTES))
            pairs[::2] = array("L", self.starts)
            pairs[1::2] = array("L", map(sub, self.ends, self.starts))
            self._pairs = pairs
        return self._pairs

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...

    @overload
    def __getitem__(self, index: slice) -> AddressColumns: ...

    def __getitem__(self, index: int | slice) -> tuple[int, int] | AddressColumns:
        if not isinstance(index, slice):
            return self.starts[index], self.ends[index]
        pairs = None
        if self._pairs is not None:
            first, behind, step = index.indices(len(self))
            pairs = self._pairs[2 * first : 2 * behind] if step == 1 else None
        return AddressColumns(self.starts[index], self.ends[index], pairs)

"""Many stretches of addresses, kept as two columns: so many pairs are slow to make and to add up."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from operator import sub
from typing import Protocol, overload

_WORD_BYTES = array("L").itemsize


class Span(Protocol):
    """Something from an address up to another."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class Spans(Sequence["tuple[int, int]"]):
    """Stretches (start, end), ascending. ``starts`` and ``ends`` are not to be changed."""

    __slots__ = ("_pairs", "ends", "starts")

    def __init__(self, starts: Sequence[int], ends: Sequence[int], pairs: array[int] | None = None) -> None:
        self.starts = starts
        self.ends = ends
        self._pairs = pairs

    @staticmethod
    def of(spans: Sequence[tuple[int, int]]) -> Spans:
        """Return pairs as columns; columns as they are."""
        if isinstance(spans, Spans):
            return spans
        return Spans([start for start, _ in spans], [end for _, end in spans])

    @staticmethod
    def across(items: Sequence[Span] | Spans) -> Spans:
        """Return the addresses of ascending things as columns; columns as they are."""
        if isinstance(items, Spans):
            return items
        return Spans([item.start for item in items], [item.end for item in items])

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
    def __getitem__(self, index: slice) -> Spans: ...

    def __getitem__(self, index: int | slice) -> tuple[int, int] | Spans:
        if not isinstance(index, slice):
            return self.starts[index], self.ends[index]
        pairs = None
        if self._pairs is not None:
            first, behind, step = index.indices(len(self))
            pairs = self._pairs[2 * first : 2 * behind] if step == 1 else None
        return Spans(self.starts[index], self.ends[index], pairs)

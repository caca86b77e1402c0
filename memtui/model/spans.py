"""Many stretches of addresses, kept as two columns: so many pairs are slow to make and to add up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload


class Span(Protocol):
    """Something from an address up to another."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class Spans(Sequence["tuple[int, int]"]):
    """Stretches (start, end), ascending. ``starts`` and ``ends`` are not to be changed."""

    __slots__ = ("ends", "starts")

    def __init__(self, starts: Sequence[int], ends: Sequence[int]) -> None:
        self.starts = starts
        self.ends = ends

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

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...

    @overload
    def __getitem__(self, index: slice) -> Spans: ...

    def __getitem__(self, index: int | slice) -> tuple[int, int] | Spans:
        if isinstance(index, slice):
            return Spans(self.starts[index], self.ends[index])
        return self.starts[index], self.ends[index]

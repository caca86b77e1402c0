"""The pieces of a plan that calls are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import NamedTuple, overload

from memtui.model.ranges import AddressColumns


class Segment(NamedTuple):
    """A stretch of the planned range number ``owner``."""

    start: int
    end: int
    owner: int


class Segments(Sequence[Segment]):
    """Ascending pieces, kept as columns: there may be tens of thousands, and most are never looked at alone.

    Equal to any sequence of the same pieces. The columns are not to be changed.
    """

    __slots__ = ("owners", "spans")

    def __init__(
        self, starts: Sequence[int] = (), ends: Sequence[int] = (), owners: Sequence[int] = ()
    ) -> None:
        self.spans = AddressColumns(starts, ends)
        """The addresses alone."""
        self.owners = owners

    @property
    def starts(self) -> Sequence[int]:
        """Where they begin."""
        return self.spans.starts

    @property
    def ends(self) -> Sequence[int]:
        """Where they end."""
        return self.spans.ends

    @staticmethod
    def of(pieces: Iterable[Segment]) -> Segments:
        """Return pieces as columns; columns as they are."""
        if isinstance(pieces, Segments):
            return pieces
        found = list(pieces)
        return Segments(
            [piece.start for piece in found],
            [piece.end for piece in found],
            [piece.owner for piece in found],
        )

    @staticmethod
    def joined(parts: Sequence[Segments]) -> Segments:
        """Return what stands in several, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return Segments(
            [start for part in parts for start in part.starts],
            [end for part in parts for end in part.ends],
            [owner for part in parts for owner in part.owners],
        )

    def pack(self) -> None:
        """Make the vector of all of them now: those of their slices are parts of it."""
        _ = self.spans.pairs

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes."""
        return self.spans.size_bytes

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[Segment]:
        return starmap(Segment, zip(self.starts, self.ends, self.owners, strict=True))

    @overload
    def __getitem__(self, index: int) -> Segment: ...

    @overload
    def __getitem__(self, index: slice) -> Segments: ...

    def __getitem__(self, index: int | slice) -> Segment | Segments:
        if isinstance(index, slice):
            part = Segments.__new__(Segments)
            part.spans, part.owners = self.spans[index], self.owners[index]
            return part
        return Segment(self.starts[index], self.ends[index], self.owners[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

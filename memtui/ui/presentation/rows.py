"""What a table shows: columns, and rows that belong to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from memtui.format import SafeText


class Cell(NamedTuple):
    """One cell; ``role`` names a component style of the table, or is empty."""

    text: SafeText
    role: str = ""


class Line(NamedTuple):
    """One row as it is shown: a glyph before it, the style of all of it, its cells."""

    glyph: SafeText
    role: str
    cells: tuple[Cell, ...]


class Column(NamedTuple):
    """A column. The last one shown takes the rest of the line.

    ``from_width`` is the width of the table, in cells, from which the column is shown, and
    ``below_width`` the one from which it is not shown any more. ``sort`` names what rows are sorted by
    when they are sorted by it; a column without one is none to sort by.
    """

    title: str
    width: int
    right: bool = False
    from_width: int = 0
    below_width: int = 1 << 30
    sort: str = ""

    def shown_at(self, width: int) -> bool:
        """Whether a table of this width shows it."""
        return self.from_width <= width < self.below_width


class Rows(Protocol):
    """A list to show. It does not change: what changes is another list."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns, from the left."""

    def __len__(self) -> int:
        """How many rows there are."""

    def key(self, index: int) -> Hashable:
        """Return what the row is known by when the list has changed."""

    def find(self, key: Hashable) -> int | None:
        """Return the row of a key, or of what stands in its place now; None if that is nowhere."""

    def line(self, index: int) -> Line:
        """Return the row as it is shown."""


class NoRows:
    """An empty list."""

    columns: Sequence[Column] = ()

    def __len__(self) -> int:
        return 0

    def key(self, index: int) -> Hashable:
        """There is none."""
        raise IndexError(index)

    def find(self, key: Hashable) -> int | None:
        """It is nowhere."""
        return None

    def line(self, index: int) -> Line:
        """There is none."""
        raise IndexError(index)

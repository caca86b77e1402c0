"""The keys that mark, in the map: one VMA, a range, all that is shown, all that a rule takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memtui.format import count
from memtui.model.advice import Advice
from memtui.model.verdict import MachineFacts, judge
from memtui.ui.marks import WHOLE, MarkBook
from memtui.ui.presentation.map import MapRows
from memtui.ui.presentation.order import row_at

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from memtui.host import Target
    from memtui.model.vma import AddressSpace, Vma

SKIPPED = "skipped (locked, device, hugetlb)"
"""What is said of VMAs that the kernel is known to refuse."""


class Shown(NamedTuple):
    """The map that is on the screen: what can be marked now. ``order`` as of MapRows."""

    target: Target
    space: AddressSpace
    order: Sequence[int] | None = None

    @property
    def indices(self) -> Sequence[int]:
        """Which VMAs of the map are shown, row by row."""
        return range(len(self.space)) if self.order is None else self.order


class Marking:
    """What the marking keys do. Each method returns what to tell the operator, or nothing."""

    def __init__(self, book: MarkBook) -> None:
        self.book = book
        self._anchor: int | None = None

    @property
    def ranging(self) -> bool:
        """Whether a range is in the making."""
        return self._anchor is not None

    def begin(self, vma: Vma) -> None:
        """Begin a range at a VMA."""
        self._anchor = vma.start

    def abandon(self) -> None:
        """Forget the range in the making."""
        self._anchor = None

    def pending(self, shown: Shown, cursor: int) -> range:
        """Return the rows that the range in the making would mark."""
        if self._anchor is None:
            return range(0)
        begun = row_at(shown.space, shown.order, self._anchor)
        first, last = sorted((cursor if begun is None else begun, cursor))
        return range(first, last + 1)

    def rows(self, shown: Shown, cursor_key: Hashable, cursor: int) -> MapRows:
        """Return the rows of a map with their marks, and those of the range in the making.

        That ends at the row of ``cursor_key``, or where that is gone, at the row ``cursor``.
        """
        marks = self.book.of(shown.space.process)
        rows = MapRows(shown.space, marks, shown.order)
        if not self.ranging or not len(rows):
            return rows
        found = None if cursor_key is None else rows.find(cursor_key)
        at = min(cursor if found is None else found, len(rows) - 1)
        return MapRows(shown.space, marks, shown.order, self.pending(shown, at))

    def commit(self, shown: Shown, cursor: int) -> str:
        """Mark the range in the making, up to the row of the cursor, and end it."""
        rows = self.pending(shown, cursor)
        self._anchor = None
        indices = shown.indices
        chosen = [shown.space.vmas[indices[row]] for row in rows if row < len(indices)]
        return self._added(shown, chosen, f"{count(len(chosen), 'VMA')} marked") if chosen else ""

    def toggle(self, shown: Shown, vma: Vma) -> str:
        """Mark a VMA, or unmark it."""
        process = shown.space.process
        if self.book.of(process).state(vma) == WHOLE:
            self.book.remove(process, [vma.range])
            self.book.note_layout(shown.space)
            return ""
        return self._added(shown, [vma], "")

    def all_shown(self, shown: Shown, facts: MachineFacts) -> str:
        """Mark all VMAs that are shown but those that the kernel is known to refuse."""
        return self.add(shown, *eligible(shown.space, shown.indices, facts))

    def add(self, shown: Shown, chosen: list[Vma], left: int) -> str:
        """Mark VMAs that were found eligible; ``left`` is how many were not."""
        words = f"{count(len(chosen), 'VMA')} marked"
        if left:
            words += f"; {left} {SKIPPED}"
        return self._added(shown, chosen, words)

    def unmark(self, shown: Shown, indices: Iterable[int]) -> str:
        """Unmark some VMAs of the map."""
        marks = self.book.of(shown.space.process)
        vmas = (shown.space.vmas[index] for index in indices)
        chosen = [vma.range for vma in vmas if marks.state(vma)]
        if chosen:
            self.book.remove(shown.space.process, chosen)
            self.book.note_layout(shown.space)
        return f"{count(len(chosen), 'VMA')} unmarked"

    def _added(self, shown: Shown, vmas: list[Vma], words: str) -> str:
        had_marks = bool(self.book.of(shown.space.process).marks)
        if not self.book.add(shown.target, vmas):
            return "The map is being opened again: retry"
        if had_marks:
            # What stands in this look stands; only older marks may not.
            self.book.note_layout(shown.space)
        return words


def eligible(space: AddressSpace, indices: Iterable[int], facts: MachineFacts) -> tuple[list[Vma], int]:
    """Return some VMAs of a map but those that the kernel is known to refuse, and how many those are."""
    chosen, left = [], 0
    for index in indices:
        row = space.row(index)
        if judge(row, Advice.PAGEOUT, facts).refused:
            left += 1
        else:
            chosen.append(row.vma)
    return chosen, left

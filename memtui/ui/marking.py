"""The keys that mark, in the map: one VMA, a range, all that is shown."""

from __future__ import annotations

from dataclasses import dataclass

from memtui.host import Target
from memtui.model.advice import Advice
from memtui.model.ranges import Range
from memtui.model.verdict import MachineFacts, judge
from memtui.model.vma import AddressSpace, Vma
from memtui.text import count
from memtui.ui.marks import WHOLE, MarkBook


@dataclass(frozen=True, slots=True)
class Shown:
    """The map that is on the screen: what can be marked now."""

    target: Target
    space: AddressSpace


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

    def pending(self, cursor: Vma | None) -> Range | None:
        """Return the addresses that the range in the making would mark."""
        if self._anchor is None or cursor is None:
            return None
        return Range(min(self._anchor, cursor.start), max(self._anchor, cursor.start) + 1)

    def commit(self, shown: Shown, cursor: Vma) -> str:
        """Mark the range in the making, and end it."""
        pending = self.pending(cursor)
        self._anchor = None
        if pending is None:
            return ""
        chosen = [vma for vma in shown.space.vmas if pending.start <= vma.start < pending.end]
        return self._added(shown, chosen, f"{count(len(chosen), 'VMA')} marked")

    def toggle(self, shown: Shown, vma: Vma) -> str:
        """Mark a VMA, or unmark it."""
        process = shown.space.process
        if self.book.of(process).state(vma) == WHOLE:
            self.book.remove(process, [vma.range])
            self.book.note_layout(shown.space)
            return ""
        return self._added(shown, [vma], "")

    def all_shown(self, shown: Shown, facts: MachineFacts) -> str:
        """Mark all VMAs of the map but those that the kernel is known to refuse."""
        rows = shown.space.rows()
        chosen = [row.vma for row in rows if not judge(row, Advice.PAGEOUT, facts).refused]
        left = len(rows) - len(chosen)
        words = f"{count(len(chosen), 'VMA')} marked"
        if left:
            words += f"; {left} left out, since the kernel refuses them (locked, device, hugetlb memory)"
        return self._added(shown, chosen, words)

    def _added(self, shown: Shown, vmas: list[Vma], words: str) -> str:
        if not self.book.add(shown.target, vmas):
            return "The map is being opened anew: try again"
        self.book.note_layout(shown.space)
        return words

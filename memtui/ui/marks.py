"""What the operator has marked: per process, with the handle that keeps the process from being mistaken."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.host import Selection, Target
from memtui.model.plan import Mark
from memtui.model.ranges import Range, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memtui.model.process import ProcessId
    from memtui.model.vma import AddressSpace, Vma

WHOLE, PART, OTHER = "*", "~", "!"
"""A VMA is marked; a part of it is; a mark lies here whose VMA is no longer this one."""


@dataclass(frozen=True, slots=True)
class MarkSet:
    """The marks of one process: ascending, not overlapping."""

    marks: tuple[Mark, ...] = ()
    _starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [mark.range.start for mark in self.marks])

    @property
    def count_bytes(self) -> int:
        """How much is marked."""
        return sum(mark.range.size_bytes for mark in self.marks)

    def over(self, where: Range) -> tuple[Mark, ...]:
        """Return the marks that share an address with a range."""
        first = max(0, bisect_right(self._starts, where.start) - 1)
        if first < len(self.marks) and self.marks[first].range.end <= where.start:
            first += 1
        return self.marks[first : bisect_left(self._starts, where.end)]

    def state(self, vma: Vma) -> str:
        """Return WHOLE, PART or OTHER for a VMA, or nothing."""
        over = self.over(vma.range) if self.marks else ()
        if not over:
            return ""
        identity = vma.identity
        covered = 0
        for mark in over:
            if mark.identity == identity:
                covered += min(mark.range.end, vma.end) - max(mark.range.start, vma.start)
        return WHOLE if covered == vma.size_bytes else PART if covered else OTHER

    def with_marks(self, new: Sequence[Mark]) -> MarkSet:
        """Return these marks with others, which replace what they overlap. ``new`` must be disjoint."""
        fresh = MarkSet(tuple(sorted(new, key=_start)))
        kept = [part for mark in self.marks for part in _rest(mark, fresh.over(mark.range))]
        return MarkSet(tuple(sorted((*kept, *fresh.marks), key=_start)))

    def without(self, ranges: Sequence[Range]) -> MarkSet:
        """Return these marks without some addresses. ``ranges`` must be disjoint."""
        gone = MarkSet(tuple(Mark(item, None) for item in sorted(ranges)))
        return MarkSet(tuple(part for mark in self.marks for part in _rest(mark, gone.over(mark.range))))

    def stale(self, space: AddressSpace) -> int:
        """Return how many marks no VMA of the same identity answers to any more."""
        return sum(not self._stands(mark, space) for mark in self.marks)

    @staticmethod
    def _stands(mark: Mark, space: AddressSpace) -> bool:
        at = bisect_right(space.vmas, mark.range.start, key=lambda vma: vma.end)
        while at < len(space.vmas) and space.vmas[at].start < mark.range.end:
            if space.vmas[at].identity == mark.identity:
                return True
            at += 1
        return False


def _start(mark: Mark) -> int:
    return mark.range.start


def _rest(mark: Mark, gone: Sequence[Mark]) -> list[Mark]:
    if not gone:
        return [mark]
    left = subtract((mark.range,), tuple(item.range for item in gone))
    return [Mark(item, mark.identity) for item in left]


@dataclass(slots=True)
class _Marked:
    target: Target
    marks: MarkSet
    stale: int = 0


class MarkBook:
    """All marks, each process's with a share in its target. Used by the UI thread alone."""

    def __init__(self) -> None:
        self._by_process: dict[ProcessId, _Marked] = {}
        self.version = 0
        """Grows with every change."""

    def of(self, process: ProcessId) -> MarkSet:
        """Return the marks of a process."""
        marked = self._by_process.get(process)
        return MarkSet() if marked is None else marked.marks

    @property
    def counts(self) -> Mapping[ProcessId, int]:
        """The number of marks by process."""
        return {process: len(marked.marks.marks) for process, marked in self._by_process.items()}

    @property
    def stale(self) -> int:
        """How many marks are known to be dead."""
        return sum(marked.stale for marked in self._by_process.values())

    @property
    def count_bytes(self) -> int:
        """How much is marked in all."""
        return sum(marked.marks.count_bytes for marked in self._by_process.values())

    def add(self, target: Target, vmas_or_marks: Iterable[Vma | Mark]) -> bool:
        """Mark; False if the handle was closed meanwhile, so that nothing is marked."""
        new = [item if isinstance(item, Mark) else Mark(item.range, item.identity) for item in vmas_or_marks]
        if not new:
            return True
        marked = self._by_process.get(target.process)
        if marked is None:
            if not target.acquire():
                return False
            marked = self._by_process[target.process] = _Marked(target, MarkSet())
        elif marked.target is not target:
            # Opened anew: the older handle may be of a program that ran before an exec.
            if not target.acquire():
                return False
            marked.target.release()
            marked.target = target
        marked.marks = marked.marks.with_marks(new)
        self.version += 1
        return True

    def remove(self, process: ProcessId, ranges: Sequence[Range]) -> None:
        """Unmark some addresses of a process."""
        marked = self._by_process.get(process)
        if marked is not None:
            self.version += 1
            marked.marks = marked.marks.without(ranges)
            if not marked.marks.marks:
                self.drop(process)

    def drop(self, process: ProcessId) -> int:
        """Unmark all of a process; return how many marks it had."""
        marked = self._by_process.pop(process, None)
        if marked is None:
            return 0
        self.version += 1
        marked.target.release()
        return len(marked.marks.marks)

    def clear(self) -> None:
        """Unmark everything."""
        for process in list(self._by_process):
            self.drop(process)

    def note_layout(self, space: AddressSpace) -> None:
        """Look which marks of a process no longer stand. Only needed when its VMAs have changed."""
        marked = self._by_process.get(space.process)
        if marked is not None:
            marked.stale = marked.marks.stale(space)

    def wanted(self) -> list[Selection]:
        """Return what a plan over all marks is for."""
        return [Selection(marked.target, marked.marks.marks) for marked in self._by_process.values()]

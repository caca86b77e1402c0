"""Making a plan: which ranges of a target go to the kernel, which do not, and what will come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from memtui.model.advice import Advice
from memtui.model.plan import Mark, PlannedRange
from memtui.model.ranges import PAGE_BYTES, Range
from memtui.model.reasons import Reason
from memtui.model.select import Filter
from memtui.model.verdict import MachineFacts, Verdict, WhyBytes, Will
from memtui.model.vma import AddressSpace, MappedVma, Vma, VmaIdentity

Judge = Callable[[MappedVma, Advice], Verdict]
"""The verdict for one VMA, from what a look at the map tells."""

Assess = Callable[[MappedVma, MachineFacts], Verdict]
"""The verdict for one VMA, or for a part of one made to look like a VMA, from all that was looked up."""

Measure = Callable[[Range], "tuple[int, int] | None"]
"""RSS and swap of a part of a VMA, in bytes; None where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """A VMA, or a part of one made to look like a VMA, and the VMA that it belongs to."""

    row: MappedVma
    whole: Vma


class SwapPurse:
    """Free swap, spent as the kernel will walk: ascending, target by target. One for a whole plan.

    Beside what the machine has free, each cgroup with a limit has a purse of its own.
    """

    def __init__(self, machine: MachineFacts) -> None:
        self._machine = machine
        self._rooms: dict[str, int] = {}

    def facts(self, groups: Mapping[str, int] | None = None) -> MachineFacts:
        """Return the machine as the next range will find it.

        ``groups`` are the cgroups that the target stands in, by folder, with the swap that each may
        still use as it was before the plan.
        """
        rooms = [self._rooms.get(folder, room) for folder, room in (groups or {}).items()]
        return replace(self._machine, swap_room_bytes=min(rooms, default=None))

    def spend(self, count_bytes: int, groups: Mapping[str, int] | None = None) -> None:
        """Take out what a range will use."""
        free = self._machine.swap_free_bytes
        if free is not None:
            self._machine = replace(self._machine, swap_free_bytes=max(0, free - count_bytes))
        for folder, room in (groups or {}).items():
            self._rooms[folder] = max(0, self._rooms.get(folder, room) - count_bytes)


def choose_rows(space: AddressSpace, advice: Advice, judge: Judge, select: Filter | None) -> list[Part]:
    """Choose whole VMAs: those that ``select`` takes, or else all that the kernel will not refuse."""
    return [
        Part(row, row.vma)
        for row in space.rows()
        if (
            not judge(row, advice).refused if select is None else select.matches_vma(row, partial(judge, row))
        )
    ]


def choose_marks(space: AddressSpace, marks: Sequence[Mark], measure: Measure) -> list[Part | PlannedRange]:
    """Choose marked ranges: each cut to the VMAs that stand there now; the rest has its reason."""
    chosen: list[Part | PlannedRange] = []
    for wanted, identity in _disjoint(marks):
        at = wanted.start
        for index in _overlapping(space, wanted):
            row = space.row(index)
            if row.vma.start > at:
                chosen.append(_missing(Range(at, row.vma.start), identity))
            part = Range(max(at, row.vma.start), min(wanted.end, row.vma.end))
            chosen.append(_marked(row, part, identity, measure))
            at = part.end
        if at < wanted.end:
            chosen.append(_missing(Range(at, wanted.end), identity))
    return chosen


def planned(row: MappedVma, whole: Vma, verdict: Verdict) -> PlannedRange:
    """Return a part of a VMA with what is expected of it."""
    return PlannedRange(row.vma.range, row.label or whole.name, whole.identity, row.kind, verdict)


def forecast(
    rows: Sequence[MappedVma],
    wholes: Sequence[Vma],
    assess: Assess,
    purse: SwapPurse,
    groups: Mapping[str, int] | None = None,
) -> list[PlannedRange]:
    """Say of each row, ascending, what will come of it, and spend the swap that it takes."""
    found = []
    for row, whole in zip(rows, wholes, strict=True):
        verdict = assess(row, purse.facts(groups))
        purse.spend(verdict.swap_bytes, groups)
        found.append(planned(row, whole, verdict))
    return found


def _disjoint(marks: Sequence[Mark]) -> Iterator[tuple[Range, VmaIdentity | None]]:
    """Yield the marks ascending, each address once."""
    at = 0
    for mark in sorted(marks, key=lambda mark: mark.range):
        start = max(at, mark.range.start)
        if start < mark.range.end:
            yield Range(start, mark.range.end), mark.identity
            at = mark.range.end


def _overlapping(space: AddressSpace, wanted: Range) -> Iterator[int]:
    low, high = 0, len(space.vmas)
    while low < high:
        middle = (low + high) // 2
        if space.vmas[middle].end <= wanted.start:
            low = middle + 1
        else:
            high = middle
    while low < len(space.vmas) and space.vmas[low].start < wanted.end:
        yield low
        low += 1


def _missing(part: Range, identity: VmaIdentity | None) -> PlannedRange:
    reason = Reason.NOT_MAPPED if identity is None else Reason.GONE
    verdict = Verdict(Will.NO, 0, (WhyBytes(reason, part.size_bytes),))
    return PlannedRange(part, identity.name if identity else "", None, None, verdict)


def _marked(
    row: MappedVma, part: Range, identity: VmaIdentity | None, measure: Measure
) -> Part | PlannedRange:
    if identity is not None and identity != row.vma.identity:
        verdict = Verdict(Will.NO, 0, (WhyBytes(Reason.CHANGED, part.size_bytes),))
        return PlannedRange(part, identity.name, None, None, verdict)
    return Part(row if part == row.vma.range else _part_of(row, part, measure), row.vma)


def _part_of(row: MappedVma, part: Range, measure: Measure) -> MappedVma:
    """Return the part as if it were a VMA. Smaps is for the whole only: its bytes are scaled by RSS."""
    measured = measure(part)
    vma = replace(
        row.vma,
        start=part.start,
        end=part.end,
        offset=row.vma.offset + (part.start - row.vma.start if row.vma.inode else 0),
    )
    rss, swap = measured if measured is not None else (None, None)
    details = row.details
    if details is not None and rss is not None and details.rss_bytes:
        share = min(1.0, rss / details.rss_bytes)
        details = replace(
            details,
            rss_bytes=rss,
            shared_bytes=_pages(details.shared_bytes * share),
            anonymous_bytes=_pages(details.anonymous_bytes * share),
            huge_bytes=_pages(details.huge_bytes * share),
        )
    return replace(row, vma=vma, rss_bytes=rss, swap_bytes=swap, details=details)


def _pages(count_bytes: float) -> int:
    return int(count_bytes) // PAGE_BYTES * PAGE_BYTES

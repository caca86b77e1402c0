"""Making a plan: which ranges of a target go to the kernel, which do not, and what will come of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from memtui.model.advice import Advice
from memtui.model.plan import Mark, PlannedRange
from memtui.model.ranges import PAGE_BYTES, Range
from memtui.model.reasons import Reason
from memtui.model.select import Filter
from memtui.model.verdict import LEAST_TASK_LIMIT, MachineFacts, Verdict, WhyBytes, Will
from memtui.model.vma import AddressSpace, MappedVma, Vma, VmaIdentity

Judge = Callable[[MappedVma, Advice], Verdict]
"""The verdict for one VMA, from what a look at the map tells."""

Assess = Callable[[MappedVma, MachineFacts], Verdict]
"""The verdict for one VMA, or for a part of one made to look like a VMA, from all that was looked up."""

Measure = Callable[[Range], "tuple[int, int] | None"]
"""RSS and swap of a part of a VMA, in bytes; None where it cannot be read."""


class Part(NamedTuple):
    """A VMA, or a part of one made to look like a VMA, and the VMA that it belongs to."""

    row: MappedVma
    whole: Vma
    range: Range


class SwapPurse:
    """Free swap, spent as the kernel will walk: ascending, target by target. One for a whole plan.

    Beside what the machine has free, each cgroup with a limit has a purse of its own.
    """

    def __init__(self, machine: MachineFacts) -> None:
        self._machine = replace(machine, swap_room_bytes=None)
        self._rooms: dict[str, int] = {}

    def facts(self, groups: Mapping[str, int] | None = None) -> MachineFacts:
        """Return the machine as the next range will find it.

        ``groups`` are the cgroups that the target stands in, by folder, with the swap that each may
        still use as it was before the plan.
        """
        if not groups:
            return self._machine
        rooms = [self._rooms.get(folder, room) for folder, room in groups.items()]
        return replace(self._machine, swap_room_bytes=min(rooms))

    def spend(self, count_bytes: int, groups: Mapping[str, int] | None = None) -> None:
        """Take out what a range will use."""
        if not count_bytes:
            return
        free = self._machine.swap_free_bytes
        if free is not None:
            self._machine = replace(self._machine, swap_free_bytes=max(0, free - count_bytes))
        for folder, room in (groups or {}).items():
            self._rooms[folder] = max(0, self._rooms.get(folder, room) - count_bytes)


def choose_rows(space: AddressSpace, advice: Advice, judge: Judge, select: Filter | None) -> list[Part]:
    """Choose whole VMAs: those that ``select`` takes, or else all that the kernel will not refuse."""
    return [
        Part(row, row.vma, row.vma.range)
        for row in space.rows()
        if (
            not judge(row, advice).refused if select is None else select.matches_vma(row, partial(judge, row))
        )
    ]


def choose_marks(space: AddressSpace, marks: Sequence[Mark], measure: Measure) -> list[Part | PlannedRange]:
    """Choose marked ranges: each cut to the VMAs that stand there now; the rest has its reason."""
    chosen: list[Part | PlannedRange] = []
    vmas = space.vmas
    index, last = 0, len(space.vmas)
    for wanted, identity in _disjoint(marks):
        at, end = wanted.start, wanted.end
        if index < last and vmas[index].end <= at:
            index = bisect_right(vmas, at, lo=index, key=lambda vma: vma.end)
        while index < last and (vma := vmas[index]).start < end:
            if vma.start == at and vma.end == end and (identity is None or identity == vma.identity):
                whole = wanted if at == wanted.start else vma.range
                chosen.append(Part(space.row(index), vma, whole))
                at, index = end, index + 1
                break
            if vma.start > at:
                chosen.append(_missing(Range(at, vma.start), identity))
                at = vma.start
            upto = min(end, vma.end)
            chosen.append(_marked(space.row(index), Range(at, upto), identity, measure))
            at = upto
            if vma.end > end:
                break
            index += 1
        if at < end:
            chosen.append(_missing(Range(at, end), identity))
    return chosen


def forecast(
    rows: Sequence[MappedVma],
    parts: Sequence[Part],
    assess: Assess,
    purse: SwapPurse,
    groups: Mapping[str, int] | None = None,
) -> list[PlannedRange]:
    """Say of each row, ascending, what will come of it, and spend the swap that it takes.

    ``rows`` are those of ``parts`` with what was looked up in them.
    """
    found = []
    alike: dict[object, Verdict] = {}
    facts = purse.facts(groups)
    for row, (_, whole, part) in zip(rows, parts, strict=True):
        key = _alike(row)
        verdict = None if key is None else alike.get(key)
        if verdict is None:
            verdict = assess(row, facts)
            if key is not None:
                alike[key] = verdict
        if verdict.swap_bytes:
            purse.spend(verdict.swap_bytes, groups)
            # With less swap free the next one may fare differently.
            facts = purse.facts(groups)
            alike.clear()
        found.append(PlannedRange(part, row.label or whole.name, whole.identity, row.kind, verdict))
    return found


def _alike(row: MappedVma) -> object:
    """Return what the verdict of a row follows from, beside the advice and the machine; None if from more.

    Private memory without a file is no matter of rights, and its pages were looked at. Values are
    told by which they are: alike rows share them, and this must cost less than a verdict.
    """
    vma = row.vma
    if row.pages is None or vma.inode or vma.end > LEAST_TASK_LIMIT:
        return None
    return vma.kind, vma.perms, vma.end - vma.start, id(row.pages), id(row.details)


def _disjoint(marks: Sequence[Mark]) -> Iterator[tuple[Range, VmaIdentity | None]]:
    """Yield the marks ascending, each address once."""
    at = 0
    for mark in sorted(marks, key=lambda mark: (mark.range.start, mark.range.end)):
        wanted = mark.range
        if wanted.start >= at:
            yield wanted, mark.identity
            at = wanted.end
        elif at < wanted.end:
            yield Range(at, wanted.end), mark.identity
            at = wanted.end


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
    vma = row.vma
    if part.start != vma.start or part.end != vma.end:
        row = _part_of(row, part, measure)
    return Part(row, vma, part)


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
            lazy_free_bytes=_pages(details.lazy_free_bytes * share),
        )
    return row._replace(vma=vma, rss_bytes=rss, swap_bytes=swap, details=details)


def _pages(count_bytes: float) -> int:
    return int(count_bytes) // PAGE_BYTES * PAGE_BYTES

"""Making a plan: which ranges of a target go to the kernel, which do not, and what will come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from memtui.model.advice import Advice
from memtui.model.plan import Mark, PlannedRange
from memtui.model.ranges import PAGE_BYTES, Range
from memtui.model.reasons import Reason
from memtui.model.select import Filter
from memtui.model.verdict import Verdict, WhyBytes, Will
from memtui.model.vma import AddressSpace, MappedVma, VmaIdentity

Judge = Callable[[MappedVma, Advice], Verdict]
"""The verdict for one VMA, or for a part of one made to look like a VMA."""

Measure = Callable[[Range], "tuple[int, int] | None"]
"""RSS and swap of a part of a VMA, in bytes; None where it cannot be read."""


def plan_rows(
    space: AddressSpace, advice: Advice, judge: Judge, select: Filter | None
) -> tuple[PlannedRange, ...]:
    """Plan whole VMAs: those that ``select`` takes, or else all that the kernel will not refuse."""
    chosen = []
    for row in space.rows():
        verdict = judge(row, advice)
        if select is None:
            if verdict.refused:
                continue
        elif not select.matches_vma(row, partial(judge, row)):
            continue
        chosen.append(_planned(row, row.vma.range, verdict))
    return tuple(chosen)


def plan_marks(
    space: AddressSpace, advice: Advice, marks: Sequence[Mark], judge: Judge, measure: Measure
) -> tuple[PlannedRange, ...]:
    """Plan marked ranges: each cut to the VMAs that stand there now; the rest is in it with its reason."""
    planned: list[PlannedRange] = []
    for wanted, identity in _disjoint(marks):
        at = wanted.start
        for index in _overlapping(space, wanted):
            row = space.row(index)
            if row.vma.start > at:
                planned.append(_missing(Range(at, row.vma.start), identity))
            part = Range(max(at, row.vma.start), min(wanted.end, row.vma.end))
            planned.append(_planned_part(row, part, identity, lambda some: judge(some, advice), measure))
            at = part.end
        if at < wanted.end:
            planned.append(_missing(Range(at, wanted.end), identity))
    return tuple(planned)


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


def _planned(row: MappedVma, part: Range, verdict: Verdict) -> PlannedRange:
    name = row.label or row.vma.name
    return PlannedRange(part, name, row.vma.identity, row.kind, verdict)


def _missing(part: Range, identity: VmaIdentity | None) -> PlannedRange:
    reason = Reason.NOT_MAPPED if identity is None else Reason.GONE
    verdict = Verdict(Will.NO, 0, (WhyBytes(reason, part.size_bytes),))
    return PlannedRange(part, identity.name if identity else "", None, None, verdict)


def _planned_part(
    row: MappedVma,
    part: Range,
    identity: VmaIdentity | None,
    judge: Callable[[MappedVma], Verdict],
    measure: Measure,
) -> PlannedRange:
    if identity is not None and identity != row.vma.identity:
        verdict = Verdict(Will.NO, 0, (WhyBytes(Reason.CHANGED, part.size_bytes),))
        return PlannedRange(part, identity.name, None, None, verdict)
    if part == row.vma.range:
        return _planned(row, part, judge(row))
    return _planned(row, part, judge(_part_of(row, part, measure)))


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

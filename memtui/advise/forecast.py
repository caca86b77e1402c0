"""Making a plan: which ranges of a target go to the kernel, which do not, and what will come of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import le
from typing import TYPE_CHECKING, NamedTuple

from memtui.model.advice import Advice
from memtui.model.pages import CacheFacts, HugeFacts, PageFacts
from memtui.model.plan import Mark, PlannedRange
from memtui.model.ranges import PAGE_BYTES, AddressColumns, Range
from memtui.model.reasons import Reason
from memtui.model.verdict import Expectation, MachineFacts, ReasonBytes, Verdict
from memtui.model.vma import AddressSpace, MappedVma, Vma, VmaDetails, VmaIdentity, VmaKind, kind_with

if TYPE_CHECKING:
    from memtui.model.filter import Filter

Judge = Callable[[MappedVma, Advice], Verdict]
"""The verdict for one VMA, from what a look at the map tells."""

Assess = Callable[[MappedVma, MachineFacts], Verdict]
"""The verdict for one VMA, or for a part of one made to look like a VMA, from all that was looked up."""

Measure = Callable[[Range], "tuple[int, int | None] | None"]
"""RSS and swap of a part of a VMA, in bytes; None where it cannot be seen."""


LookedUp = PageFacts | HugeFacts | CacheFacts | None
"""What a closer look at a part told, each for the advices it serves; None where there was none."""


class Part(NamedTuple):
    """What of a VMA is meant: all of it, or a part. ``kind`` is with what smaps adds to it.

    ``details`` are of all of it. ``row`` is the VMA with what is known of it, or a part of it made to look
    like a VMA; of tens of thousands that are alike it is made for the first one only, and so is ``None``
    until :meth:`seen` asks for it.
    """

    whole: Vma
    range: Range
    kind: VmaKind
    details: VmaDetails | None
    row: MappedVma | None
    space: AddressSpace
    number: int

    @staticmethod
    def of(space: AddressSpace, index: int) -> Part:
        """Return a whole VMA of a space."""
        vma = space.vmas[index]
        details = space.details.get(vma.start)
        return Part(vma, vma.range, kind_with(vma, details), details, None, space, index)

    @property
    def seen(self) -> MappedVma:
        """What is known of it."""
        return self.space.row(self.number) if self.row is None else self.row


class SwapBudget:
    """Free swap, spent as the kernel will walk: ascending, target by target. One for a whole plan.

    Beside what the machine has free, each cgroup with a limit has a purse of its own.
    """

    def __init__(self, machine: MachineFacts) -> None:
        self._machine = machine._replace(swap_room_bytes=None)
        self._rooms: dict[str, int] = {}

    def facts(self, groups: Mapping[str, int] | None = None) -> MachineFacts:
        """Return the machine as the next range will find it.

        ``groups`` are the cgroups that the target stands in, by folder, with the swap that each may
        still use as it was before the plan.
        """
        if not groups:
            return self._machine
        rooms = [self._rooms.get(folder, room) for folder, room in groups.items()]
        return self._machine._replace(swap_room_bytes=min(rooms))

    def charge(self, count_bytes: int, groups: Mapping[str, int] | None = None) -> None:
        """Take out what a range will use."""
        if not count_bytes:
            return
        free = self._machine.swap_free_bytes
        if free is not None:
            self._machine = self._machine._replace(swap_free_bytes=max(0, free - count_bytes))
        for folder, room in (groups or {}).items():
            self._rooms[folder] = max(0, self._rooms.get(folder, room) - count_bytes)


def choose_rows(space: AddressSpace, advice: Advice, judge: Judge, select: Filter | None) -> list[Part]:
    """Choose whole VMAs: those that ``select`` takes, or else all that the kernel will not refuse."""
    chosen = []
    for index, row in enumerate(space.rows()):
        if not judge(row, advice).refused if select is None else select.matches_vma(row, partial(judge, row)):
            chosen.append(Part(row.vma, row.vma.range, row.kind, row.details, row, space, index))
    return chosen


def choose_marks(space: AddressSpace, marks: Sequence[Mark], measure: Measure) -> list[Part | PlannedRange]:
    """Choose marked ranges: each cut to the VMAs that stand there now; the rest has its reason."""
    chosen: list[Part | PlannedRange] = []
    vmas, details_of = space.vmas, space.details.get
    index, last = 0, len(space.vmas)
    for wanted, identity in _disjoint(marks):
        vma = vmas[index] if index < last else None
        if (
            vma is not None
            and vma.start == wanted.start
            and vma.end == wanted.end
            and (identity is None or identity == vma.identity)
        ):
            # Nearly every mark is a whole VMA, and the next one.
            details = details_of(vma.start)
            chosen.append(Part(vma, wanted, kind_with(vma, details), details, None, space, index))
            index += 1
        else:
            index = _cut_to_vmas(space, index, wanted, identity, measure, chosen)
    return chosen


def _cut_to_vmas(
    space: AddressSpace,
    index: int,
    wanted: Range,
    identity: VmaIdentity | None,
    measure: Measure,
    chosen: list[Part | PlannedRange],
) -> int:
    """Append what of a mark stands there, from VMA ``index`` on; return where the next may begin."""
    vmas, last = space.vmas, len(space.vmas)
    at, end = wanted.start, wanted.end
    index = bisect_right(vmas, at, lo=index, key=lambda vma: vma.end)
    while index < last and (vma := vmas[index]).start < end:
        if vma.start > at:
            chosen.append(_missing(Range(at, vma.start), identity))
            at = vma.start
        upto = min(end, vma.end)
        chosen.append(_marked(Part.of(space, index), Range(at, upto), identity, measure))
        at = upto
        if vma.end > end:
            break
        index += 1
    if at < end:
        chosen.append(_missing(Range(at, end), identity))
    return index


def forecast(
    parts: Sequence[Part],
    looked_up: Sequence[LookedUp],
    assess: Assess,
    purse: SwapBudget,
    groups: Mapping[str, int] | None = None,
) -> list[PlannedRange]:
    """Say of each part, ascending, what will come of it, and spend the swap that it takes.

    ``looked_up`` is what was looked up for each.
    """
    found = []
    alike: dict[object, Verdict] = {}
    facts = purse.facts(groups)
    for part, more in zip(parts, looked_up, strict=True):
        whole, span, kind, details, row, space, _number = part
        key = None
        is_whole = row is None or row.vma is whole
        if is_whole and type(more) is PageFacts and not whole.inode and span.end <= facts.address_limit:
            # Of private memory without a file the verdict follows from these, beside the advice and the
            # machine: it is no matter of rights. Values are told by which they are: those that are alike
            # are the same, and this must cost less than a verdict.
            key = kind, whole.perms, span.end - span.start, id(more), id(details)
        verdict = None if key is None else alike.get(key)
        if verdict is None:
            verdict = assess(_with(part.seen, more), facts)
            if key is not None:
                alike[key] = verdict
        if verdict.swap_bytes:
            purse.charge(verdict.swap_bytes, groups)
            # With less swap free the next one may fare differently.
            facts = purse.facts(groups)
            alike.clear()
        name = space.labels.get(whole.start) or whole.name if space.labels else whole.name
        by_smaps = whole.start in space.swap_by_smaps
        found.append(PlannedRange(span, name, whole.identity, kind, verdict, by_smaps))
    return found


def _with(row: MappedVma, more: LookedUp) -> MappedVma:
    if isinstance(more, PageFacts):
        return row._replace(pages=more)
    if isinstance(more, HugeFacts):
        return row._replace(blocks=more)
    return row if more is None else row._replace(cache=more)


def _disjoint(marks: Sequence[Mark]) -> Iterator[tuple[Range, VmaIdentity | None]]:
    """Return the marks ascending, each address once."""
    spans = AddressColumns.from_items([mark.range for mark in marks])
    if all(map(le, spans.ends, spans.starts[1:])):
        return ((mark.range, mark.identity) for mark in marks)
    return _made_disjoint(sorted(marks, key=lambda mark: (mark.range.start, mark.range.end)))


def _made_disjoint(marks: Sequence[Mark]) -> Iterator[tuple[Range, VmaIdentity | None]]:
    at = 0
    for mark in marks:
        wanted = mark.range
        if wanted.start >= at:
            yield wanted, mark.identity
            at = wanted.end
        elif at < wanted.end:
            yield Range(at, wanted.end), mark.identity
            at = wanted.end


def _missing(part: Range, identity: VmaIdentity | None) -> PlannedRange:
    reason = Reason.NOT_MAPPED if identity is None else Reason.GONE
    verdict = Verdict(Expectation.NO, 0, (ReasonBytes(reason, part.size_bytes),))
    return PlannedRange(part, identity.name if identity else "", None, None, verdict)


def _marked(part: Part, wanted: Range, identity: VmaIdentity | None, measure: Measure) -> Part | PlannedRange:
    vma = part.whole
    if identity is not None and identity != vma.identity:
        verdict = Verdict(Expectation.NO, 0, (ReasonBytes(Reason.CHANGED, wanted.size_bytes),))
        return PlannedRange(wanted, identity.name, None, None, verdict)
    if wanted.start == vma.start and wanted.end == vma.end:
        return part
    return part._replace(range=wanted, row=_part_of(part.seen, wanted, measure))


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
        details = details._replace(
            rss_bytes=rss,
            shared_bytes=_pages(details.shared_bytes * share),
            anonymous_bytes=_pages(details.anonymous_bytes * share),
            huge_bytes=_pages(details.huge_bytes * share),
            lazy_free_bytes=_pages(details.lazy_free_bytes * share),
        )
    return row._replace(vma=vma, rss_bytes=rss, swap_bytes=swap, details=details)


def _pages(count_bytes: float) -> int:
    return int(count_bytes) // PAGE_BYTES * PAGE_BYTES

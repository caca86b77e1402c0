"""Adding up what was seen of each planned range: what the kernel walked, and the pages before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import repeat
from operator import add, sub
from typing import TYPE_CHECKING, Any, NamedTuple

from memtui.advise.segments import Segments
from memtui.model.advice import Advice
from memtui.model.pages import FILE, HUGE, PRESENT, SWAPPED, ZERO, RawRun, cut, resident, tally_by_span
from memtui.model.ranges import Range, RangeSet, intersect, normalise, subtract
from memtui.model.vma import VmaDetails, VmaKind

if TYPE_CHECKING:
    from memtui.model.plan import PlannedRange
    from memtui.model.ranges import AddressColumns


class WholeLook(NamedTuple):
    """What a whole range held before the first hold and after the last; bytes, None where not known."""

    rss_before_bytes: int | None
    swap_before_bytes: int | None
    rss_after_bytes: int | None
    swap_after_bytes: int | None


@dataclass(slots=True)
class RangeTally:
    """Sums over the pieces of one planned range; bytes.

    ``swapped_bytes`` of what moved were in swap afterwards, ``came_bytes`` came into RSS meanwhile.
    ``huge_moved_bytes`` of what moved had stood in huge pages; where ``zero_moved_bytes`` of it were, the
    shared zero page stands now (None where smaps alone was read). ``seen_bytes`` were looked at twice;
    where that is not all of the range, ``whole`` tells what all of it held. ``smaps_seen`` tells that swap
    is known where the page table does not tell it, too.
    """

    planned: PlannedRange
    advised_bytes: int = 0
    moved_bytes: int = 0
    rss_before_bytes: int = 0
    rss_after_bytes: int = 0
    swap_before_bytes: int = 0
    swap_after_bytes: int = 0
    swapped_bytes: int = 0
    came_bytes: int = 0
    huge_moved_bytes: int = 0
    zero_moved_bytes: int | None = 0
    zero_bytes: int = 0
    huge_before_bytes: int = 0
    huge_after_bytes: int = 0
    changed_bytes: int = 0
    gone_bytes: int = 0
    raced_bytes: int = 0
    lost_bytes: int = 0
    empty_bytes: int = 0
    seen_bytes: int = 0
    whole: WholeLook | None = None
    smaps_seen: bool = False
    errno: int | None = None
    cache_came_bytes: int | None = None

    @property
    def seen(self) -> bool:
        """Whether any of it was looked at twice."""
        return self.seen_bytes > 0

    @property
    def swap_is_known(self) -> bool:
        """Whether its swap was seen: of shared memory, and where there are markers, only smaps tells."""
        return self.smaps_seen or not (self.planned.kind is VmaKind.SHMEM or self.planned.swap_by_smaps)

    def see_whole(self, was: VmaDetails, now: VmaDetails, advice: Advice) -> None:
        """Take from smaps what became of a whole VMA, where the page table may not be read."""
        self.smaps_seen = True
        self.seen_bytes = self.planned.requested_bytes
        self.rss_before_bytes, self.rss_after_bytes = was.rss_bytes, now.rss_bytes
        self.swap_before_bytes, self.swap_after_bytes = was.swap_bytes, now.swap_bytes
        self.huge_before_bytes, self.huge_after_bytes = was.huge_bytes, now.huge_bytes
        if advice is Advice.COLLAPSE:
            self.moved_bytes = now.huge_bytes - was.huge_bytes
        else:
            self.moved_bytes = max(0, was.rss_bytes - now.rss_bytes)
            self.swapped_bytes = min(self.moved_bytes, max(0, now.swap_bytes - was.swap_bytes))
            self.came_bytes = max(0, now.rss_bytes - was.rss_bytes)
            self.zero_moved_bytes = None


_DEFAULTS = {item.name: item.default for item in fields(RangeTally) if item.name != "planned"}


class RangeStats:
    """The tallies of all planned ranges, sum by sum: a column that nothing was added to does not exist.

    Sums are named as the fields of RangeTally.
    """

    def __init__(self, planned: Sequence[PlannedRange]) -> None:
        self.planned = planned
        self.hugetlb = frozenset(at for at, item in enumerate(planned) if item.kind is VmaKind.HUGETLB)
        self._columns: dict[str, list[Any]] = {}

    def _column(self, name: str) -> list[Any]:
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = [_DEFAULTS[name]] * len(self.planned)
        return found

    def add(self, name: str, pieces: Segments, counts: Iterable[int] | None = None) -> None:
        """Add a count for each piece, or else its size, to a sum of the range that it belongs to."""
        if not len(pieces):
            return
        sums = self._column(name)
        counts = map(sub, pieces.ends, pieces.starts) if counts is None else counts
        for owner, count in zip(pieces.owners, counts, strict=True):
            sums[owner] += count

    def set(self, name: str, owner: int, value: object) -> None:
        """Say of one range what is no sum."""
        self._column(name)[owner] = value

    def sums(self, name: str) -> Sequence[int]:
        """Return a sum of each range."""
        return self._columns.get(name) or [0] * len(self.planned)

    def where(self, name: str) -> list[int]:
        """Return of which ranges a sum is not nought."""
        return [at for at, value in enumerate(self._columns.get(name, ())) if value]

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """Return all that is known of each range, as tuples of one order."""
        columns = self._columns.values()
        return zip(*columns, strict=True) if columns else repeat((), len(self.planned))

    def of(self, owner: int) -> RangeTally:
        """Return a copy of the tally of one range."""
        return RangeTally(self.planned[owner], **{name: sums[owner] for name, sums in self._columns.items()})

    def put(self, owner: int, tally: RangeTally) -> None:
        """Put the tally of one range in the place of what was known of it."""
        for name, default in _DEFAULTS.items():
            value = getattr(tally, name)
            if name in self._columns or value != default:
                self.set(name, owner, value)


def add_seen(
    tallies: RangeStats, called: Segments, before: Sequence[RawRun], after: Sequence[RawRun], advice: Advice
) -> RangeSet:
    """Add what two looks at the pages of ascending, disjoint pieces saw; return the pages that left RSS."""
    tallies.add("seen_bytes", called)
    # The page table has hugetlb memory as present; RSS leaves it out (docs/kernel-facts.md 3.2).
    counted = _without(called, tallies.hugetlb)
    spans = counted.spans
    same = before == after
    was = tally_by_span(spans, before)
    now = was if same else tally_by_span(spans, after)
    tallies.add("rss_before_bytes", counted, was.rss_bytes)
    tallies.add("rss_after_bytes", counted, now.rss_bytes)
    if any(was.swap_bytes) or any(now.swap_bytes):
        tallies.add("swap_before_bytes", counted, was.swap_bytes)
        tallies.add("swap_after_bytes", counted, now.swap_bytes)
    zero = [(start, end, PRESENT) for start, end, state in before if state & ZERO]
    if zero:
        tallies.add("zero_bytes", counted, tally_by_span(spans, zero).rss_bytes)
    huge_was = _by_span(spans, before, HUGE)
    huge_now = huge_was if same else _by_span(spans, after, HUGE)
    if huge_was is not None:
        tallies.add("huge_before_bytes", counted, huge_was)
    if huge_now is not None:
        tallies.add("huge_after_bytes", counted, huge_now)
    if advice is Advice.COLLAPSE:
        nothing = [0] * len(counted)
        tallies.add("moved_bytes", counted, map(sub, huge_now or nothing, huge_was or nothing))
    if advice is not Advice.PAGEOUT:
        return ()
    return _add_left(tallies, counted, (before, was.rss_bytes), (after, now.rss_bytes))


def _without(pieces: Segments, owners: frozenset[int]) -> Segments:
    return Segments.of(piece for piece in pieces if piece.owner not in owners) if owners else pieces


_Look = tuple[Sequence[RawRun], Sequence[int]]
"""What was seen of the pages, and RSS of each piece by it."""


def _add_left(tallies: RangeStats, called: Segments, first: _Look, second: _Look) -> RangeSet:
    """Add, page by page, what left RSS, where it went, and what came; return the pages that can come back.

    What a huge page held in zeroes only does not: the kernel splits the page, frees these parts, and maps
    the shared zero page in their place (try_to_map_unused_to_zeropage(), mm/migrate.c, Linux 6.12).
    """
    (before, was), (after, now) = first, second
    spans = called.spans
    left = subtract(resident(before), resident(after))
    # Of a page of a file or of shared memory a write protection by userfaultfd may stay, as a marker.
    files = normalise(Range(start, end) for start, end, state in before if state & FILE)
    out = cut((run for run in after if run[2] & SWAPPED), subtract(left, files) if files else left)
    left_by_piece = tally_by_span(spans, ((item.start, item.end, PRESENT) for item in left)).rss_bytes
    tallies.add("moved_bytes", called, left_by_piece)
    tallies.add("came_bytes", called, map(add, map(sub, now, was), left_by_piece))
    tallies.add("swapped_bytes", called, tally_by_span(spans, out).swap_bytes)
    huge = cut((run for run in before if run[2] & HUGE), left)
    tallies.add("huge_moved_bytes", called, tally_by_span(spans, huge).rss_bytes)
    zeroed = normalise(Range(start, end) for start, end, state in cut(after, left) if state & ZERO)
    if zeroed:
        by_piece = tally_by_span(spans, ((item.start, item.end, PRESENT) for item in zeroed)).rss_bytes
        tallies.add("zero_moved_bytes", called, by_piece)
        left = subtract(left, zeroed)
    # The looks may show what lies between the pieces too.
    return intersect(left, tuple(Range(start, end) for start, end in spans))


def _by_span(spans: AddressColumns, runs: Sequence[RawRun], flag: int) -> list[int] | None:
    """Return what of each span has a flag; None where there is no such page at all."""
    flagged = [run for run in runs if run[2] & flag]
    return tally_by_span(spans, flagged).rss_bytes if flagged else None

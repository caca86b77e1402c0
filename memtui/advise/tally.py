"""What came of each planned range: adding up what was seen, and putting it into an outcome."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from memtui.advise.cutting import Piece
from memtui.model.advice import Advice
from memtui.model.pages import HUGE, PRESENT, SWAPPED, ZERO, RawRun, cut, resident, tally_by_span
from memtui.model.plan import PlannedRange
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect, subtract
from memtui.model.reasons import Reason, reason_of_errno
from memtui.model.report import Outcome, RangeReport
from memtui.model.vma import ANONYMOUS_KINDS, CACHED_KINDS, Kind, VmaDetails
from memtui.text import size

_BATCH_PAGES = 31
"""Pages that a CPU keeps in a batch before they stand in an LRU list (PAGEVEC_SIZE, Linux 6.10)."""

_KEEPS = frozenset(
    {
        Reason.SHARED_PAGES,
        Reason.FILE_NOT_WRITABLE,
        Reason.NO_SWAP,
        Reason.SWAP_LIMIT,
        Reason.LOCKED_IN_RAM,
        Reason.SKIPPED,
    }
)
"""What keeps resident pages where they are."""

_REST_EMPTY = "the rest holds no whole huge page with anything in it"

_SWAP_LEFT_BYTES = 1 << 20
"""With less swap free than this it is as good as full: clusters of it are kept for other CPUs."""


class RangeTally:
    """Sums over the pieces of one planned range; bytes. There are many: what is nought is not stored.

    ``swapped_bytes`` of what moved were in swap afterwards, ``came_bytes`` came into RSS meanwhile.
    ``huge_moved_bytes`` of what moved had stood in huge pages.
    """

    moved_bytes: int = 0
    rss_before_bytes: int = 0
    rss_after_bytes: int = 0
    swap_before_bytes: int = 0
    swap_after_bytes: int = 0
    swapped_bytes: int = 0
    came_bytes: int = 0
    huge_moved_bytes: int = 0
    zero_bytes: int = 0
    huge_before_bytes: int = 0
    huge_after_bytes: int = 0
    changed_bytes: int = 0
    gone_bytes: int = 0
    raced_bytes: int = 0
    lost_bytes: int = 0
    empty_bytes: int = 0
    seen: bool = False
    errno: int | None = None
    cache_came_bytes: int | None = None

    def __init__(self, planned: PlannedRange, advised_bytes: int = 0, **sums: int | None) -> None:
        self.planned = planned
        self.advised_bytes = advised_bytes
        # Of shared memory in swap the page table has no trace.
        self.swap_is_known = planned.kind is not Kind.SHMEM
        for name, value in sums.items():
            setattr(self, name, value)

    def see_whole(self, was: VmaDetails, now: VmaDetails, advice: Advice) -> None:
        """Take from smaps what became of a whole VMA, where the page table may not be read."""
        self.seen = self.swap_is_known = True
        self.rss_before_bytes, self.rss_after_bytes = was.rss_bytes, now.rss_bytes
        self.swap_before_bytes, self.swap_after_bytes = was.swap_bytes, now.swap_bytes
        self.huge_before_bytes, self.huge_after_bytes = was.huge_bytes, now.huge_bytes
        if advice is Advice.COLLAPSE:
            self.moved_bytes = now.huge_bytes - was.huge_bytes
        else:
            self.moved_bytes = max(0, was.rss_bytes - now.rss_bytes)
            self.swapped_bytes = min(self.moved_bytes, max(0, now.swap_bytes - was.swap_bytes))
            self.came_bytes = max(0, now.rss_bytes - was.rss_bytes)


def add_seen(
    tallies: Sequence[RangeTally],
    called: Sequence[Piece],
    before: Sequence[RawRun],
    after: Sequence[RawRun],
    advice: Advice,
) -> RangeSet:
    """Add what two looks at the pages of ascending, disjoint pieces saw; return the pages that left RSS."""
    spans = [(piece.start, piece.end) for piece in called]
    same = before == after
    was = tally_by_span(spans, before)
    now = was if same else tally_by_span(spans, after)
    zero = [(start, end, PRESENT) for start, end, state in before if state & ZERO]
    zeros = tally_by_span(spans, zero).rss_bytes if zero else None
    huge_was = _by_span(spans, before, HUGE)
    huge_now = huge_was if same else _by_span(spans, after, HUGE)
    columns = zip(called, was.rss_bytes, now.rss_bytes, was.swap_bytes, now.swap_bytes, strict=True)
    for at, (piece, rss_was, rss_now, swap_was, swap_now) in enumerate(columns):
        tally = tallies[piece.owner]
        tally.seen = True
        if tally.planned.kind is Kind.HUGETLB:
            # The page table has it as present; RSS leaves it out (KERNEL.md 3.2).
            continue
        tally.rss_before_bytes += rss_was
        tally.rss_after_bytes += rss_now
        if swap_was or swap_now:
            tally.swap_before_bytes += swap_was
            tally.swap_after_bytes += swap_now
        if zeros is not None:
            tally.zero_bytes += zeros[at]
        if huge_was is not None:
            tally.huge_before_bytes += huge_was[at]
        if huge_now is not None:
            tally.huge_after_bytes += huge_now[at]
        if advice is Advice.COLLAPSE:
            was_huge = 0 if huge_was is None else huge_was[at]
            tally.moved_bytes += (0 if huge_now is None else huge_now[at]) - was_huge
    if advice is not Advice.PAGEOUT:
        return ()
    return _add_left(tallies, called, (before, was.rss_bytes), (after, now.rss_bytes))


_Look = tuple[Sequence[RawRun], Sequence[int]]
"""What was seen of the pages, and RSS of each piece by it."""


def _add_left(
    tallies: Sequence[RangeTally], called: Sequence[Piece], first: _Look, second: _Look
) -> RangeSet:
    """Add, page by page, what left RSS, where it went, and what came; return the pages that left."""
    (before, was), (after, now) = first, second
    spans = [(piece.start, piece.end) for piece in called]
    left = subtract(resident(before), resident(after))
    out = cut((run for run in after if run[2] & SWAPPED), left)
    left_by_piece = tally_by_span(spans, ((item.start, item.end, PRESENT) for item in left)).rss_bytes
    out_by_piece = tally_by_span(spans, out).swap_bytes
    huge_by_piece = tally_by_span(spans, cut((run for run in before if run[2] & HUGE), left)).rss_bytes
    for piece, rss_was, rss_now, left_bytes, out_bytes, huge_bytes in zip(
        called, was, now, left_by_piece, out_by_piece, huge_by_piece, strict=True
    ):
        tally = tallies[piece.owner]
        tally.moved_bytes += left_bytes
        tally.came_bytes += rss_now - rss_was + left_bytes
        tally.swapped_bytes += out_bytes
        tally.huge_moved_bytes += huge_bytes
    # The looks may show what lies between the pieces too.
    return intersect(left, tuple(Range(start, end) for start, end in spans))


def _by_span(spans: Sequence[tuple[int, int]], runs: Sequence[RawRun], flag: int) -> list[int] | None:
    """Return what of each span has a flag; None where there is no such page at all."""
    flagged = [run for run in runs if run[2] & flag]
    return tally_by_span(spans, flagged).rss_bytes if flagged else None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an outcome depends on beside the range itself; None is unknown.

    ``stopped`` is why the plan ended before its end. ``swapped_in_bytes`` and ``swap_free_bytes``
    (afterwards) are of the whole machine. ``batches_were_emptied``: a second pass was made on all CPUs.
    """

    advice: Advice
    stopped: Reason | None
    swapped_in_bytes: int | None
    referenced_before: dict[int, int]
    referenced_after: dict[int, int]
    swap_free_bytes: int | None = None
    batches_were_emptied: bool = False


def settle(tally: RangeTally, about: Circumstances) -> RangeReport:
    """Return the report of one range."""
    planned = tally.planned
    report = RangeReport(planned, tally.advised_bytes)
    if tally.errno is not None:
        report.errno = errno.errorcode.get(tally.errno, str(tally.errno))
    raced = tally.raced_bytes
    if tally.seen:
        report.rss_before_bytes, report.rss_after_bytes = tally.rss_before_bytes, tally.rss_after_bytes
        if tally.swap_is_known:
            report.swap_before_bytes = tally.swap_before_bytes
            report.swap_after_bytes = tally.swap_after_bytes
        report.huge_delta_bytes = tally.huge_after_bytes - tally.huge_before_bytes
        if about.advice.moves and not raced:
            report.moved_bytes = tally.moved_bytes
            if about.advice is Advice.PAGEOUT:
                report.swapped_bytes, report.came_bytes = tally.swapped_bytes, tally.came_bytes
                report.huge_moved_bytes = tally.huge_moved_bytes
                report.given_up_bytes = _given_up(tally)
    if not raced:
        report.cache_delta_bytes = tally.cache_came_bytes
    if tally.advised_bytes:
        start = planned.range.start
        was, now = about.referenced_before.get(start), about.referenced_after.get(start)
        if was is not None and now is not None:
            report.referenced_delta_bytes = now - was
    report.outcome, reason, text = _outcome(tally, report, about)
    report.reason = reason
    report.reason_text = text or (reason.text if reason else None)
    return report


def _given_up(tally: RangeTally) -> int:
    """Return what went neither to swap nor elsewhere since its owner had given it up (MADV_FREE).

    smaps counts what waits in the LRU batch of a CPU only later.
    """
    reasons = tally.planned.verdict.reasons
    foretold = sum(why.count_bytes or 0 for why in reasons if why.reason is Reason.LAZY_FREE)
    uncounted = _batch_bytes() if foretold else 0
    return min(max(0, tally.moved_bytes - tally.swapped_bytes), foretold + uncounted)


def _batch_bytes() -> int:
    return _BATCH_PAGES * PAGE_BYTES * (os.cpu_count() or 1)


_Ending = tuple[Outcome, "Reason | None", "str | None"]


def _outcome(tally: RangeTally, report: RangeReport, about: Circumstances) -> _Ending:
    planned = tally.planned
    if not planned.goes:
        return _never_went(planned)
    if tally.lost_bytes:
        return Outcome.FREEZE_LOST, Reason.FREEZE_LOST, None
    if tally.raced_bytes:
        return Outcome.RACED, Reason.RACED, None
    if tally.advised_bytes >= planned.requested_bytes:
        return _effect(tally, report, about)
    if tally.advised_bytes and tally.advised_bytes + tally.empty_bytes >= planned.requested_bytes:
        # The kernel took all that it was asked for: of COLLAPSE what holds nothing is not asked.
        return _effect(tally, report, about)
    shortfall = _shortfall(tally, about)
    if tally.advised_bytes or tally.moved_bytes > 0:
        return Outcome.PARTIAL, shortfall[1], shortfall[2]
    return shortfall


def _never_went(planned: PlannedRange) -> _Ending:
    reason = planned.verdict.main_reason
    if reason is Reason.CHANGED:
        return Outcome.CHANGED, reason, None
    if reason is Reason.GONE:
        return Outcome.GONE, reason, None
    return Outcome.REFUSED, reason, None


def _shortfall(tally: RangeTally, about: Circumstances) -> _Ending:
    """Return why a range was not advised whole."""
    if tally.errno is not None:
        reason = reason_of_errno(about.advice, tally.errno)
        unknown = reason is Reason.KERNEL_REFUSED
        return Outcome.REFUSED, reason, f"{reason.text}: {os.strerror(tally.errno)}" if unknown else None
    if tally.changed_bytes:
        return Outcome.CHANGED, Reason.CHANGED, None
    if tally.gone_bytes:
        return Outcome.GONE, Reason.GONE, None
    if about.stopped in (Reason.EXITED, Reason.EXECED):
        return Outcome.GONE, about.stopped, None
    if about.stopped is Reason.FREEZE_LOST:
        return Outcome.FREEZE_LOST, Reason.FREEZE_LOST, None
    if about.stopped is not None and about.stopped is not Reason.CANCELLED:
        return Outcome.REFUSED, about.stopped, None
    if tally.empty_bytes:
        return Outcome.REFUSED, Reason.NOTHING_TO_COLLAPSE, None
    middle = "cancelled in the middle" if tally.advised_bytes else None
    return Outcome.CANCELLED, Reason.CANCELLED, middle


def _effect(tally: RangeTally, report: RangeReport, about: Circumstances) -> _Ending:
    """Return what the advice did to a range that the kernel took whole."""
    if about.advice is Advice.COLD:
        return _cold_effect(tally, about)
    if about.advice is Advice.WILLNEED:
        return _willneed_effect(tally, about)
    if report.moved_bytes is None:
        return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, None
    if about.advice is Advice.COLLAPSE:
        return _collapse_effect(tally)
    if report.moved_bytes > 0:
        stays = tally.rss_after_bytes - tally.came_bytes
        return Outcome.DONE, _why_stayed(tally, about, stays) if stays > 0 else None, None
    if not tally.rss_before_bytes:
        return Outcome.NO_EFFECT, _why_nothing(tally), None
    return Outcome.NO_EFFECT, _why_stayed(tally, about, tally.rss_after_bytes), None


def _collapse_effect(tally: RangeTally) -> _Ending:
    if tally.moved_bytes > 0:
        return (
            (Outcome.DONE, Reason.NOTHING_TO_COLLAPSE, _REST_EMPTY)
            if tally.empty_bytes
            else (Outcome.DONE, None, None)
        )
    if tally.huge_before_bytes and tally.huge_before_bytes == tally.rss_before_bytes:
        return Outcome.NO_EFFECT, Reason.ALL_HUGE, None
    main = tally.planned.verdict.main_reason
    return Outcome.NO_EFFECT, main if main not in (None, Reason.RSS_GROWS) else Reason.SKIPPED, None


def _why_nothing(tally: RangeTally) -> Reason:
    """Return why there was nothing in RAM to be taken."""
    if tally.swap_is_known and tally.swap_before_bytes:
        return Reason.ALREADY_OUT
    if tally.zero_bytes:
        return Reason.ZERO_PAGE
    return Reason.UNMAPPED_HERE if tally.planned.kind in CACHED_KINDS else Reason.NOTHING_RESIDENT


def _why_stayed(tally: RangeTally, about: Circumstances, stays_bytes: int) -> Reason:
    """Return why pages stayed in RAM: what was measured goes before what was forecast."""
    planned = tally.planned
    forecast = [why.reason for why in planned.verdict.reasons if why.reason in _KEEPS]
    others = [reason for reason in forecast if reason is not Reason.NO_SWAP]
    goes_to_swap = planned.kind in ANONYMOUS_KINDS or planned.kind is Kind.SHMEM or Reason.NO_SWAP in forecast
    free = about.swap_free_bytes
    if forecast and (forecast[0] is not Reason.NO_SWAP or free is None):
        return forecast[0]
    if goes_to_swap and free is not None and free < min(stays_bytes, _SWAP_LEFT_BYTES):
        return Reason.NO_SWAP
    if others:
        return others[0]
    if about.batches_were_emptied:
        return Reason.SKIPPED
    return Reason.LRU_BATCH if stays_bytes <= _batch_bytes() else Reason.SKIPPED


def _cold_effect(tally: RangeTally, about: Circumstances) -> _Ending:
    if tally.seen and tally.rss_before_bytes == 0:
        return Outcome.NO_EFFECT, _why_nothing(tally), None
    planned = tally.planned
    was = about.referenced_before.get(planned.range.start)
    now = about.referenced_after.get(planned.range.start)
    if was is None or now is None:
        return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, None
    if now < was:
        return Outcome.DONE, planned.verdict.main_reason, None
    if planned.verdict.forecast_bytes == 0 and planned.verdict.main_reason:
        return Outcome.NO_EFFECT, planned.verdict.main_reason, None
    return Outcome.UNVERIFIED, Reason.STILL_REFERENCED, None


def _willneed_effect(tally: RangeTally, about: Circumstances) -> _Ending:
    kind = tally.planned.kind
    if tally.planned.verdict.main_reason is Reason.LOCKED_IN_RAM:
        return Outcome.NO_EFFECT, Reason.LOCKED_IN_RAM, None
    if kind in ANONYMOUS_KINDS:
        if tally.seen and tally.swap_before_bytes == 0:
            return Outcome.NO_EFFECT, Reason.NOTHING_SWAPPED, None
        return _swap_in_effect(about)
    if tally.cache_came_bytes is None:
        return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, None
    if tally.cache_came_bytes > 0:
        words = f"{size(tally.cache_came_bytes)} came into the page cache"
        return Outcome.DONE, None, words
    if kind is Kind.SHMEM:
        return _swap_in_effect(about)
    return Outcome.NO_EFFECT, Reason.NOTHING_CAME, None


def _swap_in_effect(about: Circumstances) -> _Ending:
    """Judge reading in from swap: only the machine's counters show it, so that none is a proof."""
    if about.swapped_in_bytes is None:
        return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, None
    if about.swapped_in_bytes == 0:
        return Outcome.NO_EFFECT, Reason.NOTHING_CAME, None
    words = f"{size(about.swapped_in_bytes)} were read in from swap meanwhile, by the whole machine"
    return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, words


_TOOK = frozenset({Outcome.DONE, Outcome.UNVERIFIED, Outcome.NO_EFFECT})


def outcome_of(ranges: Sequence[RangeReport], advised_bytes: int, stopped: Reason | None) -> Outcome:
    """Return the outcome of a target from those of its ranges."""
    outcomes = {item.outcome for item in ranges}
    if stopped is Reason.FREEZE_LOST or Outcome.FREEZE_LOST in outcomes:
        return Outcome.FREEZE_LOST
    if Outcome.RACED in outcomes:
        return Outcome.RACED
    if stopped is Reason.CANCELLED:
        return Outcome.CANCELLED
    if not outcomes:
        return Outcome.REFUSED
    if len(outcomes) == 1:
        return next(iter(outcomes))
    if outcomes <= _TOOK:
        return next(item for item in (Outcome.DONE, Outcome.UNVERIFIED) if item in outcomes)
    if advised_bytes:
        return Outcome.PARTIAL
    if outcomes <= {Outcome.CHANGED, Outcome.GONE}:
        return Outcome.CHANGED
    return Outcome.REFUSED

"""What an advice did to a range, and to a target: from what was added up to an outcome with its reason."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memtui.model.advice import Advice
from memtui.model.pages import LRU_BATCH_PAGES
from memtui.model.ranges import PAGE_BYTES
from memtui.model.reasons import GIVEN_UP, Detail, DetailCode, Reason, cancelled_words, reason_of_errno
from memtui.model.report import Outcome, RangeReport, ReportGroup
from memtui.model.vma import ANONYMOUS_KINDS, CACHED_KINDS, VmaKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Set

    from memtui.advise.range_stats import RangeStats, RangeTally
    from memtui.model.plan import PlannedRange

_KEEPS = frozenset(
    {
        Reason.SHARED_PAGES,
        Reason.MERGED_PAGES,
        Reason.UNEVICTABLE,
        Reason.PINNED,
        Reason.FILE_NOT_WRITABLE,
        Reason.NO_SWAP,
        Reason.SWAP_LIMIT,
        Reason.LOCKED_IN_RAM,
        Reason.SKIPPED,
    }
)
"""What keeps resident pages where they are."""

_CAUSES = {
    Reason.BUSY: (Reason.SWAPPED_OUT, Reason.PINNED),
    Reason.CGROUP_FULL: (Reason.WATCHED,),
    Reason.NOT_COLLAPSIBLE: (Reason.WATCHED, Reason.OWN_COPIES),
}
"""What else an errno of COLLAPSE may stand for (madvise_collapse_errno(), mm/khugepaged.c)."""

_SWAP_LEFT_BYTES = 1 << 20
"""With less swap free than this it is as good as full: clusters of it are kept for other CPUs."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an outcome depends on beside the range itself; None is unknown.

    ``stopped`` is why the plan ended before its end, and ``stopped_text`` says more of it.
    ``swapped_in_bytes`` and ``swap_free_bytes`` (afterwards) are of the whole machine.
    ``batches_were_emptied``: a second pass was made on all CPUs.
    """

    advice: Advice
    stopped: Reason | None
    swapped_in_bytes: int | None
    referenced_before: dict[int, int]
    referenced_after: dict[int, int]
    swap_free_bytes: int | None = None
    batches_were_emptied: bool = False
    stopped_text: str | None = None


def classify_all(tallies: RangeStats, about: Circumstances) -> tuple[list[RangeReport], list[ReportGroup]]:
    """Return the report of each range, in order, and one of each sort with how many are like it.

    Tens of thousands of ranges are of a few sorts: what is alike is settled once.
    """
    known: dict[Hashable, _Sort] = {}
    was, now = about.referenced_before.get, about.referenced_after.get
    make = RangeReport._make
    reports = []
    for at, (planned, sums) in enumerate(zip(tallies.planned, tallies.rows(), strict=True)):
        span, _name, identity, kind, verdict, by_smaps = planned
        start = span.start
        key = (sums, span.end - start, id(verdict), kind, identity is None, by_smaps, was(start), now(start))
        sort = known.get(key)
        if sort is None:
            report = classify(tallies.of(at), about)
            sort = known[key] = _Sort(report)
        sort.times += 1
        reports.append(make((planned, *sort.rest)))
    return reports, [ReportGroup(sort.report, sort.times) for sort in known.values()]


class _Sort:
    """A report of ranges that are alike; ``rest`` is all of it but which range it is of."""

    __slots__ = ("report", "rest", "times")

    def __init__(self, report: RangeReport) -> None:
        self.report = report
        self.rest = report[1:]
        self.times = 0


def classify(tally: RangeTally, about: Circumstances) -> RangeReport:
    """Return the report of one range."""
    report = _seen(tally, about)
    if tally.advised_bytes:
        start = tally.planned.range.start
        was, now = about.referenced_before.get(start), about.referenced_after.get(start)
        if was is not None and now is not None:
            report = report._replace(referenced_delta_bytes=now - was)
    outcome, reason, detail = _outcome(tally, report, about)
    return report._replace(
        errno=None if tally.errno is None else errno.errorcode.get(tally.errno, str(tally.errno)),
        outcome=outcome,
        reason=reason,
        detail=detail,
    )


def _seen(tally: RangeTally, about: Circumstances) -> RangeReport:
    """Return the report with what was seen of a range alone."""
    report = RangeReport(tally.planned, tally.advised_bytes)
    if tally.seen:
        report = report._replace(huge_delta_bytes=tally.huge_after_bytes - tally.huge_before_bytes)
    # What of a whole was looked at in the holds is not what all of it held.
    is_seen_whole = tally.seen_bytes >= tally.planned.requested_bytes
    held = tally.whole or (tally if is_seen_whole else None)
    if held is not None:
        report = report._replace(rss_before_bytes=held.rss_before_bytes, rss_after_bytes=held.rss_after_bytes)
    held = tally if tally.smaps_seen else held
    if held is not None and tally.swap_is_known:
        report = report._replace(
            swap_before_bytes=held.swap_before_bytes, swap_after_bytes=held.swap_after_bytes
        )
    # Of a range that raced no one can say what the advice did.
    if tally.raced_bytes:
        return report
    report = report._replace(cache_delta_bytes=tally.cache_came_bytes)
    if not tally.seen or not about.advice.moves:
        return report
    report = report._replace(moved_bytes=tally.moved_bytes)
    if about.advice is not Advice.PAGEOUT:
        return report
    return report._replace(
        swapped_bytes=tally.swapped_bytes,
        came_bytes=tally.came_bytes,
        huge_moved_bytes=tally.huge_moved_bytes,
        zero_moved_bytes=tally.zero_moved_bytes,
        given_up_bytes=_given_up(tally),
    )


def _given_up(tally: RangeTally) -> int:
    """Return what went neither to swap nor elsewhere since its owner had given it up.

    smaps counts what waits in the LRU batch of a CPU only later.
    """
    reasons = tally.planned.verdict.reasons
    foretold = sum(why.count_bytes or 0 for why in reasons if why.reason in GIVEN_UP)
    uncounted = _batch_bytes() if foretold else 0
    left = tally.moved_bytes - tally.swapped_bytes - (tally.zero_moved_bytes or 0)
    return min(max(0, left), foretold + uncounted)


def _batch_bytes() -> int:
    return LRU_BATCH_PAGES * PAGE_BYTES * (os.cpu_count() or 1)


_Ending = tuple[Outcome, "Reason | None", "Detail | str | None"]


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
        reason = _cause(tally, about.advice, reason_of_errno(about.advice, tally.errno))
        if reason is not Reason.KERNEL_REFUSED:
            return Outcome.REFUSED, reason, None
        return Outcome.REFUSED, reason, Detail(DetailCode.KERNEL_REFUSED, words=os.strerror(tally.errno))
    if tally.changed_bytes:
        return Outcome.CHANGED, Reason.CHANGED, None
    if tally.gone_bytes:
        return Outcome.GONE, Reason.GONE, None
    if about.stopped in (Reason.EXITED, Reason.EXECED):
        return Outcome.GONE, about.stopped, None
    if about.stopped is Reason.FREEZE_LOST:
        return Outcome.FREEZE_LOST, Reason.FREEZE_LOST, None
    if about.stopped is not None and about.stopped is not Reason.CANCELLED:
        return Outcome.REFUSED, about.stopped, about.stopped_text
    if tally.empty_bytes:
        return Outcome.REFUSED, Reason.NOTHING_TO_COLLAPSE, None
    has_begun = tally.advised_bytes > 0 or tally.moved_bytes > 0
    return Outcome.CANCELLED, Reason.CANCELLED, cancelled_words(has_begun=has_begun)


def _cause(tally: RangeTally, advice: Advice, reason: Reason) -> Reason:
    """Return why the kernel refused: where an errno has several causes, the one that the forecast saw."""
    causes = _CAUSES.get(reason, ()) if advice is Advice.COLLAPSE else ()
    seen = [why.reason for why in tally.planned.verdict.reasons]
    return next((cause for cause in causes if cause in seen), reason)


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
            (Outcome.DONE, Reason.NOTHING_TO_COLLAPSE, Detail(DetailCode.REST_EMPTY))
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
    goes_to_swap = (
        planned.kind in ANONYMOUS_KINDS or planned.kind is VmaKind.SHMEM or Reason.NO_SWAP in forecast
    )
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
    stays_for_good = planned.verdict.main_reason in (Reason.UNEVICTABLE, Reason.PINNED)
    if planned.verdict.forecast_bytes == 0 and stays_for_good:
        # Referenced falls there as well; reclaim, for which it is, never takes them.
        return Outcome.NO_EFFECT, planned.verdict.main_reason, None
    if now < was:
        if planned.verdict.main_reason is None and 0 < now <= _batch_bytes():
            return Outcome.DONE, Reason.LRU_BATCH, Detail(DetailCode.KEPT_REFERENCED, now)
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
        return Outcome.DONE, None, Detail(DetailCode.CAME_INTO_CACHE, tally.cache_came_bytes)
    if kind is VmaKind.SHMEM:
        return _swap_in_effect(about)
    return Outcome.NO_EFFECT, Reason.NOTHING_CAME, None


def _swap_in_effect(about: Circumstances) -> _Ending:
    """Judge reading in from swap: only the machine's counters show it, so that none is a proof."""
    if about.swapped_in_bytes is None:
        return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, None
    if about.swapped_in_bytes == 0:
        return Outcome.NO_EFFECT, Reason.NOTHING_CAME, None
    came = Detail(DetailCode.READ_FROM_SWAP, about.swapped_in_bytes)
    return Outcome.UNVERIFIED, Reason.CANNOT_SHOW, came


def outcome_of(outcomes: Set[Outcome], advised_bytes: int, stopped: Reason | None) -> Outcome:
    """Return the outcome of a target from those of its ranges."""
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
    if all(item.was_taken for item in outcomes):
        return next(item for item in (Outcome.DONE, Outcome.UNVERIFIED) if item in outcomes)
    if advised_bytes:
        return Outcome.PARTIAL
    if outcomes <= {Outcome.CHANGED, Outcome.GONE}:
        return Outcome.CHANGED
    return Outcome.REFUSED

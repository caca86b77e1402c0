"""What came of each planned range: adding up what was seen, and putting it into an outcome."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from memtui.advise.cutting import Piece
from memtui.model.advice import Advice
from memtui.model.pages import HUGE, PRESENT, RawRun, resident, tally_by_span
from memtui.model.plan import PlannedRange
from memtui.model.ranges import Range, RangeSet, intersect, subtract
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, RangeReport
from memtui.model.vma import ANONYMOUS_KINDS, Kind


@dataclass(slots=True)
class RangeTally:
    """Sums over the pieces of one planned range; bytes."""

    planned: PlannedRange
    advised_bytes: int = 0
    moved_bytes: int = 0
    rss_before_bytes: int = 0
    rss_after_bytes: int = 0
    swap_before_bytes: int = 0
    swap_after_bytes: int = 0
    changed_bytes: int = 0
    gone_bytes: int = 0
    raced_bytes: int = 0
    lost_bytes: int = 0
    empty_bytes: int = 0
    seen: bool = False
    errno: int | None = None
    cache_came_bytes: int | None = None


def add_seen(
    tallies: Sequence[RangeTally],
    called: Sequence[Piece],
    before: Sequence[RawRun],
    after: Sequence[RawRun],
    advice: Advice,
) -> RangeSet:
    """Add what two looks at the pages of ascending, disjoint pieces saw; return the pages that left RSS."""
    spans = [(piece.start, piece.end) for piece in called]
    was, now = tally_by_span(spans, before), tally_by_span(spans, after)
    left: RangeSet = ()
    if advice is Advice.COLLAPSE:
        huge_was, huge_now = _huge_by_span(spans, before), _huge_by_span(spans, after)
        moved = [new - old for old, new in zip(huge_was, huge_now, strict=True)]
    else:
        left = subtract(resident(before), resident(after))
        moved = tally_by_span(spans, [(gone.start, gone.end, PRESENT) for gone in left]).rss_bytes
    for at, piece in enumerate(called):
        tally = tallies[piece.owner]
        tally.seen = True
        tally.rss_before_bytes += was.rss_bytes[at]
        tally.rss_after_bytes += now.rss_bytes[at]
        tally.swap_before_bytes += was.swap_bytes[at]
        tally.swap_after_bytes += now.swap_bytes[at]
        tally.moved_bytes += moved[at]
    if advice is not Advice.PAGEOUT:
        return ()
    # The looks may show what lies between the pieces too.
    return intersect(left, tuple(Range(start, end) for start, end in spans))


def _huge_by_span(spans: Sequence[tuple[int, int]], runs: Sequence[RawRun]) -> list[int]:
    huge = ((start, end, state) for start, end, state in runs if state & HUGE)
    return tally_by_span(spans, huge).rss_bytes


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an outcome depends on beside the range itself; None is unknown.

    ``stopped`` is why the plan ended before its end. ``swapped_in_bytes`` is of the
    whole machine.
    """

    advice: Advice
    stopped: Reason | None
    swapped_in_bytes: int | None
    referenced_before: dict[int, int]
    referenced_after: dict[int, int]


def settle(tally: RangeTally, about: Circumstances) -> RangeReport:
    """Return the report of one range."""
    planned = tally.planned
    report = RangeReport(planned, advised_bytes=tally.advised_bytes)
    if tally.errno is not None:
        report.errno = errno.errorcode.get(tally.errno, str(tally.errno))
    if tally.seen:
        report.rss_before_bytes, report.rss_after_bytes = tally.rss_before_bytes, tally.rss_after_bytes
        report.swap_before_bytes, report.swap_after_bytes = tally.swap_before_bytes, tally.swap_after_bytes
        if about.advice in (Advice.PAGEOUT, Advice.COLLAPSE) and not tally.raced_bytes:
            report.moved_bytes = tally.moved_bytes
    outcome, reason, text = _outcome(tally, report, about)
    report.outcome, report.reason = outcome, reason
    report.reason_text = text or (reason.text if reason else None)
    return report


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
        words = f"{Reason.KERNEL_REFUSED.text}: {os.strerror(tally.errno)}"
        return Outcome.REFUSED, Reason.KERNEL_REFUSED, words
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
        rest = "the rest holds no whole huge page with anything in it" if tally.advised_bytes else None
        return Outcome.REFUSED, Reason.NOTHING_TO_COLLAPSE, rest
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
    main = tally.planned.verdict.main_reason
    if report.moved_bytes > 0:
        return Outcome.DONE, main if report.rss_after_bytes else None, None
    if about.advice is Advice.COLLAPSE:
        return Outcome.NO_EFFECT, main or Reason.SKIPPED, None
    if not report.rss_before_bytes:
        return Outcome.NO_EFFECT, Reason.NOTHING_RESIDENT, None
    return Outcome.NO_EFFECT, main if main not in (None, Reason.NOTHING_RESIDENT) else Reason.SKIPPED, None


def _cold_effect(tally: RangeTally, about: Circumstances) -> _Ending:
    if tally.seen and tally.rss_before_bytes == 0:
        return Outcome.NO_EFFECT, Reason.NOTHING_RESIDENT, None
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
        words = f"{tally.cache_came_bytes // 1024} KiB came into the page cache"
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
    words = f"{about.swapped_in_bytes // 1024} KiB were read in from swap meanwhile, by the whole machine"
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

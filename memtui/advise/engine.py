"""The engine: applies a plan, target after target, and sees to the record of it."""

from __future__ import annotations

import secrets
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from memtui.advise.calls import Adviser
from memtui.advise.cutting import Grain
from memtui.advise.ledger import Ledger, operator
from memtui.advise.tally import Circumstances, RangeTally, outcome_of, settle
from memtui.advise.transaction import Course, Tools, Transaction
from memtui.freeze.client import Guard
from memtui.linux import machine, syscalls
from memtui.linux.filecache import cached_bytes
from memtui.linux.handle import ProcessHandle
from memtui.linux.pagemap import PageReader
from memtui.linux.procfs import parse_maps
from memtui.model import wire
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.plan import Freeze, Plan, TargetPlan
from memtui.model.process import Standing
from memtui.model.ranges import PAGE_BYTES, Range, normalise
from memtui.model.reasons import Reason
from memtui.model.report import Effect, Outcome, Progress, RangeReport, TargetReport
from memtui.model.vma import ANONYMOUS_KINDS, Kind, Vma, VmaDetails

OnProgress = Callable[[Progress], None]
OnTarget = Callable[[TargetReport], None]

_GONE = frozenset({Reason.EXITED, Reason.EXECED, Reason.NO_SUCH_PROCESS})


@dataclass(frozen=True, slots=True)
class Subject:
    """A target as the engine works on it. ``adviser`` is None where the kernel is asked.

    ``smaps_is_cheap`` allows reading smaps before and after, for Referenced.
    """

    handle: ProcessHandle
    smaps_is_cheap: bool
    adviser: Adviser | None = None


class Engine:
    """Applies plans. One at a time: the caller sees to that."""

    def __init__(
        self, ledger: Ledger, holder: Callable[[], Guard] | None, cancelled: threading.Event
    ) -> None:
        self._ledger = ledger
        self._holder = holder
        self._cancelled = cancelled

    def apply(
        self,
        plan: Plan,
        subject_of: Callable[[TargetPlan], Subject],
        on_progress: OnProgress | None = None,
        on_target: OnTarget | None = None,
    ) -> tuple[TargetReport, ...]:
        """Apply a plan. ``subject_of`` may raise MemtuiError, which then is that target's outcome."""
        action_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        reports = []
        for number, planned in enumerate(plan.targets, 1):
            report = _empty_report(action_id, number, planned)
            warning = self._record_start(report, plan.advice)
            began = time.monotonic()
            self._work(plan, report, subject_of, on_progress)
            report.elapsed_ms = (time.monotonic() - began) * 1000
            warning = self._record_done(report, plan.advice) or warning
            _warn(report, warning)
            reports.append(report)
            if on_target is not None:
                on_target(report)
        return tuple(reports)

    def _record_start(self, report: TargetReport, advice: Advice) -> str | None:
        """Write the start; return what went wrong, in words."""
        fields: wire.Json = {
            "id": report.id,
            "action_id": report.action_id,
            "time": report.time,
            "operator": operator(),
            "target": wire.target(report.planned.process, report.planned.name),
            "advice": advice.value,
            "freeze": report.freeze.value,
            "requested_bytes": report.requested_bytes,
            "forecast_bytes": report.planned.forecast_bytes,
        }
        return self._record("start", fields, to_disk=True)

    def _record_done(self, report: TargetReport, advice: Advice) -> str | None:
        return self._record("done", wire.ledger_entry(report, advice), to_disk=False)

    def _record(self, kind: str, fields: wire.Json, to_disk: bool) -> str | None:
        try:
            self._ledger.write(kind, fields, to_disk=to_disk)
        except MemtuiError as error:
            # What was done is shown all the same; that it is not on record is said beside it.
            return str(error)
        return None

    def _work(
        self,
        plan: Plan,
        report: TargetReport,
        subject_of: Callable[[TargetPlan], Subject],
        on_progress: OnProgress | None,
    ) -> None:
        planned = report.planned
        if planned.blocked is not None:
            _refuse(report, planned.blocked, planned.blocked_text)
            return
        if self._cancelled.is_set():
            _refuse(report, Reason.CANCELLED, None)
            return
        try:
            subject = subject_of(planned)
        except MemtuiError as error:
            _refuse(report, error.reason, error.words)
            return
        number_of_pidfd = subject.handle.pidfd

        def ask_kernel(elements: Sequence[tuple[int, int]], advice: int) -> int:
            return syscalls.process_madvise(number_of_pidfd, elements, advice)

        survey = _Survey(plan.advice, subject, planned)
        try:
            tools = Tools(
                handle=subject.handle,
                reader=PageReader(subject.handle),
                adviser=subject.adviser or ask_kernel,
                grain=survey.grain,
                holder=self._holder,
                cancelled=self._cancelled,
                on_progress=on_progress,
            )
            survey.before()
            transaction = Transaction(planned, plan.advice, plan.hold_ms, tools)
        except MemtuiError as error:
            _refuse(report, error.reason, error.words)
            return
        course = transaction.run()
        survey.after(course.tallies)
        _fill(report, course, survey, planned)
        _warn(report, self._ledger.pages.keep(report, subject.handle))


class _Survey:
    """What is looked at before and after the holds: smaps, the page cache, the whole machine."""

    def __init__(self, advice: Advice, subject: Subject, planned: TargetPlan) -> None:
        self._advice = advice
        self._subject = subject
        self._planned = planned
        self._vmas: tuple[Vma, ...] = ()
        self._cache_before: dict[int, int] = {}
        self._memory_before = machine.memory()
        self._memory_after = self._memory_before
        self.details_before: dict[int, VmaDetails] = {}
        self.details_after: dict[int, VmaDetails] = {}
        self.grain = Grain(advice, machine.huge_page_bytes() or PAGE_BYTES, self._read_ahead())

    def _read_ahead(self) -> dict[int, int]:
        if self._advice is not Advice.WILLNEED:
            return {}
        return {
            index: machine.read_ahead_bytes(item.identity.device)
            for index, item in enumerate(self._planned.ranges)
            if item.identity is not None and item.kind is Kind.FILE
        }

    def before(self) -> None:
        """Look for the first time. Raises MemtuiError if the target has gone."""
        handle = self._subject.handle
        if self._advice is Advice.WILLNEED:
            self._vmas = parse_maps(handle.read_maps(), machine.shmem_devices(handle.pid))
            for index, item in enumerate(self._planned.ranges):
                cached = self._cached(item.range) if item.kind not in ANONYMOUS_KINDS else None
                if cached is not None:
                    self._cache_before[index] = cached
        elif self._wants_details():
            self.details_before = PageReader(handle).details()
        self._memory_before = machine.memory()

    def after(self, tallies: Sequence[RangeTally]) -> None:
        """Look again. What can no longer be seen stays unknown."""
        self._memory_after = machine.memory()
        for index, cached in self._cache_before.items():
            now = self._cached(tallies[index].planned.range)
            if now is not None:
                tallies[index].cache_came_bytes = now - cached
        if self.details_before:
            self.details_after = self._details_now()
        self._see_by_details(tallies)

    def _details_now(self) -> dict[int, VmaDetails]:
        handle = self._subject.handle
        try:
            details = PageReader(handle).details()
        except MemtuiError:
            # The target has gone: the outcome says so, and there is nothing to compare with.
            return {}
        # Smaps is found by the pid: of a target that has exec'ed meanwhile it is another map's.
        return details if handle.standing() is Standing.ALIVE else {}

    def _wants_details(self) -> bool:
        if not self._subject.smaps_is_cheap:
            return False
        return self._advice is Advice.COLD or self._subject.handle.pagemap_fd is None

    def _cached(self, part: Range) -> int | None:
        at = bisect_right(self._vmas, part.start, key=lambda vma: vma.start) - 1
        if at < 0 or self._vmas[at].end < part.end or not self._vmas[at].inode:
            return None
        return cached_bytes(self._subject.handle.pid, self._vmas[at], part)

    def _see_by_details(self, tallies: Sequence[RangeTally]) -> None:
        """Where pagemap may not be read, smaps shows what became of whole VMAs."""
        for tally in tallies:
            start = tally.planned.range.start
            was, now = self.details_before.get(start), self.details_after.get(start)
            whole = was is not None and was.size_bytes == tally.planned.requested_bytes
            if tally.seen or not tally.advised_bytes or not whole or was is None or now is None:
                continue
            tally.seen = True
            tally.rss_before_bytes, tally.rss_after_bytes = was.rss_bytes, now.rss_bytes
            tally.swap_before_bytes, tally.swap_after_bytes = was.swap_bytes, now.swap_bytes
            if self._advice is Advice.COLLAPSE:
                tally.moved_bytes = now.huge_bytes - was.huge_bytes
            else:
                tally.moved_bytes = max(0, was.rss_bytes - now.rss_bytes)

    def circumstances(self, stopped: Reason | None) -> Circumstances:
        """Return what the outcomes depend on."""
        ranges = [item.range for item in self._planned.ranges]
        return Circumstances(
            advice=self._advice,
            stopped=stopped,
            swapped_in_bytes=_delta(
                self._memory_before.swapped_in_bytes, self._memory_after.swapped_in_bytes
            ),
            referenced_before=_referenced(self.details_before, ranges),
            referenced_after=_referenced(self.details_after, ranges),
        )

    def effect(self, ranges: Sequence[RangeReport]) -> Effect:
        """Return what changed, of the target's ranges and of the machine."""
        was, now = self._memory_before, self._memory_after
        return Effect(
            rss_delta_bytes=_sum_delta(ranges, "rss"),
            swap_delta_bytes=_sum_delta(ranges, "swap"),
            referenced_delta_bytes=self._referenced_delta(ranges),
            mem_free_delta_bytes=_delta(was.free_bytes, now.free_bytes),
            swap_cached_delta_bytes=_delta(was.swap_cached_bytes, now.swap_cached_bytes),
        )

    def _referenced_delta(self, ranges: Sequence[RangeReport]) -> int | None:
        if self._advice is not Advice.COLD or not self.details_after:
            return None
        starts = sorted(self.details_before)
        touched = {_vma_start(starts, item.planned.range.start) for item in ranges if item.advised_bytes}
        both = [
            self.details_after[start].referenced_bytes - self.details_before[start].referenced_bytes
            for start in touched
            if start in self.details_after and start in self.details_before
        ]
        return sum(both) if both else None


def _vma_start(starts: Sequence[int], address: int) -> int:
    at = bisect_right(starts, address) - 1
    return starts[at] if at >= 0 else -1


def _referenced(details: Mapping[int, VmaDetails], ranges: Sequence[Range]) -> dict[int, int]:
    """Return Referenced of each range that is a whole VMA, by its start: of a part nothing is known."""
    found = {}
    for item in ranges:
        row = details.get(item.start)
        if row is not None and row.size_bytes == item.size_bytes:
            found[item.start] = row.referenced_bytes
    return found


def _delta(was: int | None, now: int | None) -> int | None:
    return None if was is None or now is None else now - was


def _sum_delta(ranges: Sequence[RangeReport], what: str) -> int | None:
    deltas = [
        _delta(getattr(item, f"{what}_before_bytes"), getattr(item, f"{what}_after_bytes")) for item in ranges
    ]
    seen = [delta for delta in deltas if delta is not None]
    return sum(seen) if seen else None


def _empty_report(action_id: str, number: int, planned: TargetPlan) -> TargetReport:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return TargetReport(
        id=f"{action_id}.{number}",
        action_id=action_id,
        time=now,
        planned=planned,
        freeze=planned.freeze,
        ranges=[],
    )


def _warn(report: TargetReport, warning: str | None) -> None:
    """Say beside what was done that it could not be recorded."""
    if warning:
        report.reason_text = "; ".join(part for part in (report.reason_text, warning) if part)
        report.reason = report.reason or Reason.LEDGER_UNWRITABLE


def _refuse(report: TargetReport, reason: Reason, text: str | None) -> None:
    """Report a target on which nothing was tried."""
    outcome = Outcome.REFUSED
    if reason in _GONE:
        outcome = Outcome.GONE
    elif reason is Reason.CANCELLED:
        outcome = Outcome.CANCELLED
    report.outcome, report.reason = outcome, reason
    report.reason_text = text or reason.text
    report.freeze = Freeze.OFF
    for item in report.planned.ranges:
        report.ranges.append(
            RangeReport(item, outcome=outcome, reason=reason, reason_text=report.reason_text)
        )


def _fill(report: TargetReport, course: Course, survey: _Survey, planned: TargetPlan) -> None:
    about = survey.circumstances(course.stopped)
    report.ranges = [settle(tally, about) for tally in course.tallies]
    report.freeze = course.freeze
    report.calls, report.holds = course.calls, course.holds
    report.held_ms, report.longest_held_ms = course.held_ms, course.longest_held_ms
    report.effect = survey.effect(report.ranges)
    report.moved_bytes = report.total("moved_bytes")
    report.moved_pages = normalise(course.moved_pages)
    report.outcome = outcome_of(report.ranges, report.advised_bytes, course.stopped)
    texts = []
    if course.stopped is not None:
        report.reason = course.stopped
        texts.append(course.detail or course.stopped.text)
    elif not planned.ranges:
        report.outcome, report.reason = Outcome.REFUSED, Reason.NOTHING_ASKED
        texts.append(Reason.NOTHING_ASKED.text)
    if planned.self_advised:
        report.reason = report.reason or Reason.SELF_ADVISED
        texts.append(Reason.SELF_ADVISED.text)
    if course.freeze_text or (planned.freeze_reason and planned.freeze_is_ours and not planned.self_advised):
        report.reason = report.reason or Reason.FREEZE_OFF
        texts.append(course.freeze_text or f"not held: {planned.freeze_reason}")
    if report.reason is None:
        _take_reason_of_ranges(report, texts)
    report.reason_text = "; ".join(texts) or None


def _take_reason_of_ranges(report: TargetReport, texts: list[str]) -> None:
    """Give a target the reason of its largest range that ended as the target did, and say of how many."""
    told = [item for item in report.ranges if item.reason_text and item.outcome is report.outcome]
    if not told:
        return
    main = max(told, key=lambda item: item.planned.requested_bytes)
    alike = sum(item.reason_text == main.reason_text for item in told)
    share = "" if alike == len(report.ranges) else f"{alike} of {len(report.ranges)} ranges: "
    report.reason = main.reason
    texts.append(f"{share}{main.reason_text}")

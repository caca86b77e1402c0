"""The engine: applies a plan, target after target, and sees to the record of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memtui.advise.classify import Circumstances, classify_all, outcome_of
from memtui.advise.gc_pause import gc_paused
from memtui.advise.ledger import Ledger, new_action_id, now, operator
from memtui.advise.ledger_fields import ledger_entry, target_fields
from memtui.advise.measurement import Measurement
from memtui.advise.moved_pages import MovedPagesRecord
from memtui.advise.transaction import Context, Execution, Transaction
from memtui.linux import syscalls
from memtui.linux.pagemap import PageReader
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.ranges import normalise, subtract
from memtui.model.reasons import Detail, DetailCode, Reason, cancelled_words
from memtui.model.report import Outcome, Progress, RangeReport, TargetReport, outcome_of_refusal

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from memtui.advise.vector import Adviser
    from memtui.freeze.client import Guard
    from memtui.json_line import Json
    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.plan import Plan, TargetPlan

OnProgress = Callable[[Progress], None]
OnTarget = Callable[[TargetReport], None]


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
        action_id = new_action_id()
        reports = []
        for number, planned in enumerate(plan.targets, 1):
            report = _empty_report(action_id, number, planned)
            warning = self._record_start(report, plan.advice)
            began = time.monotonic()
            course = self._work(plan, report, subject_of, on_progress)
            report.elapsed_ms = (time.monotonic() - began) * 1000
            report.bystanders = _bystanders_of(course)
            warning = self._record_done(report, plan.advice) or warning
            _warn(report, warning)
            reports.append(report)
            if on_target is not None:
                on_target(report)
        return tuple(reports)

    def _record_start(self, report: TargetReport, advice: Advice) -> str | None:
        """Write the start; return what went wrong, in words."""
        fields: Json = {
            "id": report.id,
            "action_id": report.action_id,
            "time": report.time,
            "boot_id": report.planned.process.boot_id,
            "operator": operator(),
            "target": target_fields(report.planned.process, report.planned.name),
            "advice": advice.value,
            "freeze": report.freeze.value,
            "requested_bytes": report.requested_bytes,
            "forecast_bytes": report.planned.forecast_bytes,
        }
        return self._record("start", fields, to_disk=True)

    def _record_done(self, report: TargetReport, advice: Advice) -> str | None:
        return self._record("done", ledger_entry(report, advice), to_disk=False)

    def _record(self, kind: str, fields: Json, to_disk: bool) -> str | None:
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
    ) -> Execution | None:
        """Work on one target; return how it went, None where nothing was tried."""
        planned = report.planned
        if planned.blocked is not None:
            _refuse(report, planned.blocked, planned.blocked_text)
            return None
        if self._cancelled.is_set():
            _refuse(report, Reason.CANCELLED, None)
            return None
        try:
            subject = subject_of(planned)
        except MemtuiError as error:
            _refuse(report, error.reason, error.words)
            return None
        survey = Measurement(plan.advice, planned, subject.handle, subject.smaps_is_cheap)
        try:
            tools = Context(
                handle=subject.handle,
                reader=PageReader(subject.handle),
                adviser=subject.adviser or _adviser_of(subject.handle),
                grain=survey.grain,
                holder=self._holder,
                cancelled=self._cancelled,
                on_progress=on_progress,
            )
            self._start_holder(planned)
            survey.before()
            with gc_paused():
                transaction = Transaction(planned, plan.advice, plan.hold_ms, tools, thorough=plan.thorough)
        except MemtuiError as error:
            _refuse(report, error.reason, error.words)
            return None
        record = self._record_of(plan.advice, report, subject.handle)
        if record is not None:
            tools.on_moved = record.add
        try:
            course = transaction.run()
            with gc_paused():
                survey.after(course.tallies)
                # Of a process that advises itself it is not our CPU that matters.
                emptied = plan.thorough and course.batches_emptied and not planned.self_advised
                about = survey.circumstances(course.stopped, course.detail, emptied)
                _fill(report, course, survey, about)
            if record is not None:
                self._finish_record(record, report, is_whole=not course.hold_was_lost)
        finally:
            if record is not None:
                # Whatever came: as long as it is open nobody can restore it.
                record.close()
        return course

    def _record_of(
        self, advice: Advice, report: TargetReport, handle: ProcessHandle
    ) -> MovedPagesRecord | None:
        """Begin the record of which pages move; None where the advice moves none out of RAM."""
        planned = report.planned
        if advice is not Advice.PAGEOUT or not any(item.goes for item in planned.ranges):
            return None
        return MovedPagesRecord(self._ledger.pages, report.id, planned, handle)

    def _finish_record(self, record: MovedPagesRecord, report: TargetReport, *, is_whole: bool) -> None:
        """Complete the record of which pages moved."""
        warning = record.finish(report, is_whole=is_whole)
        _warn(report, warning)
        if not warning:
            report.unswept = self._ledger.sweep_pages(report.planned.process.boot_id)

    def _start_holder(self, planned: TargetPlan) -> None:
        """Start the guard before the first look: the memory that it takes is not the advice's doing."""
        needed = planned.freeze is not Freeze.OFF and any(item.goes for item in planned.ranges)
        if self._holder is None or not needed:
            return
        # If it cannot be started, the transaction meets the same error, and knows what to do.
        with suppress(MemtuiError):
            self._holder()


def _adviser_of(handle: ProcessHandle) -> Adviser:
    def advise(elements: Sequence[tuple[int, int]], advice: int) -> int:
        return syscalls.process_madvise(handle.pidfd, elements, advice)

    return advise


def _empty_report(action_id: str, number: int, planned: TargetPlan) -> TargetReport:
    return TargetReport(
        id=f"{action_id}.{number}",
        action_id=action_id,
        time=now(),
        planned=planned,
        freeze=planned.freeze,
        ranges=[],
    )


def _bystanders_of(course: Execution | None) -> str:
    """Return who stopped because the target was stopped. Asked last, since they have a second for it."""
    if course is None or course.holder is None or course.freeze is not Freeze.SIGSTOP:
        return ""
    return course.holder.bystanders()


def _warn(report: TargetReport, warning: str | None) -> None:
    """Say beside what was done that it could not be recorded."""
    if warning:
        report.reason_text = "; ".join(part for part in (report.reason_text, warning) if part)
        report.reason = report.reason or Reason.LEDGER_UNWRITABLE


def _refuse(report: TargetReport, reason: Reason, text: str | None) -> None:
    """Report a target on which nothing was tried."""
    outcome = outcome_of_refusal(reason)
    report.outcome, report.reason = outcome, reason
    report.reason_text = text or reason.text
    if reason is Reason.CANCELLED:
        report.reason_text = text or cancelled_words(has_begun=False)
    report.freeze = Freeze.OFF
    for item in report.planned.ranges:
        report.ranges.append(RangeReport(item, outcome=outcome, reason=reason, detail=report.reason_text))


def _fill(report: TargetReport, course: Execution, survey: Measurement, about: Circumstances) -> None:
    planned = report.planned
    report.ranges, report.alike = classify_all(course.tallies, about)
    report.freeze = course.freeze
    report.calls, report.holds = course.calls, course.holds
    report.held_ms, report.longest_held_ms = course.held_ms, course.longest_held_ms
    report.effect = survey.effect(report.ranges, report.alike)
    report.swap_kinds = survey.swap_kinds()
    report.moved_bytes = report.total("moved_bytes")
    # Of a range that raced no one can say what the advice moved.
    raced = normalise(planned.ranges[at].range for at in course.tallies.where("raced_bytes"))
    report.moved_pages = subtract(normalise(course.moved_pages), raced)
    report.pages_seen = bool(report.moved_pages)
    report.outcome = outcome_of(
        {item.outcome for item, _ in report.alike}, report.advised_bytes, course.stopped
    )
    texts = []
    if course.stopped is not None:
        report.reason = course.stopped
        words = course.stopped.text
        if course.stopped is Reason.CANCELLED:
            words = cancelled_words(has_begun=course.calls > 0)
        texts.append(course.detail or words)
        if course.stopped is Reason.EXITED and report.effect.oom_kills:
            texts.append(Detail(DetailCode.OOM_KILLED, report.effect.oom_kills).text)
    elif not planned.ranges:
        report.outcome, report.reason = Outcome.REFUSED, Reason.NOTHING_ASKED
        texts.append(Reason.NOTHING_ASKED.text)
    if planned.self_advised:
        report.reason = report.reason or Reason.SELF_ADVISED
        texts.append(Reason.SELF_ADVISED.text)
    if course.freeze_text or (planned.freeze_reason and planned.freeze_is_ours and not planned.self_advised):
        report.reason = report.reason or Reason.FREEZE_OFF
        texts.append(
            course.freeze_text or Detail(DetailCode.NOT_HELD, words=planned.freeze_reason or "").text
        )
    if report.reason is None:
        _take_reason_of_ranges(report, texts)
    report.reason_text = "; ".join(texts) or None


def _take_reason_of_ranges(report: TargetReport, texts: list[str]) -> None:
    """Give a target the reason that holds back most, and say of how many ranges it is.

    One of a range that ended as the target did, unless the target is done: then whatever kept back a part.
    """
    told = [alike for alike in report.alike if alike.report.reason_text]
    if report.outcome is not Outcome.DONE:
        told = [alike for alike in told if alike.report.outcome is report.outcome] or told
    if not told:
        return
    kept: Counter[str] = Counter()
    for item, times in told:
        kept[item.reason_text or ""] += (item.planned.requested_bytes - (item.moved_bytes or 0)) * times
    heaviest = kept.most_common(1)[0][0]
    main = next(item for item, _ in told if item.reason_text == heaviest)
    alike = sum(times for item, times in report.alike if item.reason_text == heaviest)
    share = "" if alike == len(report.ranges) else f"{alike} of {len(report.ranges)} ranges: "
    report.reason = main.reason
    texts.append(f"{share}{main.reason_text}")

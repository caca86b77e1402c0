"""What is done on this machine: plans, their application, restores, and the record of it.

Imported when somebody first asks for it: the screen stands before anybody can act.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.advise.engine import Engine, Subject
from memtui.advise.forecast import SwapPurse
from memtui.advise.ledger import Ledger
from memtui.freeze.choices import choices, why_not
from memtui.freeze.client import Guard
from memtui.host.aftermath import Aftermath
from memtui.host.doctor import examine
from memtui.host.history import entry_of, history_of
from memtui.host.planning import Forecast, forecast_of
from memtui.host.restore_service import RestoreService
from memtui.host.target import LocalTarget
from memtui.linux import machine
from memtui.linux.capability import probe
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.freeze import Freeze, FreezeChoice
from memtui.model.plan import Plan, TargetPlan
from memtui.model.process import Standing
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.practice.link import PracticeError, PracticeLink

if TYPE_CHECKING:
    from memtui.advise.calls import Adviser
    from memtui.host import Finding, History, HistoryEntry, Target, Wanted
    from memtui.host.opened import Opened
    from memtui.model.report import Progress, TargetReport
    from memtui.model.restore import RestorePlan, RestoreReport


class Acting:
    """The part of LocalHost that acts. ``cancelled`` and ``is_released`` are its: see there."""

    def __init__(
        self,
        opened: Opened,
        state_dir: Path,
        journal_dir: Path,
        practice: PracticeLink | None,
        cancelled: threading.Event,
        is_released: Callable[[], bool],
    ) -> None:
        self._opened = opened
        self._journal_dir = journal_dir
        self._practice = practice
        self._cancelled = cancelled
        self._is_released = is_released
        self._ledger = Ledger(state_dir)
        self._lock = threading.Lock()
        self._applying = threading.Lock()
        self.aftermath = Aftermath(self._ledger, opened.unwatch)
        self.restores = RestoreService(self._ledger, cancelled, self.aftermath.stop_watch)
        self.guard: Guard | None = None

    def plan(
        self,
        advice: Advice,
        wanted: Sequence[Wanted],
        freeze: Freeze | None,
        hold_ms: int,
        override_lockout: bool,
        thorough: bool,
        cancelled: threading.Event | None,
    ) -> Plan:
        """Say what would be done: see Host.plan()."""
        purse = SwapPurse(machine.facts())
        targets = []
        for item in wanted:
            target = _ours(item.target)
            forecast = partial(forecast_of, target, advice, item.marks, item.select, purse, cancelled)
            targets.append(self._plan_one(target, advice, freeze, override_lockout, forecast))
        return Plan(advice, tuple(targets), hold_ms, thorough)

    def freeze_choices(self, target: Target) -> list[FreezeChoice]:
        """Say what each freeze method would do to a target."""
        ours = _ours(target)
        if ours.handle.is_foreign:
            return [FreezeChoice(method, method is Freeze.OFF, Reason.FOREIGN_PROC) for method in Freeze]
        return choices(ours.process, self_advised=self._may_advise(ours, Advice.COLD)[1])

    def apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None,
        on_target: Callable[[TargetReport], None] | None,
    ) -> tuple[TargetReport, ...]:
        """Do it, and report. Two plans never overlap: the second waits for the first."""
        with self._turn():
            engine = Engine(self._ledger, self._holder, self._cancelled)

            def done(report: TargetReport) -> None:
                self._watch(report)
                if report.pages_seen or report.moved_bytes:
                    self.restores.add_own(report.action_id)
                # They are on record and in the watch: who keeps reports need not keep them.
                report.moved_pages = ()
                if on_target is not None:
                    on_target(report)

            return engine.apply(plan, self._subject, on_progress, done)

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None,
        on_target: Callable[[RestoreReport], None] | None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back, and report."""
        with self._turn():
            return self.restores.restore(plans, on_progress, on_target)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one plan or restore run at a time, and none be cancelled by what ended the one before."""
        with self._applying:
            self._cancelled.clear()
            if self._is_released():
                # A signal came in between: nothing is begun any more.
                self._cancelled.set()
            yield

    def _watch(self, report: TargetReport) -> None:
        target = self._opened.watch(report.planned.generation)
        if target is not None:
            self.aftermath.watch(report, target)

    def history(self, last: int | None) -> History:
        """Return the ledger, or its last entries."""
        return history_of(self._ledger, last)

    def stream_history(self, tell_torn: Callable[[int], None]) -> Iterator[HistoryEntry]:
        """Yield the whole ledger, oldest first."""
        return map(entry_of, self._ledger.stream(tell_torn))

    def doctor(self, pid: int | None) -> list[Finding]:
        """Say what works here and what does not, and what mends it."""
        return examine(self._opened, self._ledger.path, self._journal_dir, pid)

    def close(self) -> None:
        """Let go of the guard, and of what is watched."""
        self.aftermath.close()
        with self._lock:
            guard, self.guard = self.guard, None
        if guard is not None:
            guard.close()

    def _holder(self) -> Guard:
        """Return the guard, started anew if the last one has ended."""
        with self._lock:
            if self._is_released():
                raise MemtuiError(Reason.CANCELLED, "", "memtui is ending")
            if self.guard is not None and not self.guard.is_alive():
                self.guard.close()
                self.guard = None
            if self.guard is None:
                self.guard = Guard.start(self._journal_dir)
            return self.guard

    def _plan_one(
        self,
        target: LocalTarget,
        advice: Advice,
        freeze: Freeze | None,
        override_lockout: bool,
        forecast: Callable[[], Forecast],
    ) -> TargetPlan:
        refused, self_advised = self._may_advise(target, advice)
        found = Forecast()
        text = None
        try:
            found = forecast()
        except MemtuiError as error:
            if error.reason is Reason.CANCELLED:
                raise
            refused, text = error.reason, error.words
        method, words, blocked = _freeze_for(target, freeze, self_advised, override_lockout)
        if refused is None and blocked is not None:
            refused, text = blocked, words
        return TargetPlan(
            process=target.process,
            name=target.name,
            ranges=found.ranges,
            freeze=method,
            freeze_reason=words,
            freeze_is_ours=freeze is None,
            blocked=refused,
            blocked_text=text,
            self_advised=self_advised,
            generation=target.generation,
            layout=found.layout,
        )

    def _may_advise(self, target: LocalTarget, advice: Advice) -> tuple[Reason | None, bool]:
        """Return why we may not advise a target, and whether it advises itself instead."""
        refused = probe(target.handle, advice)
        practice = self._practice
        if refused is None or refused is Reason.FOREIGN_PROC or practice is None:
            return refused, False
        if target.process.pid == practice.pid and target.process.start_time == practice.start_time:
            return None, True
        return refused, False

    def _subject(self, planned: TargetPlan) -> Subject:
        target = self._opened.at(planned.generation)
        if target is None:
            raise NoSuchProcess(Reason.EXITED, f"process {planned.process.pid}")
        if target.standing() is not Standing.ALIVE:
            raise target.handle.lost_error()
        if target.handle.is_foreign:
            raise MemtuiError(Reason.FOREIGN_PROC)
        adviser = None
        if planned.self_advised:
            assert self._practice is not None
            adviser = _self_adviser(self._practice)
        return Subject(target.handle, target.smaps_is_cheap, adviser)


def _ours(target: Target) -> LocalTarget:
    if not isinstance(target, LocalTarget):
        raise TypeError("a target of another host")
    return target


def _self_adviser(practice: PracticeLink) -> Adviser:
    """Return the way to have the practice process advise itself, with process_madvise's errors."""

    def advise(elements: Sequence[tuple[int, int]], advice: int) -> int:
        try:
            return practice.advise(elements, advice)
        except PracticeError as error:
            raise OSError(errno.ESRCH, str(error), "madvise") from error

    return advise


def _freeze_for(
    target: LocalTarget, freeze: Freeze | None, self_advised: bool, override_lockout: bool
) -> tuple[Freeze, str | None, Reason | None]:
    """Return the method, the words about it, and why the plan is blocked by it."""
    if freeze is Freeze.OFF:
        return Freeze.OFF, None, None
    if self_advised:
        # It could not answer while it stands still.
        return Freeze.OFF, Detail(DetailCode.ADVISES_ITSELF).text, None
    # Whether ptrace is permitted is told best by trying.
    lockout_only = freeze is None or freeze is Freeze.PTRACE
    refused = why_not(target.process, freeze or Freeze.PTRACE, override_names=override_lockout)
    if refused is None or (lockout_only and refused.reason is not Reason.FREEZE_REFUSED):
        return freeze or Freeze.PTRACE, None, None
    words = refused.detail or refused.reason.text
    if freeze is None:
        return Freeze.OFF, words, None
    return freeze, words, refused.reason

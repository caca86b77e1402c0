"""LocalHost: this machine."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from memtui.advise.calls import Adviser
from memtui.advise.engine import Engine, Subject
from memtui.advise.forecast import SwapPurse
from memtui.advise.ledger import Ledger
from memtui.freeze.choices import choices, why_not
from memtui.freeze.client import Guard
from memtui.freeze.journal import default_journal_dir
from memtui.freeze.replay import replay
from memtui.host import Finding, History, HistoryEntry, MachineState, Target, Wanted
from memtui.host.aftermath import Aftermath
from memtui.host.doctor import examine
from memtui.host.history import entry_of, history_of
from memtui.host.target import Forecast, LocalTarget
from memtui.linux import machine
from memtui.linux.capability import probe
from memtui.linux.mappers import mappers_of
from memtui.linux.processes import ProcessList
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.holds import FreezeChoice, Thawed
from memtui.model.plan import DEFAULT_HOLD_MS, Freeze, Plan, TargetPlan
from memtui.model.process import Process, Standing
from memtui.model.reasons import Reason
from memtui.model.report import Back, Progress, TargetReport
from memtui.model.restore import Mappers, RestorePlan, RestoreReport
from memtui.model.verdict import MachineFacts
from memtui.model.vma import MappedVma
from memtui.practice.link import PracticeError, PracticeLink


def default_state_dir() -> Path:
    """Return where the ledger lies: /var/lib/memtui for root, else the user's state directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/memtui")
    from platformdirs import user_state_path

    return user_state_path("memtui")


class LocalHost:
    """This machine. ``practice`` is a process that can advise itself where we may not advise it.

    ``journal_dir`` is where the guards' journals lie: see ``freeze.journal``.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        practice: PracticeLink | None = None,
        journal_dir: Path | None = None,
    ) -> None:
        machine.raise_file_limit()
        self.state_dir = state_dir or default_state_dir()
        self.journal_dir = journal_dir or default_journal_dir(self.state_dir)
        self.thaw_remarks: tuple[str, ...] = ()
        """What the last :meth:`thaw` found of journals that could not be read."""
        self._practice = practice
        self._ledger = Ledger(self.state_dir)
        self._processes = ProcessList()
        self._opened: dict[int, LocalTarget] = {}
        self._lock = threading.Lock()
        self._applying = threading.Lock()
        self._cancelled = threading.Event()
        self.aftermath = Aftermath(self._ledger, self._cancelled, self._unwatch)
        self._guard: Guard | None = None
        self._released = False

    def __enter__(self) -> LocalHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def machine(self) -> MachineState:
        """Return the numbers of the system line."""
        return _machine_state()

    def facts(self) -> MachineFacts:
        """Return what verdicts need to know of the machine."""
        return machine.facts()

    def processes(self) -> list[Process]:
        """Return all processes that can be seen, by pid."""
        return self._processes.read()

    def open(self, pid: int) -> LocalTarget:
        """Choose a process; the same one twice is one target with two users.

        Raises:
            MemtuiError: if it is not there, is a kernel thread or a zombie, or may not be seen.
        """
        with self._lock:
            for known in self._opened.values():
                if known.process.pid == pid and known.standing() is Standing.ALIVE:
                    known.users += 1
                    return known
            target = LocalTarget(pid, self.state_dir, self.facts, self._forget)
            self._opened[target.generation] = target
            return target

    def plan(
        self,
        advice: Advice,
        wanted: Sequence[Wanted],
        freeze: Freeze | None = None,
        hold_ms: int = DEFAULT_HOLD_MS,
        override_lockout: bool = False,
        *,
        thorough: bool = False,
        cancelled: threading.Event | None = None,
    ) -> Plan:
        """Say what would be done. Touches nothing."""
        purse = SwapPurse(self.facts())
        targets = []
        for item in wanted:
            target = _ours(item.target)
            forecast = partial(target.forecast, advice, item.marks, item.select, purse, cancelled)
            targets.append(self._plan_one(target, advice, freeze, override_lockout, forecast))
        return Plan(advice, tuple(targets), hold_ms, thorough)

    def freeze_choices(self, target: Target) -> list[FreezeChoice]:
        """Say what each freeze method would do to a target. Touches nothing."""
        ours = _ours(target)
        return choices(ours.process, self_advised=self._may_advise(ours, Advice.COLD)[1])

    def apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[TargetReport], None] | None = None,
    ) -> tuple[TargetReport, ...]:
        """Do it, and report. Two plans never overlap: the second waits for the first."""
        with self._turn():
            engine = Engine(self._ledger, self._holder, self._cancelled)

            def done(report: TargetReport) -> None:
                self._watch(report)
                # They are on record and in the watch: who keeps reports need not keep them.
                report.moved_pages = ()
                if on_target is not None:
                    on_target(report)

            return engine.apply(plan, self._subject, on_progress, done)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one plan or restore run at a time, and none be cancelled by what ended the one before."""
        with self._applying:
            self._cancelled.clear()
            if self._released:
                # A signal came in between: nothing is begun any more.
                self._cancelled.set()
            yield

    def _watch(self, report: TargetReport) -> None:
        with self._lock:
            target = self._opened.get(report.planned.generation)
            if target is None:
                return
            # It is closed again when the watch ends.
            target.users += 1
            target.watches += 1
        self.aftermath.watch(report, target)

    def look_back(self, report_id: str, *, record: bool = False) -> Back | None:
        """Look how much of what a report moved has come back; None where it is no longer watched."""
        return self.aftermath.look_back(report_id, record=record)

    def plan_restore(
        self, action: str | None = None, *, cancelled: threading.Event | None = None
    ) -> tuple[RestorePlan, ...]:
        """Say what could be put back. Touches nothing."""
        return self.aftermath.plan_restore(action, cancelled)

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back, and report."""
        with self._turn():
            return self.aftermath.restore(plans, on_progress, on_target)

    def mappers(self, target: Target, row: MappedVma, *, cancelled: threading.Event | None = None) -> Mappers:
        """Find the other processes that map the file or shared memory behind a VMA."""
        return mappers_of(row.vma, target.process.pid, cancelled)

    def cancel(self) -> None:
        """End the running plan at the next call's edge. From any thread; returns at once."""
        self._cancelled.set()

    def thaw_now(self) -> None:
        """Cancel, and have the guard release whatever it holds, at once. From any thread."""
        self._cancelled.set()
        guard = self._guard
        if guard is not None:
            guard.panic()

    def thaw(self) -> list[Thawed]:
        """Release what a crash left held, and say whom.

        Raises:
            MemtuiError: FREEZE_NO_JOURNAL.
        """
        replayed = replay(self.journal_dir)
        self.thaw_remarks = replayed.remarks
        return list(replayed.thawed)

    def release(self) -> None:
        """Close the guard's sockets, so that it releases everything. For signal handlers."""
        self._released = True
        self._cancelled.set()
        guard = self._guard
        if guard is not None:
            guard.drop()

    def history(self, last: int | None = None) -> History:
        """Return the ledger, or its last entries.

        Raises:
            MemtuiError: if it is there and cannot be read.
        """
        return history_of(self._ledger, last)

    def stream_history(self, tell_torn: Callable[[int], None]) -> Iterator[HistoryEntry]:
        """Yield the whole ledger, oldest first, without keeping it in memory. See :meth:`history`.

        ``tell_torn`` is called at the end with how many lines could not be read.
        """
        return map(entry_of, self._ledger.stream(tell_torn))

    def doctor(self, pid: int | None = None) -> list[Finding]:
        """Say what works here and what does not, and what mends it."""
        return examine(self, self._ledger.path, self.journal_dir, pid)

    def close(self) -> None:
        """Let go of everything."""
        self._cancelled.set()
        self.aftermath.close()
        with self._lock:
            guard, self._guard = self._guard, None
            for target in self._opened.values():
                # What is being looked at just now is closed by the look: else another file might get
                # the number of the one that it reads.
                target.users = 0
                if not target.watches:
                    target.handle.close()
            self._opened.clear()
        if guard is not None:
            guard.close()

    def _unwatch(self, target: LocalTarget) -> None:
        with self._lock:
            target.watches -= 1
        self._forget(target)

    def _forget(self, target: LocalTarget) -> None:
        with self._lock:
            target.users -= 1
            if target.users > 0 or target.watches:
                return
            self._opened.pop(target.generation, None)
            target.handle.close()

    def _holder(self) -> Guard:
        """Return the guard, started anew if the last one has ended."""
        with self._lock:
            if self._released:
                raise MemtuiError(Reason.CANCELLED, "", "memtui is ending")
            if self._guard is not None and not self._guard.is_alive():
                self._guard.close()
                self._guard = None
            if self._guard is None:
                self._guard = Guard.start(self.journal_dir)
            return self._guard

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
        if refused is None or practice is None:
            return refused, False
        if target.process.pid == practice.pid and target.process.start_time == practice.start_time:
            return None, True
        return refused, False

    def _subject(self, planned: TargetPlan) -> Subject:
        with self._lock:
            target = self._opened.get(planned.generation)
        if target is None:
            raise NoSuchProcess(Reason.EXITED, f"process {planned.process.pid}")
        if target.standing() is not Standing.ALIVE:
            raise target.handle.lost_error()
        adviser = None
        if planned.self_advised:
            assert self._practice is not None
            adviser = _self_adviser(self._practice)
        return Subject(target.handle, target.smaps_is_cheap, adviser)


def _machine_state() -> MachineState:
    memory = machine.memory()
    return MachineState(
        mem_total_bytes=memory.total_bytes,
        mem_available_bytes=memory.available_bytes,
        mem_free_bytes=memory.free_bytes,
        swap_total_bytes=memory.swap_total_bytes,
        swap_free_bytes=memory.swap_free_bytes,
        swap_cached_bytes=memory.swap_cached_bytes,
        psi_some_avg10=machine.pressure_some_avg10(),
    )


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
        return Freeze.OFF, "the process advises itself", None
    # Whether ptrace is permitted is told best by trying.
    lockout_only = freeze is None or freeze is Freeze.PTRACE
    refused = why_not(target.process, freeze or Freeze.PTRACE, override_names=override_lockout)
    if refused is None or (lockout_only and refused.reason is not Reason.FREEZE_REFUSED):
        return freeze or Freeze.PTRACE, None, None
    words = refused.detail or refused.reason.text
    if freeze is None:
        return Freeze.OFF, words, None
    return freeze, words, refused.reason

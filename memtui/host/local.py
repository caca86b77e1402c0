"""LocalHost: this machine."""

from __future__ import annotations

import errno
import importlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host.api import MachineState
from memtui.host.guard_owner import GuardOwner
from memtui.host.left_held import LeftHeld, default_journal_dir
from memtui.host.target import LocalTarget
from memtui.host.target_pool import TargetPool
from memtui.linux import sysinfo
from memtui.linux.processes import ProcessList
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.freeze import DEFAULT_HOLD_MS
from memtui.model.plan import Plan
from memtui.model.process import Liveness
from memtui.model.reasons import Reason
from memtui.model.restore import Whose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from memtui.advise.engine import Subject
    from memtui.advise.vector import Adviser
    from memtui.host.api import Finding, History, HistoryEntry, Selection, SelfAdviser, Target
    from memtui.host.record import Record
    from memtui.host.refault_monitor import RefaultMonitor
    from memtui.model.advice import Advice
    from memtui.model.freeze import Freeze, FreezeChoice
    from memtui.model.plan import TargetPlan
    from memtui.model.process import Process, ProcessId
    from memtui.model.report import Progress, TargetReport
    from memtui.model.restore import RestorePlan, RestoreReport, Sharers
    from memtui.model.verdict import MachineFacts
    from memtui.model.vma import MappedVma

_ACTING = (
    "memtui.advise.engine",
    "memtui.freeze.client",
    "memtui.host.doctor",
    "memtui.host.history",
    "memtui.host.planning",
)


def default_state_dir() -> Path:
    """Return where the ledger lies: /var/lib/memtui for root, else the user's state directory.

    Raises:
        MemtuiError: NO_STATE_DIR.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/memtui")
    from platformdirs import user_state_path

    try:
        found = user_state_path("memtui")
    except RuntimeError as error:
        raise MemtuiError(Reason.NO_STATE_DIR) from error
    if not found.is_absolute():
        # Some versions of platformdirs leave the ~ where it stands.
        raise MemtuiError(Reason.NO_STATE_DIR)
    return found


class LocalHost:
    """This machine: see Host for what each method does.

    What acts is imported with the first call that needs it, or by :meth:`prepare`: the screen stands before
    anybody can act.

    Args:
        state_dir: where the ledger lies; None for the default.
        self_adviser: a process that advises itself where we may not advise it.
        journal_dir: where the guards' journals lie: see ``freeze.journal``.

    Attributes:
        left_held: what a crash left held here, and its release.
        guards: the guard process.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        self_adviser: SelfAdviser | None = None,
        journal_dir: Path | None = None,
    ) -> None:
        sysinfo.raise_file_limit()
        self.state_dir = state_dir or default_state_dir()
        self.journal_dir = journal_dir or default_journal_dir(self.state_dir)
        self.left_held = LeftHeld(self.journal_dir, state_dir)
        self.guards = GuardOwner(self.journal_dir)
        self._self_adviser = self_adviser
        self._processes = ProcessList()
        self._pool: TargetPool[LocalTarget] = TargetPool(self._open_target)
        self._lock = threading.Lock()
        self._opened_record: Record | None = None
        self._turn = threading.Lock()
        self._running = threading.Event()
        """What cancels the job that runs, or ran last."""

    def __enter__(self) -> LocalHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _record(self) -> Record:
        with self._lock:
            if self._opened_record is None:
                from memtui.host.record import Record

                self._opened_record = Record.in_folder(self.state_dir)
            return self._opened_record

    @property
    def refaults(self) -> RefaultMonitor:
        """What is checked again after an action."""
        return self._record.refaults

    def prepare(self) -> None:
        """Import all that acting needs, before memory is so short that it would be slow to come."""
        for name in _ACTING:
            importlib.import_module(name)
        _ = self._record

    # Reading

    def machine(self) -> MachineState:
        """Return the numbers of the system line."""
        memory = sysinfo.memory()
        return MachineState(
            mem_total_bytes=memory.total_bytes,
            mem_available_bytes=memory.available_bytes,
            mem_free_bytes=memory.free_bytes,
            swap_total_bytes=memory.swap_total_bytes,
            swap_free_bytes=memory.swap_free_bytes,
            swap_cached_bytes=memory.swap_cached_bytes,
            psi_some_avg10=sysinfo.pressure_some_avg10(),
        )

    def facts(self) -> MachineFacts:
        """Return what verdicts need to know of the machine."""
        return sysinfo.facts()

    def processes(self) -> list[Process]:
        """Return all processes that can be seen, by pid."""
        return self._processes.read()

    def open(self, pid: int) -> LocalTarget:
        """Choose a process, as a user of its target."""
        return self._pool.open(pid)

    def mappers(self, target: Target, row: MappedVma, *, cancelled: threading.Event | None = None) -> Sharers:
        """Find the other processes that map the file or shared memory behind a VMA."""
        from memtui.linux.sharers import mappers_of

        return mappers_of(row.vma, target.process.pid, cancelled)

    def _open_target(self, pid: int) -> LocalTarget:
        return LocalTarget(pid, self._pool, self.facts, self._labels_of)

    def _labels_of(self, process: ProcessId) -> Mapping[int, str]:
        """Return the words of a practice process for its addresses; of any other it has none."""
        from memtui.practice.labels import labels_of

        return labels_of(self.state_dir, process.pid, process.start_time)

    # Advising

    def plan(
        self,
        advice: Advice,
        wanted: Sequence[Selection],
        freeze: Freeze | None = None,
        hold_ms: int = DEFAULT_HOLD_MS,
        allow_protected: bool = False,
        *,
        thorough: bool = False,
        cancelled: threading.Event | None = None,
    ) -> Plan:
        """Say what would be done. Touches nothing."""
        from memtui.host.planning import Planner

        planner = Planner(advice, freeze, self._self_adviser, cancelled, allow_protected=allow_protected)
        targets = tuple(planner.plan(_ours(item.target), item.marks, item.select) for item in wanted)
        return Plan(advice, targets, hold_ms, thorough)

    def freeze_choices(self, target: Target) -> list[FreezeChoice]:
        """Say what each freeze method would do to a target. Touches nothing."""
        from memtui.host.planning import freeze_choices

        return freeze_choices(_ours(target), self._self_adviser)

    def apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[TargetReport], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> tuple[TargetReport, ...]:
        """Apply a plan, and report. Two plans never overlap: the second waits for the first."""
        from memtui.advise.engine import Engine

        record = self._record

        def done(report: TargetReport) -> None:
            target = self._pool.get(report.planned.generation)
            if target is not None and report.moved_pages:
                record.refaults.begin(report, target)
            if report.pages_seen or report.moved_bytes:
                record.restores.add_own(report.action_id)
            # They are on record and monitored: who keeps reports need not keep them.
            report.moved_pages = ()
            if on_target is not None:
                on_target(report)

        with self._turn:
            engine = Engine(record.ledger, self.guards.get, self._begin(cancelled))
            return engine.apply(plan, self._subject, on_progress, done)

    def _begin(self, cancelled: threading.Event | None) -> threading.Event:
        """Return what cancels a job that begins now: set already where a signal came before it began."""
        self._running = cancelled or threading.Event()
        if self.guards.is_dropped:
            self._running.set()
        return self._running

    def _subject(self, planned: TargetPlan) -> Subject:
        """Return what a target plan is applied to.

        Raises:
            MemtuiError: if it is gone, has exec'ed, or is in another pid namespace's /proc.
        """
        from memtui.advise.engine import Subject

        target = self._pool.get(planned.generation)
        if target is None:
            raise NoSuchProcess(Reason.EXITED, f"process {planned.process.pid}")
        if target.standing() is not Liveness.ALIVE:
            raise target.handle.lost_error()
        if target.handle.is_foreign:
            raise MemtuiError(Reason.FOREIGN_PROC)
        adviser = None
        if planned.self_advised:
            assert self._self_adviser is not None
            adviser = _adviser_of(self._self_adviser)
        return Subject(target.handle, target.smaps_is_cheap, adviser)

    def thaw_now(self) -> None:
        """Cancel what runs, and have the guard release whatever it holds, at once. From any thread."""
        self._running.set()
        self.guards.panic()

    def release(self) -> None:
        """Close the guard's sockets, so that it releases everything; cancel what runs and what is to come."""
        # The guard first, and no lock before it.
        self.guards.drop()
        self._running.set()

    # Putting back

    def plan_restore(
        self,
        action: str | None = None,
        *,
        whose: Whose = Whose.SESSION,
        pid: int | None = None,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestorePlan, ...]:
        """Say what could be put back. Touches nothing."""
        restores = self._record.restores
        plans = []
        for item in restores.find(action, whose, pid):
            if cancelled is not None and cancelled.is_set():
                raise MemtuiError(Reason.CANCELLED)
            plans.append(restores.plan(item))
        return tuple(plans)

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back, and report. Neither a plan nor another restore runs meanwhile."""
        reports = []
        with self._turn:
            cancelled = self._begin(cancelled)
            for planned in plans:
                reports.append(self._record.restores.restore(planned, cancelled, on_progress))
                if on_target is not None:
                    on_target(reports[-1])
        return tuple(reports)

    # What was done, and what can be

    def history(self, last: int | None = None) -> History:
        """Return the ledger, or its last entries.

        Raises:
            MemtuiError: if it is there and cannot be read.
        """
        from memtui.host.history import history_of

        return history_of(self._record.ledger, last)

    def stream_history(self, tell_torn: Callable[[int], None]) -> Iterator[HistoryEntry]:
        """Yield the whole ledger, oldest first, without keeping it in memory. See :meth:`history`.

        ``tell_torn`` is called at the end with how many lines could not be read.
        """
        from memtui.host.history import entry_of

        return map(entry_of, self._record.ledger.stream(tell_torn))

    def doctor(self, pid: int | None = None) -> list[Finding]:
        """Say what works here and what does not, and how to fix it."""
        from memtui.host.doctor import examine

        return examine(self._pool, self._record.ledger.path, self.journal_dir, pid)

    def close(self) -> None:
        """Let go of everything."""
        self._running.set()
        with self._lock:
            record = self._opened_record
        self.guards.close()
        if record is None:
            self._pool.close()
        else:
            record.refaults.close(self._pool.close)


def _adviser_of(process: SelfAdviser) -> Adviser:
    """Return how a process advises itself, with the errors of process_madvise."""

    def advise(elements: Sequence[tuple[int, int]], advice: int) -> int:
        try:
            return process.advise(elements, advice)
        except RuntimeError as error:
            raise OSError(errno.ESRCH, str(error), "madvise") from error

    return advise


def _ours(target: Target) -> LocalTarget:
    if not isinstance(target, LocalTarget):
        raise TypeError("a target of another host")
    return target

"""LocalHost: this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host import MachineState
from memtui.host.opened import Opened
from memtui.linux import machine
from memtui.linux.namespaces import ProcView, proc_view
from memtui.linux.processes import ProcessList
from memtui.model.errors import MemtuiError
from memtui.model.freeze import DEFAULT_HOLD_MS
from memtui.model.reasons import Reason
from memtui.model.restore import Whose

if TYPE_CHECKING:
    from pwd import struct_passwd

    from memtui.freeze.client import Guard
    from memtui.freeze.replay import Replayed
    from memtui.host import Finding, History, HistoryEntry, Target, Wanted
    from memtui.host.acting import Acting
    from memtui.host.target import LocalTarget
    from memtui.model.advice import Advice
    from memtui.model.freeze import Freeze, FreezeChoice, Thawed
    from memtui.model.plan import Plan
    from memtui.model.process import Process
    from memtui.model.report import Back, Progress, TargetReport
    from memtui.model.restore import Mappers, RestorePlan, RestoreReport
    from memtui.model.verdict import MachineFacts
    from memtui.model.vma import MappedVma
    from memtui.practice.link import PracticeLink


ROOTS_JOURNAL_DIR = Path("/run/memtui")


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


def default_journal_dir(state_dir: Path) -> Path:
    """Return where the guards' journals lie: /run/memtui for root, else in the state directory."""
    return ROOTS_JOURNAL_DIR if os.geteuid() == 0 else state_dir / "holds"


def journal_dir_of(user: struct_passwd, state_dir: Path | None) -> Path:
    """Return where the journals of another user's guards lie, XDG_STATE_HOME apart, which only they know."""
    return (state_dir or Path(user.pw_dir) / ".local/state/memtui") / "holds"


class LocalHost:
    """This machine. ``practice`` is a process that can advise itself where we may not advise it.

    ``journal_dir`` is where the guards' journals lie: see ``freeze.journal``. What acts is imported with
    the first call that needs it, or by :meth:`prepare`.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        practice: PracticeLink | None = None,
        journal_dir: Path | None = None,
    ) -> None:
        machine.raise_file_limit()
        self.state_dir = state_dir or default_state_dir()
        self._is_given = state_dir is not None
        self.journal_dir = journal_dir or default_journal_dir(self.state_dir)
        self.thaw_remarks: tuple[str, ...] = ()
        """What the last :meth:`thaw` or :meth:`left_held` found of journals that could not be read."""
        self._practice = practice
        self._processes = ProcessList()
        self._opened = Opened(self.state_dir, self.facts)
        self._lock = threading.Lock()
        self._acting: Acting | None = None
        self._cancelled = threading.Event()
        self._released = False

    def __enter__(self) -> LocalHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def acting(self) -> Acting:
        """What acts."""
        with self._lock:
            if self._acting is None:
                from memtui.host.acting import Acting

                self._acting = Acting(
                    self._opened,
                    self.state_dir,
                    self.journal_dir,
                    self._practice,
                    self._cancelled,
                    lambda: self._released,
                )
            return self._acting

    def prepare(self) -> None:
        """Have all that acting needs at hand, before memory is so short that it would be slow to come."""
        _ = self.acting

    def machine(self) -> MachineState:
        """Return the numbers of the system line."""
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
        return self._opened.open(pid)

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
        return self.acting.plan(advice, wanted, freeze, hold_ms, override_lockout, thorough, cancelled)

    def freeze_choices(self, target: Target) -> list[FreezeChoice]:
        """Say what each freeze method would do to a target. Touches nothing."""
        return self.acting.freeze_choices(target)

    def apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[TargetReport], None] | None = None,
    ) -> tuple[TargetReport, ...]:
        """Do it, and report. Two plans never overlap: the second waits for the first."""
        return self.acting.apply(plan, on_progress, on_target)

    def look_back(self, report_id: str, *, record: bool = False) -> Back | None:
        """Look how much of what a report moved has come back; None where it is no longer watched."""
        return self.acting.aftermath.look_back(report_id, record=record)

    def was_restored(self, report_id: str) -> bool:
        """Whether somebody has put back what a report moved, as the ledger tells."""
        return self.acting.aftermath.was_restored(report_id)

    def plan_restore(
        self,
        action: str | None = None,
        *,
        whose: Whose = Whose.SESSION,
        pid: int | None = None,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestorePlan, ...]:
        """Say what could be put back. Touches nothing."""
        return self.acting.restores.plan(action, whose, pid, cancelled)

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back, and report."""
        return self.acting.restore(plans, on_progress, on_target)

    def mappers(self, target: Target, row: MappedVma, *, cancelled: threading.Event | None = None) -> Mappers:
        """Find the other processes that map the file or shared memory behind a VMA."""
        from memtui.linux.mappers import mappers_of

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
        if not self._may_be_held():
            return []
        from memtui.freeze.replay import replay

        return self._keep_remarks(replay(self.journal_dir))

    def thaw_user(self, user: struct_passwd) -> list[Thawed]:
        """Release what a crash of another user's memtui left held, with that user's rights. Needs root.

        Raises:
            MemtuiError: FREEZE_NO_JOURNAL; FAILED where the user's rights cannot be taken on.
        """
        from memtui.freeze.as_user import replay_as

        state_dir = self.state_dir if self._is_given else None
        return self._keep_remarks(replay_as(user, journal_dir_of(user, state_dir)))

    def left_held(self) -> list[Thawed]:
        """Say what a crash left held, and touch nothing.

        Raises:
            MemtuiError: FREEZE_NO_JOURNAL.
        """
        if not self._may_be_held():
            return []
        from memtui.freeze.replay import left_held

        return self._keep_remarks(left_held(self.journal_dir))

    def _may_be_held(self) -> bool:
        """Whether there is anything to be read, so that most starts do without the code that reads it."""
        self.thaw_remarks = ()
        return _may_hold_files(self.journal_dir) or proc_view() is ProcView.MISSING

    def _keep_remarks(self, replayed: Replayed) -> list[Thawed]:
        self.thaw_remarks = replayed.remarks
        return list(replayed.thawed)

    def release(self) -> None:
        """Close the guard's sockets, so that it releases everything. For signal handlers."""
        # The guard first, and no lock before it: a signal may have interrupted whoever holds that.
        self._released = True
        guard = self._guard
        if guard is not None:
            guard.drop()
        self._cancelled.set()

    @property
    def _guard(self) -> Guard | None:
        """The guard, if there is one; without a lock, which a signal might have interrupted."""
        acting = self._acting
        return None if acting is None else acting.guard

    def history(self, last: int | None = None) -> History:
        """Return the ledger, or its last entries.

        Raises:
            MemtuiError: if it is there and cannot be read.
        """
        return self.acting.history(last)

    def stream_history(self, tell_torn: Callable[[int], None]) -> Iterator[HistoryEntry]:
        """Yield the whole ledger, oldest first, without keeping it in memory. See :meth:`history`.

        ``tell_torn`` is called at the end with how many lines could not be read.
        """
        return self.acting.stream_history(tell_torn)

    def doctor(self, pid: int | None = None) -> list[Finding]:
        """Say what works here and what does not, and what mends it."""
        return self.acting.doctor(pid)

    def close(self) -> None:
        """Let go of everything."""
        self._cancelled.set()
        with self._lock:
            acting = self._acting
        if acting is not None:
            acting.close()
        self._opened.close()


def _may_hold_files(folder: Path) -> bool:
    """Whether there is anything in a folder, as far as we may know."""
    try:
        with os.scandir(folder) as found:
            return any(found)
    except FileNotFoundError:
        return False
    except OSError:
        # Who reads it says what is wrong with it.
        return True

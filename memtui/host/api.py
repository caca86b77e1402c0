"""Host: one machine under management, the one face that the commands and the TUI see; and its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from memtui.model.advice import Advice
from memtui.model.freeze import DEFAULT_HOLD_MS, WATCHED_S, Freeze
from memtui.model.restore import Whose
from memtui.model.values import number

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from memtui.model.filter import Filter
    from memtui.model.finding import FindingCode
    from memtui.model.freeze import FreezeChoice
    from memtui.model.plan import Mark, Plan
    from memtui.model.process import Liveness, Process, ProcessId
    from memtui.model.report import Progress, RefaultSample, TargetReport
    from memtui.model.restore import RestorePlan, RestoreReport, Sharers
    from memtui.model.verdict import MachineFacts, Verdict
    from memtui.model.vma import AddressSpace, MappedVma

CHEAP_SMAPS_MS = 100.0
"""Where reading smaps takes longer it is read for a plan only: it stalls the target meanwhile."""

RECORDED_CHECKS_S = (1, 10, int(WATCHED_S))
"""Which checks for refaults go into the ledger, in seconds after the action."""


class Target(Protocol):
    """A chosen process, held by a pidfd and by its open map, so that it cannot be mistaken for another.

    Who opens it is its first user; a further one acquires it. Each user releases it once, and with the last
    its files are closed.
    """

    @property
    def process(self) -> ProcessId:
        """Who it is."""

    @property
    def name(self) -> str:
        """Its name when it was opened, raw."""

    def standing(self) -> Liveness:
        """Return what became of it."""

    def look(self, *, details: bool = False, only: Sequence[int] | None = None) -> AddressSpace:
        """Read the map with live RSS and swap; with ``details`` also smaps (slow on large maps).

        Without it, the details of an earlier look are kept where the VMA still stands. Where the layout
        is that of the last look, the numbers of VMAs far from the addresses ``only`` may be kept, too.

        Raises:
            MemtuiError: if it is gone, has exec'ed, or may not be read.
        """

    def judge(self, row: MappedVma, advice: Advice) -> Verdict:
        """Return what is expected of an advice on one VMA. Does no I/O for kinds without a file."""

    def acquire(self) -> bool:
        """Count one user more; False if its last user has gone before, so that it must be opened again."""

    def release(self) -> None:
        """Count one user less."""


class SelfAdviser(Protocol):
    """A process that advises itself, plugged into a host for where the kernel lets us advise nobody."""

    pid: int
    start_time: int
    """Field 22 of its stat, in clock ticks since boot."""

    def advise(self, elements: Sequence[tuple[int, int]], advice: int) -> int:
        """Have it call madvise on (start, end) elements; return the bytes of whole ones.

        As with process_madvise(2), a short return means that the element behind it failed.

        Raises:
            OSError: the errno of the first element; ESRCH if the process is gone.
            RuntimeError: if it does not answer.
        """


class Selection(NamedTuple):
    """What a plan is for in one target: its marks, or else all VMAs that ``select`` takes, or else all."""

    target: Target
    marks: tuple[Mark, ...] | None = None
    select: Filter | None = None


class MachineState(NamedTuple):
    """The system line; bytes, None where not known. ``psi_some_avg10`` is in percent."""

    mem_total_bytes: int | None
    mem_available_bytes: int | None
    mem_free_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    swap_cached_bytes: int | None
    psi_some_avg10: float | None


_ADVICES = {advice.value: advice for advice in Advice}


class HistoryEntry(NamedTuple):
    """One target of one action, as the ledger has it. ``outcome`` may be ``interrupted``."""

    id: str
    action_id: str
    time: str
    operator: dict[str, object]
    target: dict[str, object]
    advice: str
    freeze: str
    requested_bytes: int | None
    forecast_bytes: int | None
    advised_bytes: int | None
    moved_bytes: int | None
    outcome: str
    back: list[dict[str, object]]
    restored_bytes: int | None

    @property
    def last_back_bytes(self) -> int | None:
        """What the last look back that saw anything saw; None where none did."""
        seen = (number(look.get("back_bytes")) for look in reversed(self.back))
        return next((count for count in seen if count is not None), None)

    @property
    def can_have_moved(self) -> bool:
        """Whether *moved* applies to what was done; so it does to an advice that is not known here."""
        advice = _ADVICES.get(self.advice)
        return advice is None or advice.can_have_moved(self.advised_bytes, self.moved_bytes)


class History(NamedTuple):
    """The ledger, oldest first; ``torn_lines`` is how many of its lines could not be read.

    ``is_whole`` is False where older entries were left out.
    """

    entries: tuple[HistoryEntry, ...]
    torn_lines: int
    is_whole: bool = True


class Finding(NamedTuple):
    """One finding of the doctor, with the values of its code. ``remedy`` is one tried command, or empty.

    It is ``ok`` or not, or neither (None): something to know.
    """

    check: str
    ok: bool | None
    code: FindingCode
    values: Mapping[str, object] = {}
    remedy: str = ""


class RefaultEvent(NamedTuple):
    """What is told of a report that is checked for refaults.

    ``sample`` is None where its pages are kept no more, or the check failed with ``error``.
    ``recorded`` tells that the sample was meant for the ledger; ``was_restored`` that another memtui has put
    the pages back, so that what is resident now says nothing of the advice. No check comes after one that
    ``is_last``.
    """

    report_id: str
    sample: RefaultSample | None
    recorded: bool
    was_restored: bool
    is_last: bool
    error: Exception | None = None


class RefaultChecks(Protocol):
    """Checks how much of what actions moved is resident again. From any thread; both return at once."""

    def follow(
        self, report_id: str, checks: Mapping[float, bool], tell: Callable[[RefaultEvent], None]
    ) -> None:
        """Have a report checked, and be told by a thread of the host's. Begin when the report is made.

        ``checks`` are seconds from now on, up to WATCHED_S, and whether that check goes into the ledger.
        After the last one ``tell`` is called once more where another memtui puts the pages back.

        Raises:
            MemtuiError: NO_TASKS; then nothing is checked.
        """

    def unfollow(self, report_id: str) -> bool:
        """Be told no more; return whether an event of a check under way is still to come, as the last."""


class Host(Protocol):
    """A machine. All methods may block: call them off the UI thread."""

    @property
    def refaults(self) -> RefaultChecks:
        """What is checked again for a minute after an action that moved pages out of RAM."""

    def machine(self) -> MachineState:
        """Return the numbers of the system line."""

    def facts(self) -> MachineFacts:
        """Return what verdicts need to know of the machine."""

    def processes(self) -> list[Process]:
        """Return all processes that can be seen, by pid."""

    def open(self, pid: int) -> Target:
        """Choose a process, as a user of its target; the same one twice is one target with two users.

        Raises:
            MemtuiError: if it is not there, is a kernel thread or a zombie, or may not be seen.
        """

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
        """Say what would be done. Touches nothing. ``freeze`` None leaves the choice to the host.

        A target that cannot be advised is in the plan with ``blocked`` set; nothing is raised for it.

        Raises:
            MemtuiError: CANCELLED, soon after ``cancelled`` was set.
        """

    def freeze_choices(self, target: Target) -> list[FreezeChoice]:
        """Say what each freeze method would do to a target, and why not where it cannot. Touches nothing."""

    def apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[TargetReport], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> tuple[TargetReport, ...]:
        """Apply a plan, and report. Two plans never overlap: the second waits for the first.

        Ends early, at a call's edge, once ``cancelled`` is set; what was not begun is reported as cancelled.
        """

    def plan_restore(
        self,
        action: str | None = None,
        *,
        whose: Whose = Whose.SESSION,
        pid: int | None = None,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestorePlan, ...]:
        """Say what could be put back: of an action, or one target of it.

        Or else of the last action that moved anything, among those that are looked at: see Whose. With
        ``pid`` that is the last on this process.

        Touches nothing. What cannot be put back is in it with ``blocked`` set.

        Raises:
            MemtuiError: NO_SUCH_ACTION; LEDGER_UNWRITABLE where the ledger cannot be read; CANCELLED,
                before the next target, after ``cancelled`` was set.
        """

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back, and report. Ends early, at a step's edge, once ``cancelled`` is set."""

    def mappers(self, target: Target, row: MappedVma, *, cancelled: threading.Event | None = None) -> Sharers:
        """Find the other processes that map the file or shared memory behind a VMA. Looks at all maps.

        Raises:
            MemtuiError: CANCELLED, soon after ``cancelled`` was set.
        """

    def thaw_now(self) -> None:
        """Cancel what runs, and have the guard release whatever it holds, at once. From any thread."""

    def release(self) -> None:
        """Close the guard's sockets, so that it releases everything; cancel what runs and what is to come.

        For whoever acts on a signal: the guard comes first, with no lock before it.
        """

    def history(self, last: int | None = None) -> History:
        """Return the ledger, or its last entries."""

    def doctor(self, pid: int | None = None) -> list[Finding]:
        """Say what works here and what does not, and how to fix it."""

    def prepare(self) -> None:
        """Have at hand all that acting needs, before memory is so short that it would be slow to come."""

    def close(self) -> None:
        """Let go of everything."""

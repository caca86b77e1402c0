"""A host that is all made up: fixed data, the same every time, with names that try to do harm."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from memtui.advise.ledger import Event, Ledger
from memtui.host import Finding, History, HistoryEntry, MachineState, Selection, Target
from memtui.host.refault_monitor import RefaultMonitor
from memtui.host.target_pool import TargetPool
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess, Unusable
from memtui.model.freeze import DEFAULT_HOLD_MS, Freeze, FreezeChoice
from memtui.model.plan import Plan, PlannedRange, TargetPlan
from memtui.model.process import Liveness, Process, ProcessId
from memtui.model.reasons import Reason, cancelled_words
from memtui.model.report import (
    Effect,
    Outcome,
    Progress,
    RangeReport,
    RefaultSample,
    TargetReport,
    outcome_of_refusal,
)
from memtui.model.restore import Restored, RestorePlan, RestoreReport, Sharer, Sharers, Whose
from memtui.model.swap import SwapKind
from memtui.model.verdict import Expectation, MachineFacts, ReasonBytes, Verdict, judge
from memtui.model.vma import AddressSpace, MappedVma, Vma, VmaDetails, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BOOT_ID = "00000000-0000-4000-8000-000000000001"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

HOSTILE = ("[/x]", "[red]", "\x1b]0;x\x07", "a\nb", "\u202egnp.exe", "[@click=app.quit]x[/]", "\udc80\x9b31m")
"""Names as an enemy would choose them."""

_GENERATIONS = itertools.count(1)

FACTS = MachineFacts(swap_free_bytes=3 * GIB, huge_page_bytes=2 * MIB)


def process_id(pid: int) -> ProcessId:
    """Return who a made-up process is."""
    return ProcessId(pid, 1000 + pid, BOOT_ID)


def process(
    pid: int,
    name: str,
    rss_bytes: int | None,
    swap_bytes: int | None = 0,
    *,
    user: str | None = "app",
    **more: object,
) -> Process:
    """Return a made-up process."""
    given: dict[str, object] = {"state": "S", "major_faults": 12, "command": f"/usr/bin/{name}", **more}
    return Process(
        id=process_id(pid), name=name, user=user, rss_bytes=rss_bytes, swap_bytes=swap_bytes, **given
    )  # type: ignore[arg-type]


@dataclass
class FakeVma:
    """A VMA and its pages."""

    vma: Vma
    rss_bytes: int | None
    swap_bytes: int | None = 0
    flags: tuple[str, ...] = ("rd", "wr", "mr", "mw", "me", "ac")
    shared_bytes: int = 0
    label: str | None = None

    def details(self) -> VmaDetails:
        """Return what smaps would say."""
        rss, swap = self.rss_bytes or 0, self.swap_bytes or 0
        return VmaDetails(
            flags=self.flags,
            rss_bytes=rss,
            pss_bytes=rss - self.shared_bytes // 2,
            shared_bytes=min(rss, self.shared_bytes),
            referenced_bytes=rss,
            anonymous_bytes=0 if self.vma.inode else rss,
            huge_bytes=0,
            swap_bytes=swap,
            locked_bytes=rss if "lo" in self.flags else 0,
        )


def vma(
    start: int,
    size_bytes: int,
    perms: str = "rw-p",
    name: str = "",
    *,
    inode: int = 0,
    rss: int | None = 0,
    swap: int | None = 0,
    flags: tuple[str, ...] = (),
    shared: int = 0,
    label: str | None = None,
) -> FakeVma:
    """Return a made-up VMA."""
    device = "08:01" if inode else "00:00"
    made = Vma(
        start,
        start + size_bytes,
        perms,
        0,
        device,
        inode,
        name,
        kind_of(name, device, inode, perms, frozenset()),
    )
    by_perms = tuple(flag for letter, flag in zip(perms, ("rd", "wr", "ex"), strict=False) if letter != "-")
    return FakeVma(made, rss, swap, (*by_perms, *flags), shared, label)


def practice_map() -> list[FakeVma]:
    """Return a map worth teaching."""
    return [
        vma(
            0x55D0_0000_0000,
            348 * KIB,
            "r--p",
            "/usr/bin/python3.11",
            inode=1311,
            rss=348 * KIB,
            shared=348 * KIB,
        ),
        vma(
            0x55D0_0005_7000,
            2860 * KIB,
            "r-xp",
            "/usr/bin/python3.11",
            inode=1311,
            rss=1892 * KIB,
            shared=1892 * KIB,
        ),
        vma(0x55D0_1A2B_0000, 1540 * KIB, "rw-p", "[heap]", rss=1488 * KIB),
        vma(0x7F10_0000_0000, 8 * MIB, rss=8 * MIB, label="hot region"),
        vma(0x7F10_1000_0000, 32 * MIB, rss=32 * MIB, label="cold region"),
        vma(0x7F10_2000_0000, 8 * MIB, rss=8 * MIB, shared=8 * MIB, label="shared with a child"),
        vma(
            0x7F10_3000_0000,
            16 * MIB,
            "r--p",
            "/var/tmp/practice-4242.data",
            inode=77,
            rss=16 * MIB,
            label="file",
        ),
        vma(
            0x7F10_4000_0000,
            4 * MIB,
            "rw-s",
            "/dev/zero (deleted)",
            inode=9,
            rss=4 * MIB,
            label="shared memory",
        ),
        vma(0x7F10_5000_0000, 64 * KIB, rss=64 * KIB, flags=("lo",), label="locked"),
        *(
            vma(
                0x7F10_6000_0000 + n * 8192,
                4 * KIB,
                "r--p" if n % 2 else "rw-p",
                rss=4 * KIB,
                label=f"one page {n}",
            )
            for n in range(6)
        ),
        vma(0x7F10_7000_0000, 4 * KIB, "---p", label="guard page"),
        vma(0x7F10_7F00_0000, 256 * GIB, "---p", "[anon:[/x] [red]reservation]", flags=("nr",)),
        vma(0x7FFD_0000_0000, 132 * KIB, "rw-p", "[stack]", rss=40 * KIB, swap=12 * KIB, flags=("gd",)),
        vma(0x7FFD_0010_0000, 16 * KIB, "r--p", "[vvar]", flags=("pf", "io")),
        vma(0x7FFD_0010_4000, 8 * KIB, "r-xp", "[vdso]", rss=4 * KIB, shared=4 * KIB),
        vma(0xFFFF_FFFF_FF60_0000, 4 * KIB, "--xp", "[vsyscall]"),
    ]


def hostile_map() -> list[FakeVma]:
    """Return a map whose names are all hostile."""
    return [
        vma(0x1000_0000 + n * MIB, 512 * KIB, "r--p", f"/tmp/{name}", inode=100 + n, rss=64 * KIB, label=name)
        for n, name in enumerate(HOSTILE)
    ]


def many(count: int) -> list[FakeVma]:
    """Return a map of many one-page VMAs."""
    return [vma(0x10_0000_0000 + n * 8192, 4096, rss=4096) for n in range(count)]


RSS_OF_PRACTICE = sum(page.rss_bytes or 0 for page in practice_map())

PROCESSES: tuple[Process, ...] = (
    process(1, "init", 9 * MIB, user="root", command="/sbin/init"),
    process(2, "kthreadd", 0, None, user="root", command="", is_kernel_thread=True),
    process(
        811,
        "postgres",
        412 * MIB,
        96 * MIB,
        user="postgres",
        command="/usr/lib/postgresql/15/bin/postgres -D /data",
    ),
    process(903, "redis-server", 268 * MIB, 4 * MIB, user="redis", command="/usr/bin/redis-server *:6379"),
    process(1204, "java", 1434 * MIB, 310 * MIB, user="app", command="java -Xmx4g -jar service.jar"),
    process(4242, "python3", RSS_OF_PRACTICE, 12 * KIB, user="app", command="python3 -I -m memtui.practice"),
    process(5100, "node", 188 * MIB, 0, user="web", state="R", command="node server.js"),
    process(5101, "secret", None, None, user=None, command=None),
    process(6001, "defunct", 0, 0, state="Z", command=""),
    *(
        process(7000 + n, name, (7 - n) * MIB, user=name, command=f"{name} --{name}")
        for n, name in enumerate(HOSTILE)
    ),
)

MACHINE = MachineState(
    mem_total_bytes=16 * GIB,
    mem_available_bytes=int(5.2 * GIB),
    mem_free_bytes=2 * GIB,
    swap_total_bytes=4 * GIB,
    swap_free_bytes=3 * GIB,
    swap_cached_bytes=41 * MIB,
    psi_some_avg10=1.3,
)


class FakeTarget:
    """A made-up process that was chosen. ``standing_now`` and ``look_error`` may be set by a test."""

    def __init__(self, who: Process, vmas: list[FakeVma], pool: TargetPool[FakeTarget]) -> None:
        self._who = who
        self._pool = pool
        self.vmas = vmas
        self.closed = 0
        self.generation = next(_GENERATIONS)
        self.looks: list[bool] = []
        self.standing_now = Liveness.ALIVE
        self.look_error: MemtuiError | None = None
        self.cost_ms = 0.8
        self.looked_at: list[Sequence[int] | None] = []

    @property
    def process(self) -> ProcessId:
        return self._who.id

    @property
    def name(self) -> str:
        return self._who.name

    def standing(self) -> Liveness:
        return Liveness.CLOSED if self.closed else self.standing_now

    def look(self, *, details: bool = False, only: Sequence[int] | None = None) -> AddressSpace:
        self.looks.append(details)
        self.looked_at.append(only)
        if self.closed:
            raise MemtuiError(Reason.CANCELLED, f"process {self.process.pid}", "it is no longer looked at")
        if self.look_error is not None:
            raise self.look_error
        return replace(space_of(self.process, self.vmas), cost_ms=self.cost_ms)

    def judge(self, row: MappedVma, advice: Advice) -> Verdict:
        return judge(row, advice, FACTS, lambda _: True)

    def acquire(self) -> bool:
        return self._pool.acquire(self)

    def release(self) -> None:
        self._pool.release(self)

    def dispose(self) -> None:
        self.closed += 1


def space_of(who: ProcessId, vmas: Sequence[FakeVma], *, details: bool = True) -> AddressSpace:
    """Return one look at made-up VMAs."""
    known: Mapping[int, VmaDetails] = {item.vma.start: item.details() for item in vmas} if details else {}
    return AddressSpace(
        process=who,
        vmas=tuple(item.vma for item in vmas),
        rss_bytes=[item.rss_bytes or 0 for item in vmas],
        swap_bytes=[item.swap_bytes or 0 for item in vmas],
        details=known,
        labels={item.vma.start: item.label for item in vmas if item.label},
        source="scan",
        cost_ms=0.8,
    )


@dataclass
class FakeHost:
    """The machine. ``gate`` holds every call of an apply or a restore; ``calls`` is what was asked.

    ``back_now`` is what each check for refaults finds; ``planning`` holds a plan until it is set or
    cancelled; ``mapping`` holds the search for mappers.
    """

    processes_now: tuple[Process, ...] = PROCESSES
    maps: dict[int, list[FakeVma]] = field(default_factory=dict)
    gate: threading.Event | None = None
    plan_error: MemtuiError | None = None
    unrecorded_now: str | None = None
    apply_error: Exception | None = None
    blocked: dict[int, Reason] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    targets: list[FakeTarget] = field(default_factory=list)
    applied: list[Plan] = field(default_factory=list)
    back_now: int | None = 0
    planning: threading.Event | None = None
    mapping: threading.Event | None = None
    restore_error: MemtuiError | None = None
    restore_blocked: Reason | None = None
    entries: list[HistoryEntry] = field(default_factory=list)
    looks: list[tuple[str, bool]] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    put_back_elsewhere: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.maps.setdefault(4242, practice_map())
        self.maps.setdefault(7000, hostile_map())
        self._pool: TargetPool[FakeTarget] = TargetPool(self._open_target)
        self._cancelled = threading.Event()
        self._is_released = False
        self._one_job = threading.Lock()
        self._all_back: set[str] = set()
        self._held: dict[ProcessId, list[FakeVma]] = {}
        self._reports: dict[str, TargetReport] = {}
        self.refaults = RefaultMonitor(cast("Ledger", FakeLedger(self)), lambda: self.clock())

    # Reading

    def machine(self) -> MachineState:
        return MACHINE

    def facts(self) -> MachineFacts:
        return FACTS

    def processes(self) -> list[Process]:
        return list(self.processes_now)

    def open(self, pid: int) -> FakeTarget:
        return self._pool.open(pid)

    def _open_target(self, pid: int) -> FakeTarget:
        who = next((item for item in self.processes_now if item.pid == pid), None)
        if who is None:
            raise NoSuchProcess(Reason.NO_SUCH_PROCESS, f"process {pid}")
        if who.is_kernel_thread or who.state == "Z":
            raise Unusable(Reason.KERNEL_THREAD if who.is_kernel_thread else Reason.ZOMBIE, f"process {pid}")
        vmas = self.maps.setdefault(pid, [vma(0x40_0000, 4 * MIB, name="[heap]", rss=who.rss_bytes or 0)])
        target = FakeTarget(who, vmas, self._pool)
        self._held[who.id] = vmas
        self.targets.append(target)
        return target

    # Acting

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
        self.calls.append(f"plan {advice.value} {freeze.value if freeze else 'auto'}")
        if self.plan_error is not None:
            raise self.plan_error
        if cancelled is not None and cancelled.is_set():
            raise MemtuiError(Reason.CANCELLED)
        while self.planning is not None and not self.planning.wait(0.005):
            if cancelled is not None and cancelled.is_set():
                self.calls.append("plan cancelled")
                raise MemtuiError(Reason.CANCELLED)
        targets = tuple(self._plan_target(advice, item, freeze) for item in wanted)
        return Plan(advice, targets, hold_ms, thorough)

    def _plan_target(self, advice: Advice, wanted: Selection, freeze: Freeze | None) -> TargetPlan:
        target = wanted.target
        assert isinstance(target, FakeTarget)
        planned = []
        for row in target.look().rows():
            if wanted.marks is not None and not any(
                mark.range.intersect(row.vma.range) and mark.identity == row.vma.identity
                for mark in wanted.marks
            ):
                continue
            name = row.label or row.vma.name
            verdict = target.judge(row, advice)
            if advice is Advice.COLLAPSE and verdict.will is Expectation.YES:
                holes = row.vma.size_bytes // 4
                verdict = replace(verdict, reasons=(ReasonBytes(Reason.RSS_GROWS, holes),))
            planned.append(
                PlannedRange(
                    row.vma.range, name, row.vma.identity, row.kind, replace(verdict, is_estimate=False)
                )
            )
        return TargetPlan(
            process=target.process,
            name=target.name,
            ranges=tuple(planned),
            freeze=freeze or Freeze.PTRACE,
            freeze_is_ours=freeze is None,
            blocked=self.blocked.get(target.process.pid),
            generation=target.generation,
        )

    def freeze_choices(self, target: Target) -> list[FreezeChoice]:
        return [
            FreezeChoice(Freeze.OFF, True, threads=3),
            FreezeChoice(Freeze.PTRACE, True, threads=3),
            FreezeChoice(Freeze.SIGSTOP, True, threads=3, parent="process 1 ([/x])"),
            FreezeChoice(
                Freeze.CGROUP, False, Reason.FREEZE_REFUSED, "no cgroup v2 hierarchy is mounted here"
            ),
        ]

    def apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[TargetReport], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> tuple[TargetReport, ...]:
        with self._one_job:
            return self._apply(plan, on_progress, on_target, cancelled)

    def _apply(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None,
        on_target: Callable[[TargetReport], None] | None,
        cancelled: threading.Event | None,
    ) -> tuple[TargetReport, ...]:
        self._begin(cancelled)
        self.applied.append(plan)
        self.calls.append(f"apply {plan.advice.value}")
        if self.apply_error is not None:
            raise self.apply_error
        reports = []
        for number, target in enumerate(plan.targets):
            name, reason = f"{len(self.applied)}-{number}", self._why_not(target)
            reports.append(
                _refused(target, name, reason)
                if reason is not None
                else self._apply_target(plan, target, name, on_progress)
            )
            self._reports[reports[-1].id] = reports[-1]
            self.entries.append(_entry(plan.advice, reports[-1]))
            opened = self._pool.get(target.generation)
            if reports[-1].pages_seen and opened is not None and opened.acquire():
                self.refaults.keep(reports[-1].id, FakeCounter(self, reports[-1].id), opened)
            if on_target is not None:
                on_target(reports[-1])
        return tuple(reports)

    def _why_not(self, target: TargetPlan) -> Reason | None:
        """Return why nothing can be tried on a target."""
        if target.blocked is not None or self._cancelled.is_set():
            return target.blocked or Reason.CANCELLED
        opened = self._pool.get(target.generation)
        if opened is None or opened.standing_now is not Liveness.ALIVE:
            return Reason.EXECED if opened and opened.standing_now is Liveness.EXECED else Reason.EXITED
        return None

    def _begin(self, cancelled: threading.Event | None) -> None:
        self._cancelled = cancelled or threading.Event()
        if self._is_released:
            self._cancelled.set()

    @property
    def was_cancelled(self) -> bool:
        """Whether the job that runs, or ran last, was cancelled."""
        return self._cancelled.is_set()

    def _apply_target(
        self, plan: Plan, target: TargetPlan, name: str, on_progress: Callable[[Progress], None] | None
    ) -> TargetReport:
        ranges = []
        done = 0
        for calls, item in enumerate(target.ranges, 1):
            if on_progress is not None:
                on_progress(
                    Progress(f"{target.process.pid} {target.name}", done, target.requested_bytes, calls, True)
                )
            if self.gate is not None:
                self.gate.wait(120)
            if self._cancelled.is_set():
                ranges.append(RangeReport(item, reason=Reason.CANCELLED))
            else:
                ranges.append(self._advise(plan.advice, target, item))
            done += item.requested_bytes
        moved = sum(item.moved_bytes or 0 for item in ranges) if plan.advice is Advice.PAGEOUT else None
        report = TargetReport(
            id=name,
            action_id=name,
            time="2026-01-02T03:04:05Z",
            planned=target,
            freeze=target.freeze,
            ranges=ranges,
            moved_bytes=moved,
            pages_seen=bool(moved),
            swap_kinds=frozenset({SwapKind.DISK}),
            calls=len(ranges),
            holds=1,
            elapsed_ms=48.0,
            held_ms=0.0 if target.freeze is Freeze.OFF else 31.4,
            longest_held_ms=0.0 if target.freeze is Freeze.OFF else 31.4,
            effect=_effect(plan.advice, moved, sum(item.swapped_bytes or 0 for item in ranges)),
            **_total_outcome(ranges),  # type: ignore[arg-type]
        )
        return report

    def _advise(self, advice: Advice, target: TargetPlan, item: PlannedRange) -> RangeReport:
        page = next(page for page in self._held[target.process] if page.vma.range == item.range)
        before, swap_before = page.rss_bytes, page.swap_bytes
        report = RangeReport(item, 0, None, before, before, swap_before, swap_before)
        if item.verdict.refused:
            return report._replace(
                outcome=Outcome.REFUSED,
                reason=item.verdict.main_reason,
                moved_bytes=0 if advice is Advice.PAGEOUT else None,
            )
        report = report._replace(advised_bytes=item.requested_bytes)
        if advice is not Advice.PAGEOUT:
            return report._replace(outcome=Outcome.DONE, reason=None)
        moved = item.verdict.forecast_bytes or 0
        page.rss_bytes = (before or 0) - moved
        page.swap_bytes = (swap_before or 0) + (0 if page.vma.inode else moved)
        outcome = Outcome.NO_EFFECT if not moved else Outcome.DONE if moved == before else Outcome.PARTIAL
        return report._replace(
            moved_bytes=moved,
            rss_after_bytes=page.rss_bytes,
            swap_after_bytes=page.swap_bytes,
            swapped_bytes=0 if page.vma.inode else moved,
            cache_delta_bytes=-moved if page.vma.inode else None,
            outcome=outcome,
            reason=None if outcome is Outcome.DONE else item.verdict.main_reason,
        )

    def thaw_now(self) -> None:
        self.calls.append("thaw_now")
        self._cancelled.set()

    def prepare(self) -> None:
        """There is nothing to get ready."""

    def release(self) -> None:
        self.calls.append("release")
        self._is_released = True
        self._cancelled.set()

    # Afterwards

    def plan_restore(
        self,
        action: str | None = None,
        *,
        whose: Whose = Whose.SESSION,
        pid: int | None = None,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestorePlan, ...]:
        assert whose is Whose.SESSION, "the screen asks for its own"
        self.calls.append(f"plan_restore {action}")
        if self.restore_error is not None:
            raise self.restore_error
        if action is None:
            action = next((entry.id for entry in reversed(self.entries) if entry.moved_bytes), None)
        report = self._reports.get(action or "")
        if report is None:
            raise MemtuiError(Reason.NO_SUCH_ACTION, f"action {action}")
        blocked = self.restore_blocked or (None if report.moved_bytes else Reason.NOTHING_MOVED)
        if report.id in self._all_back:
            blocked = Reason.ALL_BACK
        planned = report.planned
        return (
            RestorePlan(
                id=report.id,
                time=report.time,
                process=planned.process,
                name=planned.name,
                advice="pageout" if report.moved_bytes is not None else "cold",
                moved_bytes=report.moved_bytes,
                wanted_bytes=0 if blocked else (report.moved_bytes or 0) - (self.back_now or 0),
                blocked=blocked,
            ),
        )

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> tuple[RestoreReport, ...]:
        reports = []
        with self._one_job:
            self._begin(cancelled)
            self.calls.append("restore " + " ".join(plan.id for plan in plans))
            for plan in plans:
                reports.append(self._restore_target(plan, on_progress))
                if on_target is not None:
                    on_target(reports[-1])
        return tuple(reports)

    def _restore_target(
        self, plan: RestorePlan, on_progress: Callable[[Progress], None] | None
    ) -> RestoreReport:
        if plan.blocked is not None or self._cancelled.is_set():
            reason = plan.blocked or Reason.CANCELLED
            nothing_to_do = reason in (Reason.ALL_BACK, Reason.NOTHING_MOVED)
            return RestoreReport(
                planned=plan,
                time="2026-01-02T03:05:06Z",
                wanted_bytes=plan.wanted_bytes,
                restored_bytes=0,
                also_back_bytes=0,
                still_out_bytes=plan.wanted_bytes,
                outcome=Outcome.NO_EFFECT if nothing_to_do else outcome_of_refusal(reason),
                reason=reason,
                reason_text=reason.text,
            )
        self.refaults.end(plan.id)
        wanted, done = plan.wanted_bytes or 0, 0
        for step in range(4):
            if on_progress is not None:
                on_progress(Progress(f"{plan.process.pid} {plan.name}", done, wanted, step, False))
            if self.gate is not None:
                self.gate.wait(120)
            if self._cancelled.is_set():
                break
            done += wanted // 4
        if done:
            self.refaults.unfollow(plan.id)
        if done == wanted:
            self._all_back.add(plan.id)
        for page, moved in zip(self._held[plan.process], self._reports[plan.id].ranges, strict=False):
            if done == wanted and page.vma.range == moved.planned.range:
                page.rss_bytes, page.swap_bytes = moved.rss_before_bytes, moved.swap_before_bytes
        self.entries = [
            entry._replace(restored_bytes=done) if entry.id == plan.id else entry for entry in self.entries
        ]
        return RestoreReport(
            planned=plan,
            time="2026-01-02T03:05:06Z",
            wanted_bytes=wanted,
            restored_bytes=done,
            also_back_bytes=0,
            still_out_bytes=wanted - done,
            outcome=Outcome.DONE if done == wanted else Outcome.CANCELLED,
            reason=None if done == wanted else Reason.CANCELLED,
            seen=Restored(plan.moved_bytes or 0, (plan.moved_bytes or 0) - wanted, wanted, done, 0, {}, {}),
            warning=self.unrecorded_now,
        )

    def mappers(self, target: Target, row: MappedVma, *, cancelled: threading.Event | None = None) -> Sharers:
        self.calls.append("mappers")
        if cancelled is not None and cancelled.is_set():
            raise MemtuiError(Reason.CANCELLED)
        while self.mapping is not None and not self.mapping.wait(0.005):
            if cancelled is not None and cancelled.is_set():
                self.calls.append("mappers cancelled")
                raise MemtuiError(Reason.CANCELLED)
        return Sharers((Sharer(811, "postgres"), Sharer(7000, HOSTILE[2])), 1)

    def history(self, last: int | None = None) -> History:
        self.calls.append(f"history {last}")
        entries = tuple(self.entries if last is None else self.entries[-last:])
        return History(entries, 0, len(entries) == len(self.entries))

    def doctor(self, pid: int | None = None) -> list[Finding]:
        return []

    def close(self) -> None:
        self.calls.append("close")
        self.refaults.close(self._pool.close)


class FakeCounter:
    """Counts the refaults of a made-up report: they are what the host says."""

    def __init__(self, host: FakeHost, report_id: str) -> None:
        self._host = host
        self._report_id = report_id
        self._began = host.clock()

    @property
    def age_s(self) -> float:
        return self._host.clock() - self._began

    def count(self) -> RefaultSample:
        self._host.looks.append((self._report_id, False))
        return RefaultSample(self.age_s, self._host.back_now, 3, 0.4)


class FakeLedger:
    """What a RefaultMonitor needs of a ledger."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.pages = self

    def is_held_for_restore(self, _report_id: str) -> bool:
        return False

    def follow(self) -> Callable[[], list[Event]]:
        return lambda: [Event("restored", {"id": name}) for name in self._host.put_back_elsewhere]

    def write(self, _kind: str, fields: Mapping[str, object]) -> None:
        self._host.looks[-1] = (str(fields["id"]), True)
        if self._host.unrecorded_now is not None:
            raise MemtuiError(Reason.LEDGER_UNWRITABLE, "", self._host.unrecorded_now)


def _refused(target: TargetPlan, name: str, reason: Reason) -> TargetReport:
    """Report a target on which nothing was tried."""
    outcome = outcome_of_refusal(reason)
    words = cancelled_words(has_begun=False) if reason is Reason.CANCELLED else reason.text
    return TargetReport(
        id=name,
        action_id=name,
        time="2026-01-02T03:04:05Z",
        planned=target,
        freeze=Freeze.OFF,
        ranges=[RangeReport(item, outcome=outcome, reason=reason, detail=words) for item in target.ranges],
        outcome=outcome,
        reason=reason,
        reason_text=target.blocked_text or words,
    )


def _effect(advice: Advice, moved: int | None, swapped: int) -> Effect:
    if advice is Advice.PAGEOUT:
        return Effect(-(moved or 0), swapped, None, moved, 0)
    if advice is Advice.COLD:
        return Effect(0, 0, -31 * MIB, 0, 0)
    return Effect(0, 0, None, -2 * MIB, 2 * MIB)


def _entry(advice: Advice, report: TargetReport) -> HistoryEntry:
    return HistoryEntry(
        id=report.id,
        action_id=report.action_id,
        time=report.time,
        operator={
            "uid": 0,
            "login_uid": 1000,
            "sudo_user": HOSTILE[0],
            "tty": "/dev/pts/1",
            "ssh_connection": None,
        },
        target={
            "pid": report.planned.process.pid,
            "start_time": report.planned.process.start_time,
            "name": report.planned.name,
        },
        advice=advice.value,
        freeze=report.freeze.value,
        requested_bytes=report.requested_bytes,
        forecast_bytes=report.planned.forecast_bytes,
        advised_bytes=report.advised_bytes,
        moved_bytes=report.moved_bytes,
        outcome=report.outcome.value,
        back=[],
        restored_bytes=None,
    )


def _total_outcome(ranges: Sequence[RangeReport]) -> dict[str, object]:
    outcomes = {item.outcome for item in ranges}
    if len(outcomes) == 1:
        return {"outcome": ranges[0].outcome, "reason": ranges[0].reason}
    first = next((item.reason for item in ranges if item.reason is not None), None)
    return {"outcome": Outcome.PARTIAL, "reason": first}


def grown(page: FakeVma, by_bytes: int) -> FakeVma:
    """Return a VMA that has grown at its end."""
    return replace(page, vma=replace(page.vma, end=page.vma.end + by_bytes))

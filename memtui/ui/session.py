"""What one run of the TUI holds: the host, its threads, the marks. Nothing of it is drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from memtui.host import Host, MachineState, Selection, Target
from memtui.linux.own_threads import start_thread
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark, Plan
from memtui.model.verdict import MachineFacts, Verdict
from memtui.ui.marking import eligible
from memtui.ui.marks import MarkBook
from memtui.ui.messages import Post, Said
from memtui.ui.workers.map_queries import MapQueries
from memtui.ui.workers.plan_executor import PlanExecutor
from memtui.ui.workers.query_worker import QueryWorker
from memtui.ui.workers.sampler import Sampler, words_of

if TYPE_CHECKING:
    from textual.message import Message
    from textual.screen import Screen

    from memtui.host import History
    from memtui.model.freeze import FreezeChoice
    from memtui.model.process import ProcessId
    from memtui.model.restore import RestorePlan, Sharers
    from memtui.model.vma import MappedVma
    from memtui.ui.options import UiOptions

FREEZE_CHOICES: tuple[Freeze | None, ...] = (
    None,
    Freeze.PTRACE,
    Freeze.OFF,
    Freeze.SIGSTOP,
    Freeze.CGROUP,
)
"""What the freeze key cycles through; None leaves the choice to the host."""

HISTORY_ENTRIES = 500
"""How many of the ledger's last entries are shown."""

Failed = Callable[[str], object]
"""Gets the words, raw, of what went wrong."""


class FoundMarks(NamedTuple):
    """What can be marked in a whole process. ``target`` is handed over: the receiver gives it back."""

    target: Target
    marks: tuple[Mark, ...]
    left_out: int


class Session:
    """One run. Used by the UI thread; its threads post their messages with ``post``.

    With ``read_only`` there is no executor, and so nothing that could act, or be looked back at.
    """

    def __init__(self, host: Host, options: UiOptions, post: Post, *, sampling: bool = True) -> None:
        self.host = host
        self.options = options
        self._post = post
        self.marks = MarkBook()
        self.freeze: Freeze | None = options.freeze
        self.facts = MachineFacts(swap_free_bytes=None, huge_page_bytes=None)
        self.machine: MachineState | None = None
        self.is_quitting = False
        """Whether the operator wants to quit, and a plan is awaited."""
        post = self.post
        self.sampler = Sampler(host, post, options.interval_s) if sampling else None
        self.executor = None if options.read_only else PlanExecutor(host, post, follows=sampling)
        self.queries = QueryWorker("memtui-queries", post)
        """Asks the host what is answered soon."""
        self.searches = QueryWorker("memtui-searches", post)
        """Asks the host what may take long, and holds up no plan."""
        self.map_worker = QueryWorker("memtui-map", post)
        """Sorts, filters and searches a map that is too long for the UI thread."""
        self.map_queries = MapQueries(self.map_worker)

    def post(self, message: Message) -> object:
        """Hand a message to the screen, from any thread."""
        return self._post(message)

    def post_with(self, post: Post) -> None:
        """Hand messages to the screen in another way from now on."""
        self._post = post

    def start(self) -> None:
        """Start the threads; with a process that was named, the sampler begins with that.

        Raises:
            MemtuiError: NO_TASKS.
        """
        if self.sampler is not None and self.options.pid is not None:
            self.sampler.find(self.options.pid)
        for thread in self._threads:
            if thread is not None:
                start_thread(thread)

    @property
    def _threads(self) -> tuple[Sampler | PlanExecutor | QueryWorker | None, ...]:
        return self.sampler, self.executor, self.queries, self.searches, self.map_worker

    def prepare(self) -> None:
        """Have at hand what acting needs; once the screen stands."""
        self.queries.ask(lambda _cancelled: self.host.prepare())
        self.queries.ask(lambda _cancelled: _import_dialogs())

    def stop(self) -> None:
        """Tell the threads to end; waits for none of them, since each may be stuck in the kernel."""
        for thread in self._threads:
            if thread is not None:
                thread.stop()

    def release(self) -> None:
        """Cancel what runs, and have everything released at once. From any thread; takes no lock."""
        if self.executor is not None:
            self.executor.cancel()
        self.host.release()

    def close_queue(self) -> bool:
        """Begin nothing any more, and cancel what runs; return whether that is to be waited for."""
        return self.executor is not None and self.executor.close()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs any more; return whether that came to pass."""
        return self.executor is None or self.executor.wait_idle(timeout_s)

    def choose(self, process: ProcessId | None) -> None:
        """Have another map looked at."""
        if self.sampler is not None:
            self.sampler.choose(process)

    def pause(self, paused: bool) -> None:
        """Have nothing read, or go on."""
        if self.sampler is not None:
            self.sampler.pause(paused)

    def cycle_freeze(self) -> None:
        """Choose the next freeze method for the plans to come."""
        at = FREEZE_CHOICES.index(self.freeze) if self.freeze in FREEZE_CHOICES else -1
        self.freeze = FREEZE_CHOICES[(at + 1) % len(FREEZE_CHOICES)]

    def acquire_all(self, wanted: Sequence[Selection]) -> tuple[Target, ...] | None:
        """Become a user of the handles of a plan to be; None if one of them is closed already."""
        taken: list[Target] = []
        for item in wanted:
            if not item.target.acquire():
                self.release_all(taken)
                return None
            taken.append(item.target)
        return tuple(taken)

    def release_all(self, targets: Sequence[Target]) -> None:
        """Stop using handles."""
        for target in targets:
            target.release()

    # What the host is asked. Answers come on the UI thread, while the screen that asks is open.

    def ask_plan(
        self,
        screen: Screen[Plan | None],
        advice: Advice,
        wanted: Sequence[Selection],
        then: Callable[[Plan, tuple[FreezeChoice, ...]], object],
        failed: Failed,
        *,
        thorough: bool,
    ) -> threading.Event:
        """Make a plan, and say what each freeze method would do to its first target."""
        freeze = self.freeze

        def question(cancelled: threading.Event) -> tuple[Plan, tuple[FreezeChoice, ...]]:
            plan = self.host.plan(advice, wanted, freeze, thorough=thorough, cancelled=cancelled)
            return plan, tuple(self.host.freeze_choices(wanted[0].target))

        return self.queries.ask(
            question, lambda answer: then(*answer), failed=failed, subject="plan", screen=screen
        )

    def ask_restore(
        self,
        screen: Screen[tuple[RestorePlan, ...] | None],
        action: str | None,
        then: Callable[[tuple[RestorePlan, ...]], object],
        failed: Failed,
    ) -> threading.Event:
        """Look up what could be put back. It may take long, and holds up no plan."""
        return self.searches.ask(
            lambda cancelled: self.host.plan_restore(action, cancelled=cancelled),
            then,
            failed=failed,
            screen=screen,
        )

    def ask_history(self, screen: Screen[None], then: Callable[[History], object], failed: Failed) -> None:
        """Read the end of the ledger."""
        self.queries.ask(
            lambda _cancelled: self.host.history(last=HISTORY_ENTRIES), then, failed=failed, screen=screen
        )

    def ask_verdicts(
        self,
        screen: Screen[None] | None,
        target: Target,
        row: MappedVma,
        then: Callable[[tuple[tuple[Advice, Verdict], ...]], object],
        failed: Failed,
    ) -> threading.Event:
        """Judge a VMA as a plan for it alone would, for each advice."""

        def question(cancelled: threading.Event) -> tuple[tuple[Advice, Verdict], ...]:
            wanted = (Selection(target, (Mark(row.vma.range, row.vma.identity),)),)
            found = []
            for advice in Advice:
                plan = self.host.plan(advice, wanted, Freeze.OFF, cancelled=cancelled)
                ranges = [item for of in plan.targets for item in of.ranges]
                # None where its pages may not be looked at: what the map tells must do then.
                verdict = ranges[0].verdict if len(ranges) == 1 else target.judge(row, advice)
                found.append((advice, verdict))
            return tuple(found)

        return self.queries.ask(question, then, failed=failed, target=target, screen=screen)

    def ask_mappers(
        self,
        screen: Screen[None],
        target: Target,
        row: MappedVma,
        then: Callable[[Sharers], object],
        failed: Failed,
    ) -> threading.Event:
        """Find who else maps the file of a VMA. It may take long, and holds up no plan."""
        return self.searches.ask(
            lambda cancelled: self.host.mappers(target, row, cancelled=cancelled),
            then,
            failed=failed,
            target=target,
            screen=screen,
        )

    def ask_marks(self, process: ProcessId, then: Callable[[FoundMarks], object]) -> None:
        """Look all of a process through for what can be marked."""

        def answered(found: FoundMarks | None) -> None:
            if found is not None:
                then(found)

        self.queries.ask(lambda _cancelled: self._find_marks(process), answered)

    def _find_marks(self, process: ProcessId) -> FoundMarks | None:
        target = self.host.open(process.pid)
        try:
            if target.process != process:
                self.post(Said(f"process {process.pid} has exited; its pid is another's now", bad=True))
                return None
            space = target.look(details=True)
            chosen, left_out = eligible(space, range(len(space)), self.host.facts())
            marks = tuple(Mark(vma.range, vma.identity) for vma in chosen)
            target.acquire()
            return FoundMarks(target, marks, left_out)
        finally:
            target.release()

    def submit(self, plan: Plan, targets: tuple[Target, ...]) -> None:
        """Have a plan carried out.

        Raises:
            PermissionError: in a session that only reads.
        """
        if self.executor is None:
            self.release_all(targets)
            raise PermissionError("this session only reads")
        self.executor.submit(plan, targets)

    def submit_restore(self, plans: tuple[RestorePlan, ...]) -> None:
        """Have it put back.

        Raises:
            PermissionError: in a session that only reads.
        """
        if self.executor is None:
            raise PermissionError("this session only reads")
        self.executor.submit_restore(plans)

    def thaw(self) -> threading.Thread | None:
        """Empty the queue, cancel the plan and have everything released, without waiting for it.

        Returns the thread that does it, or None in a session that only reads, and where it is done already.
        """
        if self.executor is None:
            return None
        ended = self.executor.empty()

        def thaw_now() -> None:
            try:
                self.host.thaw_now()
            except Exception as error:
                self.post(Said(f"release all: {words_of(error)}", bad=True))
            else:
                plans = "the plan is cancelled" if ended == 1 else f"{ended} plans are cancelled"
                if not ended:
                    plans = "nothing was running"
                self.post(Said(f"Release all: {plans}, and the guard was told to release every target"))

        thread = threading.Thread(target=thaw_now, name="memtui-thaw", daemon=True)
        try:
            start_thread(thread)
        except MemtuiError:
            # Nothing may keep it from being done: this thread must do.
            thaw_now()
            return None
        return thread


def _import_dialogs() -> None:
    """Import all screens and the filters, before memory is short, or another version of them is installed."""
    for name in ("help", "history", "lines", "plan", "restore", "result"):
        import_module(f"memtui.ui.screens.{name}")
    import_module("memtui.model.filter")

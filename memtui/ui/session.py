"""What one run of the TUI holds: the host, its threads, the marks. Nothing of it is drawn."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.host import Host, MachineState, Target, Wanted
from memtui.linux.own_threads import start_thread
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark, Plan
from memtui.model.reasons import Reason
from memtui.model.verdict import MachineFacts, Verdict
from memtui.ui.arranger import Arranger
from memtui.ui.dialogs import import_dialogs
from memtui.ui.finder import Finder
from memtui.ui.marking import eligible
from memtui.ui.marks import MarkBook, Shelf
from memtui.ui.messages import (
    Judged,
    LedgerRead,
    MappersFound,
    MarksFound,
    Planned,
    Post,
    RestorePlanned,
    Said,
)
from memtui.ui.operator import Clerk, Operator
from memtui.ui.sampler import Sampler, words_of
from memtui.ui.watcher import Watcher

if TYPE_CHECKING:
    from memtui.model.process import ProcessId
    from memtui.model.restore import RestorePlan
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

LEDGER_ENTRIES = 500
"""How many of the ledger's last entries are shown."""


class Session:
    """One run. Used by the UI thread; its threads post their messages with ``post``.

    With ``read_only`` there is no operator thread, and so nothing that could act, or be looked back at.
    """

    def __init__(self, host: Host, options: UiOptions, post: Post, *, sampling: bool = True) -> None:
        self.host = host
        self.options = options
        self.post = post
        self.shelf = Shelf()
        self.marks = MarkBook(self.shelf)
        self.freeze: Freeze | None = options.freeze
        self.facts = MachineFacts(swap_free_bytes=None, huge_page_bytes=None)
        self.machine: MachineState | None = None
        self.is_quitting = False
        """Whether the operator wants to quit, and a plan is awaited."""
        self.sampler = Sampler(host, self.shelf, post, options.interval_s) if sampling else None
        self.watcher = Watcher(host, post) if sampling and not options.read_only else None
        self.operator = None if options.read_only else Operator(host, self.shelf, post, self.watcher)
        self.clerk = Clerk(post)
        self.searcher = Clerk(post, "memtui-searcher")
        self.arranger = Arranger(post)
        self.finder = Finder(self.arranger, self.shelf, post)

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
    def _threads(self) -> tuple[Sampler | Operator | Watcher | Clerk | Arranger | None, ...]:
        return self.sampler, self.operator, self.watcher, self.clerk, self.searcher, self.arranger

    def prepare(self) -> None:
        """Have at hand what acting needs; once the screen stands."""
        self.clerk.ask(self.host.prepare)
        self.clerk.ask(import_dialogs)

    def stop(self) -> None:
        """Tell the threads to end; waits for none of them, since each may be stuck in the kernel."""
        for thread in self._threads:
            if thread is not None:
                thread.stop()

    def close_queue(self) -> bool:
        """Begin nothing any more, and cancel what runs; return whether that is to be waited for."""
        return self.operator is not None and self.operator.close()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs any more; return whether that came to pass."""
        return self.operator is None or self.operator.wait_idle(timeout_s)

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

    def take(self, wanted: Sequence[Wanted]) -> tuple[Target, ...] | None:
        """Become a user of the handles of a plan to be; None if one of them is closed already."""
        taken: list[Target] = []
        for item in wanted:
            if not self.shelf.take(item.target):
                self.give_back(taken)
                return None
            taken.append(item.target)
        return tuple(taken)

    def give_back(self, targets: Sequence[Target]) -> None:
        """Stop using handles."""
        for target in targets:
            self.shelf.give_back(target)

    def ask_plan(
        self,
        turn: int,
        advice: Advice,
        wanted: Sequence[Wanted],
        freeze: Freeze | None,
        *,
        thorough: bool,
        cancelled: threading.Event,
    ) -> None:
        """Have a plan made, unless ``cancelled``; the answer is a Planned with the same turn."""

        def question() -> None:
            try:
                if cancelled.is_set():
                    raise MemtuiError(Reason.CANCELLED)
                plan = self.host.plan(advice, wanted, freeze, thorough=thorough, cancelled=cancelled)
                choices = self.host.freeze_choices(wanted[0].target)
            except Exception as error:  # The dialog waits for an answer, and shows this one.
                self.post(Planned(turn, None, words_of(error)))
            else:
                self.post(Planned(turn, plan, "", tuple(choices)))

        self.clerk.ask(question)

    def ask_restore(self, turn: int, action: str | None, cancelled: threading.Event) -> None:
        """Have it looked what could be put back, unless ``cancelled``.

        The answer is a RestorePlanned with the same turn. It may take long, and holds up no plan.
        """

        def question() -> None:
            if cancelled.is_set():
                return
            try:
                self.post(RestorePlanned(turn, self.host.plan_restore(action, cancelled=cancelled), ""))
            except Exception as error:  # The dialog waits for an answer, and shows this one.
                self.post(RestorePlanned(turn, None, words_of(error)))

        self.searcher.ask(question)

    def ask_ledger(self) -> None:
        """Have the end of the ledger read; the answer is a LedgerRead."""

        def question() -> None:
            try:
                self.post(LedgerRead(self.host.history(last=LEDGER_ENTRIES), ""))
            except Exception as error:  # The screen waits for an answer, and shows this one.
                self.post(LedgerRead(None, words_of(error)))

        self.clerk.ask(question)

    def ask_verdicts(
        self, turn: int, target: Target, row: MappedVma, *, others: bool, cancelled: threading.Event
    ) -> None:
        """Have a VMA judged as a plan would judge it, and with ``others`` looked who else maps its file.

        Gives the handle back.

        The answers are a Judged and a MappersFound with the same turn. The second may take long: it
        holds up no plan, and is not looked for any more once it is ``cancelled``.
        """

        def judge() -> None:
            try:
                if not cancelled.is_set():
                    self.post(Judged(turn, self._verdicts(target, row, cancelled)))
            except Exception as error:  # The screen waits for an answer, and shows this one.
                self.post(MappersFound(turn, None, words_of(error)))
            finally:
                self.shelf.give_back(target)

        def search() -> None:
            try:
                if not cancelled.is_set():
                    self.post(MappersFound(turn, self.host.mappers(target, row, cancelled=cancelled), ""))
            except Exception as error:  # The screen waits for an answer, and shows this one.
                self.post(MappersFound(turn, None, words_of(error)))
            finally:
                self.shelf.give_back(target)

        search_too = others and self.shelf.take(target)
        self.clerk.ask(judge)
        if search_too:
            self.searcher.ask(search)

    def _verdicts(
        self, target: Target, row: MappedVma, cancelled: threading.Event
    ) -> tuple[tuple[Advice, Verdict], ...]:
        """Return what a plan for this VMA alone would expect of each advice."""
        wanted = (Wanted(target, (Mark(row.vma.range, row.vma.identity),)),)
        found = []
        for advice in Advice:
            plan = self.host.plan(advice, wanted, Freeze.OFF, cancelled=cancelled)
            ranges = [item for of in plan.targets for item in of.ranges]
            # None where its pages may not be looked at: what the map tells must do then.
            verdict = ranges[0].verdict if len(ranges) == 1 else target.judge(row, advice)
            found.append((advice, verdict))
        return tuple(found)

    def ask_marks(self, process: ProcessId) -> None:
        """Have all of a process looked through for what can be marked; answers with a MarksFound."""
        self.clerk.ask(lambda: self._find_marks(process))

    def _find_marks(self, process: ProcessId) -> None:
        try:
            target = self.host.open(process.pid)
        except MemtuiError as error:
            self.post(Said(words_of(error), bad=True))
            return
        self.shelf.put(target)
        try:
            if target.process != process:
                self.post(Said(f"process {process.pid} has exited; its pid is another's now", bad=True))
                return
            space = target.look(details=True)
            chosen, left_out = eligible(space, range(len(space)), self.host.facts())
            marks = tuple(Mark(vma.range, vma.identity) for vma in chosen)
            self.shelf.take(target)
            self.post(MarksFound(target, marks, left_out))
        except MemtuiError as error:
            self.post(Said(words_of(error), bad=True))
        finally:
            self.shelf.give_back(target)

    def submit(self, plan: Plan, targets: tuple[Target, ...]) -> None:
        """Have a plan carried out.

        Raises:
            PermissionError: in a session that only reads.
        """
        if self.operator is None:
            self.give_back(targets)
            raise PermissionError("this session only reads")
        self.operator.submit(plan, targets)

    def submit_restore(self, plans: tuple[RestorePlan, ...]) -> None:
        """Have it put back.

        Raises:
            PermissionError: in a session that only reads.
        """
        if self.operator is None:
            raise PermissionError("this session only reads")
        self.operator.submit_restore(plans)

    def thaw(self) -> threading.Thread | None:
        """Empty the queue, cancel the plan and have everything released, without waiting for it.

        Returns the thread that does it, or None in a session that only reads, and where it is done already.
        """
        if self.operator is None:
            return None
        ended = self.operator.empty()

        def thaw_now() -> None:
            try:
                self.host.thaw_now()
            except Exception as error:
                self.post(Said(f"thaw: {words_of(error)}", bad=True))
            else:
                plans = "the plan is cancelled" if ended == 1 else f"{ended} plans are cancelled"
                if not ended:
                    plans = "nothing was running"
                self.post(Said(f"Thaw: {plans}, and the guard was told to let everything go"))

        thread = threading.Thread(target=thaw_now, name="memtui-thaw", daemon=True)
        try:
            start_thread(thread)
        except MemtuiError:
            # Nothing may keep it from being done: this thread must do.
            thaw_now()
            return None
        return thread

"""What one run of the TUI holds: the host, its threads, the marks. Nothing of it is drawn."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from memtui.host import Host, Target, Wanted
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.plan import Freeze, Mark, Plan
from memtui.model.process import ProcessId
from memtui.model.verdict import MachineFacts
from memtui.ui.marks import MarkBook, Shelf
from memtui.ui.messages import MarksFound, Planned, Post, Said
from memtui.ui.operator import Clerk, Operator
from memtui.ui.options import UiOptions
from memtui.ui.sampler import Sampler, words_of

FREEZE_CHOICES: tuple[Freeze | None, ...] = (
    None,
    Freeze.PTRACE,
    Freeze.OFF,
    Freeze.SIGSTOP,
    Freeze.CGROUP,
)
"""What the freeze key cycles through; None leaves the choice to the host."""


class Session:
    """One run. Used by the UI thread; its threads post their messages with ``post``.

    With ``read_only`` there is no operator thread, and so nothing that could act.
    """

    def __init__(self, host: Host, options: UiOptions, post: Post, *, sampling: bool = True) -> None:
        self.host = host
        self.options = options
        self.post = post
        self.shelf = Shelf()
        self.marks = MarkBook(self.shelf)
        self.freeze: Freeze | None = options.freeze
        self.facts = MachineFacts(swap_free_bytes=None, huge_page_bytes=None)
        self.sampler = Sampler(host, self.shelf, post, options.interval_s) if sampling else None
        self.operator = None if options.read_only else Operator(host, self.shelf, post)
        self.clerk = Clerk(post)

    def start(self) -> None:
        """Start the threads."""
        for thread in (self.sampler, self.operator, self.clerk):
            if thread is not None:
                thread.start()

    def stop(self) -> None:
        """Tell the threads to end; waits for none of them, since each may be stuck in the kernel."""
        for thread in (self.sampler, self.operator, self.clerk):
            if thread is not None:
                thread.stop()

    def choose(self, process: ProcessId | None) -> None:
        """Have another map looked at."""
        if self.sampler is not None:
            self.sampler.choose(process)

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

    def ask_plan(self, turn: int, advice: Advice, wanted: Sequence[Wanted], freeze: Freeze | None) -> None:
        """Have a plan made; the answer is a Planned with the same turn."""

        def question() -> None:
            try:
                plan = self.host.plan(advice, wanted, freeze)
                choices = self.host.freeze_choices(wanted[0].target)
            except Exception as error:  # The dialog waits for an answer, and shows this one.
                self.post(Planned(turn, None, words_of(error)))
            else:
                self.post(Planned(turn, plan, "", tuple(choices)))

        self.clerk.ask(question)

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
            eligible = [row for row in space.rows() if not target.judge(row, Advice.PAGEOUT).refused]
            marks = tuple(Mark(row.vma.range, row.vma.identity) for row in eligible)
            self.shelf.take(target)
            self.post(MarksFound(target, marks, len(space) - len(marks)))
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

    def thaw(self) -> threading.Thread | None:
        """Empty the queue, cancel the plan and have everything released, without waiting for it.

        Returns the thread that does it, or None in a session that only reads.
        """
        if self.operator is None:
            return None
        self.operator.empty()

        def thaw_now() -> None:
            try:
                self.host.thaw_now()
            except Exception as error:
                self.post(Said(f"thaw: {words_of(error)}", bad=True))
            else:
                self.post(Said("Thaw: the plan is cancelled, and the guard was told to let everything go"))

        thread = threading.Thread(target=thaw_now, name="memtui-thaw", daemon=True)
        thread.start()
        return thread

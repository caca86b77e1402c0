"""What is done from the main screen: plans, restores, explanations, the ledger; and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size
from memtui.model.result import RestoreResult, Result
from memtui.ui.commands import is_acting
from memtui.ui.dialogs import (
    Asks,
    explain_screen,
    ledger_screen,
    lines_screen,
    plan_screen,
    restore_screen,
    result_screen,
)
from memtui.ui.meant import what_is_meant
from memtui.ui.screens.layout import ThreePanes
from memtui.ui.widgets.finding import FindingPane
from memtui.ui.widgets.status import freeze_word, marks_words

if TYPE_CHECKING:
    from memtui.model.plan import Plan
    from memtui.model.process import Process
    from memtui.model.restore import RestorePlan
    from memtui.ui import messages as told
    from memtui.ui.session import Session


class DeedsScreen(ThreePanes):
    """The keys that act or ask, and the messages of the threads that answer."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._forecast: tuple[tuple[int, int], str] | None = None
        self._turn = 0

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what leads to a change where the session only reads."""
        return not (self.session.options.read_only and is_acting(action, parameters))

    def _hand_out(self, answer: object) -> None:
        """Hand an answer to the screens that are open, whichever lies over them."""
        for screen in self.app.screen_stack:
            if isinstance(screen, Asks):
                screen.take(answer)

    def action_back(self) -> None:
        """Drop a range in the making, or cancel what runs, or end a search or a filter, or go back a pane."""
        if self.marking.ranging:
            self.marking.abandon()
            self.refresh_marks()
        elif self.bottom.running and self.session.operator is not None:
            self.session.operator.cancel()
            self.bottom.run_cancelling()
        elif isinstance(self.current, FindingPane) and self.current.missed:
            self.current.give_up()
            self.bottom.say("")
        elif not (isinstance(self.current, FindingPane) and self.current.clear()):
            self.pane_before()

    def refresh_marks(self) -> None:
        """Show the marks, wherever they are shown."""
        self.map.show_marks()
        self.processes.show_marked(self.session.marks.counts)
        self.show_standing()

    def say_marked(self, words: str) -> None:
        """Say what became of the marks; it is told until they change."""
        if words:
            self.bottom.say(words, topic=self.session.marks.version)

    def show_standing(self) -> None:
        """Show what is marked, and how the next plan would hold its targets."""
        book, read_only = self.session.marks, self.session.options.read_only
        counts = book.counts
        words = marks_words(
            sum(counts.values()),
            book.stale,
            len(counts),
            book.count_bytes,
            self._forecast[1] if self._forecast and self._forecast[0] == (book.version, book.stale) else "",
            ranging=self.marking.ranging,
        )
        self.bottom.outdate(book.version)
        freeze = f"next freeze: {freeze_word(self.session.freeze)} "
        self.bottom.show_marks(
            SafeText("read only: nothing here can act") if read_only else words,
            SafeText("" if read_only else freeze),
        )

    # Plans

    def action_cycle_freeze(self) -> None:
        """Choose the freeze method of the next plan."""
        if not self.session.options.read_only:
            self.session.cycle_freeze()
            self.show_standing()

    def action_plan(self) -> None:
        """Open the plan dialog on the marks, or on what is under the cursor."""
        if self.session.operator is None:
            return
        if self.marking.ranging and self.map.shown is not None and self.map.cursor_vma is not None:
            self.marking.commit(self.map.shown, self.map.table.cursor)
            self.refresh_marks()
        wanted, words = what_is_meant(self.session.marks, self.map, self._process_under_cursor)
        if not wanted:
            self.bottom.say("Nothing is marked, and there is no map to take a VMA from", bad=True)
            return
        targets = self.session.take(wanted)
        if targets is None:
            self.bottom.say("The map is being opened anew: try again", bad=True)
            return

        def answered(plan: Plan | None) -> None:
            self.show_standing()
            if plan is None:
                self.session.give_back(targets)
            else:
                self.session.submit(plan, targets)
                self.bottom.plan_waits()

        self.app.push_screen(plan_screen(self.session, wanted, words), answered)

    def on_planned(self, message: told.Planned) -> None:
        """Hand a plan to the dialog that asked for it, and keep its forecast while it holds."""
        plan = message.plan
        if plan is not None and self.session.marks.counts:
            words = f"{plan.advice.value} forecast {size(plan.forecast_bytes)}"
            self._forecast = ((self.session.marks.version, self.session.marks.stale), words)
        self._hand_out(message)

    @property
    def _process_under_cursor(self) -> Process | None:
        return self.processes.under_cursor if self.current is self.processes else None

    # Restores

    def action_restore(self) -> None:
        """Ask whether to put back the result under the cursor, or else the last action of this session."""
        result = self.results.under_cursor if self.current is self.results else None
        self._ask_restore(None if result is None else result.id)

    def on_restore_asked(self, message: told.RestoreAsked) -> None:
        """Ask whether to put back what an entry of the ledger moved."""
        self._ask_restore(message.action)

    def _ask_restore(self, action: str | None) -> None:
        if self.session.operator is None:
            return

        def answered(plans: tuple[RestorePlan, ...] | None) -> None:
            if plans is not None:
                # Its progress, and the key that cancels it, are on the main screen.
                while self.app.screen is not self:
                    self.app.pop_screen()
                self.session.submit_restore(plans)
                self.bottom.plan_waits()

        self._turn += 1
        self.app.push_screen(restore_screen(self.session, self._turn, action), answered)

    def on_restore_planned(self, message: told.RestorePlanned) -> None:
        """Hand it to the dialog that asked."""
        self._hand_out(message)

    # To read

    def show_result(self) -> None:
        """Show the result under the cursor, range by range; of a restore there are only the totals."""
        result = self.results.under_cursor
        if isinstance(result, Result):
            self.app.push_screen(result_screen(result))
        elif result is not None:
            from memtui.render.restore import describe_restore_report

            self.app.push_screen(lines_screen(describe_restore_report(result.report)))

    def action_explain(self) -> None:
        """Explain what is under the cursor."""
        if self.current is self.results:
            result = self.results.under_cursor
            if isinstance(result, Result):
                from memtui.render.report import explain_result

                self.app.push_screen(lines_screen(explain_result(result)))
            else:
                self.show_result()
        elif self.current is self.map and self.map.view is not None and self.map.cursor_row is not None:
            self._explain_vma()
        else:
            self.bottom.say("x explains a VMA of the map, or a result: Tab goes there")

    def _explain_vma(self) -> None:
        view, row = self.map.view, self.map.cursor_row
        assert view is not None
        assert row is not None
        if not self.session.shelf.take(view.target):
            self.bottom.say("The map is being opened anew: try again", bad=True)
            return
        self._turn += 1
        whose = safe(f"VMA of {view.target.process.pid} {view.target.name}")
        screen = explain_screen(self._turn, row, whose)
        self.app.push_screen(screen)
        self.session.ask_verdicts(
            self._turn, view.target, row, others=screen.has_file, cancelled=screen.cancelled
        )

    def on_judged(self, message: told.Judged) -> None:
        """Hand the verdicts to the explanation that asked."""
        self._hand_out(message)

    def on_mappers_found(self, message: told.MappersFound) -> None:
        """Hand it to the explanation that asked."""
        self._hand_out(message)

    def action_ledger(self) -> None:
        """Show the ledger."""
        self.app.push_screen(ledger_screen(self.session))

    def on_ledger_read(self, message: told.LedgerRead) -> None:
        """Hand it to the screen that asked."""
        self._hand_out(message)

    # What the operator thread and the watcher do

    def on_run_started(self, message: told.RunStarted) -> None:
        """A plan or a restore began."""
        self.bottom.run_started(message.what)

    def on_run_progressed(self, message: told.RunProgressed) -> None:
        """It came further."""
        self.bottom.run_progressed(message.progress)

    def on_target_done(self, message: told.TargetDone) -> None:
        """It is done with one target."""
        self._add_result(Result(message.advice, message.report))

    def on_restore_done(self, message: told.RestoreDone) -> None:
        """A restore is done with one target."""
        self._add_result(RestoreResult(message.report))

    def _add_result(self, result: Result | RestoreResult) -> None:
        self.results.add(result)
        self.results.show_reason()
        if self.session.sampler is not None:
            self.session.sampler.look_now()

    def on_looked_back(self, message: told.LookedBack) -> None:
        """Count what came back, wherever the result is shown."""
        result = self.results.looked_back(message)
        if result is not None:
            self._hand_out(result)

    def on_restored_since(self, message: told.RestoredSince) -> None:
        """Say of a result that it was put back by another memtui."""
        result = self.results.restored_since(message.report_id)
        if result is not None:
            self._hand_out(result)

    def on_run_ended(self, message: told.RunEnded) -> None:
        """It is done; what was forecast before it is old."""
        self._forecast = None
        self.show_standing()
        self.bottom.run_ended(message.waiting)
        if self.session.is_quitting:
            self.app.exit()
        result = self.results.newest
        if message.words:
            self.bottom.say(message.words, bad=True, stays=True)
        elif isinstance(result, Result):
            from memtui.render.report import describe_result

            self.bottom.say(describe_result(result), stays=True)
        elif result is not None:
            from memtui.render.restore import describe_restored

            self.bottom.say(describe_restored(result.report), stays=True)

"""What runs and what came of it, on the main screen; and the screens that explain a result or a VMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import safe
from memtui.model.result import RestoreResult, Result

if TYPE_CHECKING:
    from memtui.ui.messages import LookedBack, RunEnded
    from memtui.ui.screens.main import MainScreen
    from memtui.ui.screens.result import ResultScreen


class ResultController:
    """Adds results to their pane, keeps them up to date, shows and explains them."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._session = screen.session
        self._open: ResultScreen | None = None

    def add(self, result: Result | RestoreResult) -> None:
        """Show what came of an action on one target."""
        self._screen.results.add(result)
        self._screen.results.show_reason()
        if self._session.sampler is not None:
            self._session.sampler.look_now()

    def show_refaults(self, message: LookedBack) -> None:
        """Show how much of what a result moved was faulted in again."""
        self._show_changed(self._screen.results.looked_back(message))

    def say_restored(self, report_id: str) -> None:
        """Show of a result that another memtui restored it."""
        self._show_changed(self._screen.results.restored_since(report_id))

    def _show_changed(self, result: Result | None) -> None:
        if result is not None and self._open is not None:
            self._open.show_result(result)

    def end_run(self, message: RunEnded) -> None:
        """Say what came of a plan or restore as a whole; a forecast from before it is old."""
        screen = self._screen
        screen.plans.forget_forecast()
        screen.marks.show_standing()
        screen.status_bar.run_ended(message.waiting)
        if self._session.is_quitting:
            screen.app.exit()
        result = screen.results.newest
        if message.words:
            screen.status_bar.say(message.words, bad=True, stays=True)
        elif isinstance(result, Result):
            from memtui.render.report import describe_result

            screen.status_bar.say(describe_result(result), stays=True)
        elif result is not None:
            from memtui.render.restore import describe_restored

            screen.status_bar.say(describe_restored(result.report), stays=True)

    def show(self) -> None:
        """Show the result under the cursor, range by range; of a restore there are only the totals."""
        result = self._screen.results.under_cursor
        if isinstance(result, Result):
            from memtui.ui.screens.result import ResultScreen

            def closed(_answer: None) -> None:
                self._open = None

            self._open = ResultScreen(result)
            self._screen.app.push_screen(self._open, closed)
        elif result is not None:
            from memtui.render.restore import describe_restore_report
            from memtui.ui.screens.lines import LinesScreen

            self._screen.app.push_screen(LinesScreen(describe_restore_report(result.report)))

    def explain(self) -> None:
        """Explain what is under the cursor: a result, or a VMA."""
        screen = self._screen
        if screen.current is screen.results:
            result = screen.results.under_cursor
            if isinstance(result, Result):
                from memtui.render.report import explain_result
                from memtui.ui.screens.lines import LinesScreen

                screen.app.push_screen(LinesScreen(explain_result(result)))
            else:
                self.show()
        elif screen.current is screen.map and screen.map.cursor_row is not None:
            self._explain_vma()
        else:
            screen.status_bar.say("x explains a VMA of the map, or a result: Tab goes there")

    def _explain_vma(self) -> None:
        view, row = self._screen.map.view, self._screen.map.cursor_row
        if view is None or row is None:
            return
        from memtui.ui.screens.lines import ExplainScreen

        session, target = self._session, view.target
        screen = ExplainScreen(row, safe(f"VMA of {target.process.pid} {target.name}"))
        judging = session.ask_verdicts(screen, target, row, screen.show_verdicts, screen.show_failure)
        if judging.is_set():
            self._screen.status_bar.say("The map is being opened again: retry", bad=True)
            return
        screen.await_answer(judging)
        if screen.has_file:
            screen.await_answer(
                session.ask_mappers(screen, target, row, screen.show_mappers, screen.show_failure)
            )
        self._screen.app.push_screen(screen)

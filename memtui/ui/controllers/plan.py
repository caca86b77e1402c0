"""Plans on the main screen: what one is for, its dialog, the freeze method, and the queue of plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count, safe, size
from memtui.host import Selection
from memtui.model.plan import Mark
from memtui.render.vma import describe_vma

if TYPE_CHECKING:
    from memtui.model.plan import Plan
    from memtui.model.process import Process
    from memtui.ui.marks import MarkBook
    from memtui.ui.screens.main import MainScreen
    from memtui.ui.widgets.map_pane import MapPane


class PlanController:
    """Opens the plan dialog, and puts the plan that it answers with into the queue."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._session = screen.session
        self._forecast: tuple[tuple[int, int], str] | None = None
        """What a plan of the marks was last expected to do, and the marks that it stands for."""

    @property
    def _marks_now(self) -> tuple[int, int]:
        return self._session.marks.version, self._session.marks.stale

    @property
    def forecast_words(self) -> str:
        """The last forecast, while the marks are those that it was made for."""
        return self._forecast[1] if self._forecast and self._forecast[0] == self._marks_now else ""

    def forget_forecast(self) -> None:
        """Show no forecast any more: it is of before an action."""
        self._forecast = None

    def cycle_freeze(self) -> None:
        """Choose the freeze method of the next plan."""
        if not self._session.options.read_only:
            self._session.cycle_freeze()
            self._screen.marks.show_standing()

    def open(self) -> None:
        """Open the plan dialog on the marks, or on what is under the cursor."""
        screen, session = self._screen, self._session
        if session.executor is None:
            return
        screen.marks.commit_range()
        process = screen.processes.under_cursor if screen.current is screen.processes else None
        wanted, words = plan_scope(session.marks, screen.map, process)
        if not wanted:
            screen.status_bar.say("Nothing is marked, and there is no map to take a VMA from", bad=True)
            return
        targets = session.acquire_all(wanted)
        if targets is None:
            screen.status_bar.say("The map is being opened again: retry", bad=True)
            return
        from memtui.ui.screens.plan import PlanScreen

        def answered(plan: Plan | None) -> None:
            screen.marks.show_standing()
            if plan is None:
                session.release_all(targets)
            else:
                session.submit(plan, targets)
                screen.status_bar.plan_waits()

        screen.app.push_screen(PlanScreen(session, wanted, words, self._keep_forecast), answered)

    def _keep_forecast(self, plan: Plan) -> None:
        if self._session.marks.counts:
            words = f"{plan.advice.value} forecast {size(plan.forecast_bytes)}"
            self._forecast = (self._marks_now, words)

    def cancel_running(self) -> bool:
        """Cancel the plan or restore that runs; return whether there is one."""
        if not self._screen.status_bar.running or self._session.executor is None:
            return False
        self._session.executor.cancel()
        self._screen.status_bar.run_cancelling()
        return True


def plan_scope(marks: MarkBook, shown: MapPane, process: Process | None) -> tuple[list[Selection], SafeText]:
    """Return what a plan is for, and the words for it; nothing where there is nothing to take.

    All marks, of every process. Without marks, what is under the cursor: the whole of ``process``,
    where the cursor is in the process list and the map is that process's, else one VMA.
    """
    wanted = marks.wanted()
    if wanted:
        number = sum(len(item.marks or ()) for item in wanted)
        return wanted, safe(
            f"On {count(number, 'marked range')} of {count(len(wanted), 'process', 'processes')}, "
            f"{size(marks.count_bytes)}"
        )
    view, row = shown.view, shown.cursor_row
    if view is None or row is None:
        return [], SafeText("")
    who = f"{view.target.process.pid} {view.target.name}"
    if process is not None:
        if process.id != view.target.process:
            return [], SafeText("")
        return [Selection(view.target)], safe(f"Nothing is marked, so: all of {who}")
    mark = Mark(row.vma.range, row.vma.identity)
    return [Selection(view.target, (mark,))], safe(
        f"Nothing is marked, so of {who} the VMA under the cursor: {describe_vma(row)}"
    )

"""The main screen: processes, the map of the chosen one, results. Controllers do what its keys ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from memtui.model.result import RestoreResult, Result
from memtui.render.vma import describe_vma
from memtui.ui import messages as told
from memtui.ui.bindings import MAIN_BINDINGS, SECONDARY, is_acting
from memtui.ui.controllers.marks import MarkController
from memtui.ui.controllers.plan import PlanController
from memtui.ui.controllers.readings import ReadingController
from memtui.ui.controllers.restore import RestoreController
from memtui.ui.controllers.results import ResultController
from memtui.ui.controllers.search import SearchController
from memtui.ui.widgets.header import TextLine
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.map_pane import MapPane
from memtui.ui.widgets.process_pane import ProcessPane
from memtui.ui.widgets.result_pane import ResultPane
from memtui.ui.widgets.status import system_words
from memtui.ui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.message import Message

    from memtui.ui.session import Session
    from memtui.ui.startup_queue import StartupQueue
    from memtui.ui.widgets.pane import Pane
    from memtui.ui.widgets.prompt import Prompt
    from memtui.ui.widgets.searchable_pane import SearchablePane
    from memtui.ui.widgets.table import VirtualTable


class MainScreen(Screen[None]):
    """Composes the panes, and hands actions and messages to the controllers.

    A narrow terminal shows one pane: the current one, which keys go to.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*MAIN_BINDINGS]

    def __init__(self, session: Session, startup: StartupQueue) -> None:
        super().__init__(id="main")
        self.session = session
        self._startup = startup
        self.marks = MarkController(self)
        self.plans = PlanController(self)
        self.readings = ReadingController(self)
        self.restores = RestoreController(self)
        self.outcomes = ResultController(self)
        self.search = SearchController(self)
        self.system = TextLine(id="system")
        self.processes = ProcessPane()
        self.map = MapPane(self.marks.marking, session.map_queries)
        self.results = ResultPane()
        self.status_bar = StatusBar()
        self._panes: tuple[Pane, ...] = (self.processes, self.map, self.results)
        self._current: Pane = self.processes
        self._current.add_class("-current")

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield self.system
        with Horizontal(id="lists"):
            yield self.processes
            yield self.map
        yield self.results
        yield self.status_bar
        yield KeyLine(SECONDARY)

    def on_mount(self) -> None:
        """Begin with the process that the command line named, or with the list."""
        self.system.text = system_words(None, None, None, 0)
        self.marks.show_standing()
        if self.session.options.note:
            self.status_bar.say(self.session.options.note, stays=True)
        self.show_pane(self.processes)
        self.session.post_with(self._startup.end(self._take_early))

    def _take_early(self, message: Message) -> None:
        """Take what came before: what has been read already stands on the first frame."""
        if isinstance(message, told.ProcessesRead):
            self.on_processes_read(message)
        elif isinstance(message, told.MachineRead):
            self.on_machine_read(message)
        else:
            self.post_message(message)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what acts where the session only reads, and what leads away from an open prompt."""
        if action in ("prompt", "next_pane", "history") and self.search.is_prompting:
            return False
        return not (self.session.options.read_only and is_acting(action, parameters))

    # The panes

    @property
    def current(self) -> Pane:
        """The pane that keys go to."""
        return self._current

    def show_pane(self, pane: Pane) -> None:
        """Make a pane the current one; on a narrow screen it is the only one shown."""
        self._current = pane
        for item in self._panes:
            item.set_class(item is pane, "-current")
        self.set_class(pane is self.results, "-results")
        # At once, not as Widget.focus() does, a moment later: the next key may be here already.
        self.set_focus(pane.table)

    def on_descendant_focus(self) -> None:
        """Follow a click into another pane."""
        for pane in self._panes:
            if pane.table is self.focused and pane is not self._current:
                self.show_pane(pane)

    def on_virtual_table_entered(self, message: VirtualTable.Entered) -> None:
        """Go into what was clicked on."""
        self._go_in(message.table)

    def _go_in(self, table: VirtualTable) -> None:
        if not len(table.rows):
            return
        if table is self.processes.table:
            self.readings.choose_under_cursor(anew=self.map.view is None)
            self.show_pane(self.map)
        elif table is self.results.table:
            self.outcomes.show()
        elif self.map.cursor_row is not None:
            self.status_bar.say(describe_vma(self.map.cursor_row), stays=True)

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        """Show what belongs to the row that the cursor has come to."""
        for pane in (self.processes, self.map):
            if message.by_hand and message.table is pane.table:
                pane.note_move()
        if message.table is self.processes.table:
            self.readings.rest_on(message.table.cursor_key, by_hand=message.by_hand)
        elif message.table is self.results.table:
            self.results.show_reason()
        elif self.marks.marking.ranging:
            self.marks.refresh()

    def on_searchable_pane_found(self, message: SearchablePane.Found) -> None:
        """Say which match the cursor is on."""
        self.search.say_found(message.number, message.of)

    @on(Input.Changed, "#prompt-text")
    def typed(self) -> None:
        """Apply what is typed into the prompt."""
        self.search.typed()

    def on_prompt_list_moved(self, message: Prompt.ListMoved) -> None:
        """Let the arrows move the list's cursor while a filter is typed."""
        self.current.table.action_move(message.rows)

    # What the threads post

    def on_answered(self, message: told.Answered) -> None:
        """Hand an answer to whoever asked."""
        message.deliver()

    def on_said(self, message: told.Said) -> None:
        """Say what a thread has to say."""
        self.status_bar.say(message.words, bad=message.bad)

    def on_processes_read(self, message: told.ProcessesRead) -> None:
        """Show the process list."""
        self.readings.show_processes(message)

    def on_machine_read(self, message: told.MachineRead) -> None:
        """Show the system line."""
        self.readings.show_machine(message)

    def on_map_read(self, message: told.MapRead) -> None:
        """Show the map."""
        self.readings.show_map(message)

    def on_map_lost(self, message: told.MapLost) -> None:
        """Say why there is no map."""
        self.readings.lose_map(message)

    def on_pid_found(self, message: told.PidFound) -> None:
        """Open the map that the command line asked for."""
        self.readings.open_found(message)

    def on_run_started(self, message: told.RunStarted) -> None:
        """Show that a plan or a restore runs."""
        self.status_bar.run_started(message.what)

    def on_run_progressed(self, message: told.RunProgressed) -> None:
        """Show how far it has come."""
        self.status_bar.run_progressed(message.progress)

    def on_target_done(self, message: told.TargetDone) -> None:
        """Show what a plan did to one target."""
        self.outcomes.add(Result(message.advice, message.report))

    def on_restore_done(self, message: told.RestoreDone) -> None:
        """Show what a restore did to one target."""
        self.outcomes.add(RestoreResult(message.report))

    def on_run_ended(self, message: told.RunEnded) -> None:
        """Say what came of the whole."""
        self.outcomes.end_run(message)

    def on_looked_back(self, message: told.LookedBack) -> None:
        """Show how much was faulted in again."""
        self.outcomes.show_refaults(message)

    def on_restored_since(self, message: told.RestoredSince) -> None:
        """Show that another memtui restored it."""
        self.outcomes.say_restored(message.report_id)

    def on_restore_asked(self, message: told.RestoreAsked) -> None:
        """Open the restore dialog for an entry of the history."""
        self.restores.ask(message.action)

    # The keys: MAIN_BINDINGS say what each is for

    def action_go_in(self) -> None:
        """Go in: from a process to its map, from a result to its ranges.

        At once, so that keys that came with this one go to where it leads.
        """
        self._go_in(self.current.table)

    def action_back(self) -> None:
        """Drop a range, or cancel what runs, or end a search or a filter, or go back a pane."""
        if self.marks.abandon_range() or self.plans.cancel_running() or self.search.give_up():
            return
        if self._current is not self.processes:
            self.show_pane(self._panes[self._panes.index(self._current) - 1])

    def action_next_pane(self, step: int) -> None:
        """Go round the panes."""
        self.show_pane(self._panes[(self._panes.index(self._current) + step) % len(self._panes)])

    def action_mark(self) -> None:
        """Mark what is under the cursor, or end a range."""
        self.marks.mark()

    def action_range(self) -> None:
        """Begin a range, or end it."""
        self.marks.toggle_range()

    def action_mark_all(self) -> None:
        """Mark all of the map."""
        self.marks.mark_all()

    def action_unmark(self) -> None:
        """Unmark everything."""
        self.marks.unmark_all()

    def action_cycle_freeze(self) -> None:
        """Choose the freeze method of the next plan."""
        self.plans.cycle_freeze()

    def action_plan(self) -> None:
        """Open the plan dialog."""
        self.plans.open()

    def action_restore(self) -> None:
        """Open the restore dialog."""
        self.restores.restore_result()

    def action_explain(self) -> None:
        """Explain what is under the cursor."""
        self.outcomes.explain()

    def action_history(self) -> None:
        """Show what was done on this machine."""
        from memtui.ui.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen(self.session))

    def action_prompt(self, what: str) -> None:
        """Open the prompt: for a filter, a search, or a rule that marks or unmarks."""
        self.search.prompt(what)

    def action_seek(self, step: int) -> None:
        """Go to the next match, or to the one before."""
        self.search.seek(step)

    def action_sort(self, step: int) -> None:
        """Sort by another column."""
        self.search.sort(step)

    def action_invert(self) -> None:
        """Sort the other way round."""
        self.search.invert()

    def action_tree(self) -> None:
        """Show the processes as a tree, or as a list."""
        is_tree = self.processes.toggle_tree()
        self.status_bar.say("processes below their parents" if is_tree else "processes in one list")

    def action_user(self) -> None:
        """Show the processes of one user, or of all."""
        self.processes.toggle_user()

    def action_follow(self) -> None:
        """Keep the cursor on its row, or on its line."""
        table = self.current.table
        table.follows = not table.follows
        self.status_bar.say(
            "the cursor follows its row" if table.follows else "the cursor stays on its line: F follows again"
        )

    def action_pause(self) -> None:
        """Let everything stand as it is, or go on."""
        self.readings.toggle_pause()

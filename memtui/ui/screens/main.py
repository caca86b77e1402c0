"""The main screen: processes, the map of the chosen one, results."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.timer import Timer

from memtui.format import count
from memtui.render.vma import describe_vma
from memtui.ui import messages as told
from memtui.ui.commands import MAIN_BINDINGS
from memtui.ui.early import Early
from memtui.ui.messages import MapView
from memtui.ui.screens.finding import FindingScreen
from memtui.ui.widgets.status import system_words

if TYPE_CHECKING:
    from textual.message import Message

    from memtui.model.process import Process, ProcessId
    from memtui.ui.session import Session
    from memtui.ui.widgets.table import VirtualTable

_MANY = 2000
"""So many VMAs are judged while the operator waits; more are judged by a thread."""
REST_S = 0.3
"""How long the cursor rests on a process before its map is read: not every row passed is."""


class MainScreen(FindingScreen):
    """What the panes show, and the keys that mark."""

    BINDINGS: ClassVar[list[BindingType]] = [*MAIN_BINDINGS]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.early = Early(told.ProcessesRead)
        """What the threads tell before the screen is there to show it."""
        self._resting: Timer | None = None
        self._pid_wanted = session.options.pid
        self._was_quicker = False
        """Whether the operator chose a process before the one that the command line named was found."""
        self._list_cost_ms: float | None = None

    def on_mount(self) -> None:
        """Begin with the process that the command line named, or with the list."""
        self.system.text = system_words(None, None, None, 0)
        self.show_standing()
        options = self.session.options
        if options.note:
            self.bottom.say(options.note, stays=True)
        self.show_pane(self.processes)
        self.early.hand_over(self._take_early)

    def _take_early(self, message: Message) -> None:
        """Take what came before: what has been read already stands on the first picture of the screen."""
        if isinstance(message, told.ProcessesRead):
            self.on_processes_read(message)
        elif isinstance(message, told.MachineRead):
            self.on_machine_read(message)
        else:
            self.post_message(message)

    def on_virtual_table_entered(self, message: VirtualTable.Entered) -> None:
        """Go into what was clicked on."""
        self._go_in(message.table)

    def action_go_in(self) -> None:
        """Go in: from a process to its map, from a result to its ranges.

        At once, so that keys that came with this one go to where it leads.
        """
        self._go_in(self.current.table)

    def _go_in(self, table: VirtualTable) -> None:
        if not len(table.rows):
            return
        if table is self.processes.table:
            self._choose_under_cursor(anew=self.map.view is None)
            self.show_pane(self.map)
        elif table is self.results.table:
            self.show_result()
        elif self.map.cursor_row is not None:
            self.bottom.say(describe_vma(self.map.cursor_row), stays=True)

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        """Have the map follow the cursor once it rests, and a range grow with it."""
        for pane in (self.processes, self.map):
            if message.by_hand and message.table is pane.table:
                pane.note_move()
        if message.table is self.processes.table:
            if (message.by_hand or self.map.chosen is None) and self._pid_wanted is None:
                self._rest_on(message.table.cursor_key)
        elif message.table is self.results.table:
            self.results.show_reason()
        elif self.marking.ranging:
            self.refresh_marks()

    # What the threads read

    def on_processes_read(self, message: told.ProcessesRead) -> None:
        """Show a new process list; marks of processes that are gone go with them."""
        self._list_cost_ms = message.cost_ms
        if self.is_paused:
            return
        alive = {process.id for process in message.processes}
        for process in [item for item in self.session.marks.counts if item not in alive]:
            gone = self.session.marks.drop(process)
            self.bottom.say(f"process {process.pid} has exited, and its {count(gone, 'mark')} with it")
            self.show_standing()
        first = not len(self.processes.table.rows)
        self.processes.show(message.processes, self.session.marks.counts)
        if first and self.map.chosen is not None:
            self.processes.table.go_to(self.map.chosen)

    def on_machine_read(self, message: told.MachineRead) -> None:
        """Show the machine."""
        self.session.facts, self.session.machine = message.facts, message.state
        view = self.map.view
        cost_ms = None if view is None else view.space.cost_ms
        if not self.is_paused:
            self.system.text = system_words(message.state, cost_ms, self._list_cost_ms, message.period_s)

    def on_map_read(self, message: told.MapRead) -> None:
        """Show a new look at the chosen map; one at another map comes too late."""
        if message.wanted == self.map.chosen and not (self.is_paused and self.map.view is not None):
            self.map.show_view(message.view)
            if self.session.sampler is not None:
                self.session.sampler.show(self.map.on_screen)
            self.show_standing()

    def on_map_lost(self, message: told.MapLost) -> None:
        """Say why there is no map; marks in a map that is dead go with it."""
        dropped = self.session.marks.drop(message.wanted) if message.map_is_dead else 0
        if message.wanted == self.map.chosen:
            self.map.show_lost(message.words)
        if dropped:
            lost = count(dropped, "mark")
            self.bottom.say(f"process {message.wanted.pid} runs another program now: {lost} lost")
            self.refresh_marks()

    def on_sampler_trouble(self, message: told.SamplerTrouble) -> None:
        """Say what could not be read."""
        self.bottom.say(message.words, bad=True)

    def on_said(self, message: told.Said) -> None:
        """Say what a thread has to say."""
        self.bottom.say(message.words, bad=message.bad)

    def on_pid_found(self, message: told.PidFound) -> None:
        """Open the map that the command line asked for."""
        self._pid_wanted = None
        if message.process is None:
            self.bottom.say(message.words, bad=True, stays=True)
            return
        if self._was_quicker:
            self._was_quicker = False
            return
        # The sampler looks at it already.
        self.map.choose(message.process, message.name)
        self.processes.table.go_to(message.process)
        self.show_pane(self.map)

    def _rest_on(self, key: Hashable) -> None:
        def rested() -> None:
            # The list may have changed meanwhile, and put another process under the cursor.
            if self.processes.table.cursor_key == key:
                self._choose_under_cursor()

        if self._resting is not None:
            self._resting.stop()
        self._resting = self.set_timer(REST_S, rested)

    def _choose_under_cursor(self, anew: bool = False) -> None:
        process = self.processes.under_cursor
        if process is not None and (anew or process.id != self.map.chosen):
            self._choose(process.id, process.name)

    def _choose(self, process: ProcessId, name: str) -> None:
        self._was_quicker = self._pid_wanted is not None
        if self._resting is not None:
            self._resting.stop()
        self.map.choose(process, name)
        self.session.choose(process)

    # Marks

    def action_mark(self) -> None:
        """Mark what is under the cursor, or end a range."""
        if self.refuses_to_mark():
            return
        shown, vma = self.map.shown, self.map.cursor_vma
        if self.current is self.processes:
            self._mark_process(self.processes.under_cursor)
        elif self.current is self.map and shown is not None and vma is not None:
            if self.marking.ranging:
                self.say_marked(self.marking.commit(shown, self.map.table.cursor))
            else:
                self.say_marked(self.marking.toggle(shown, vma))
            self.refresh_marks()

    def _mark_process(self, process: Process | None) -> None:
        if process is None:
            return
        if self.session.marks.drop(process.id):
            self.refresh_marks()
        else:
            self.bottom.say(f"looking what can be marked in {process.pid} {process.name} ...")
            self.session.ask_marks(process.id)

    def on_marks_found(self, message: told.MarksFound) -> None:
        """Mark a whole process."""
        self.session.marks.add(message.target, message.marks)
        self.session.shelf.give_back(message.target)
        who = f"{message.target.process.pid} {message.target.name}"
        left = f"; {message.left_out} left out, since the kernel refuses them" if message.left_out else ""
        self.say_marked(f"{count(len(message.marks), 'VMA')} of {who} marked{left}")
        self.refresh_marks()

    def action_range(self) -> None:
        """Begin a range, or end it."""
        if self.refuses_to_mark():
            return
        vma = self.map.cursor_vma
        if self.current is not self.map or vma is None:
            self.bottom.say("A range is marked in the map: Tab goes there")
        elif self.marking.ranging:
            self.action_mark()
        else:
            self.marking.begin(vma)
            self.refresh_marks()

    def action_mark_all(self) -> None:
        """Mark all of the map."""
        if self.current is not self.map or self.map.shown is None:
            self.bottom.say("* marks all VMAs of a map: Tab goes there; Space marks a whole process here")
        elif len(self.map.shown.indices) > _MANY and self.map.view is not None:
            self.bottom.say("looking what can be marked ...")
            shown = self.map.shown
            view = MapView(shown.target, shown.space)
            self.session.finder.ask_all(view, shown.indices, self.session.facts)
        else:
            self.say_marked(self.marking.all_shown(self.map.shown, self.session.facts))
            self.refresh_marks()

    def action_unmark(self) -> None:
        """Unmark everything."""
        self.marking.abandon()
        self.session.marks.clear()
        self.refresh_marks()

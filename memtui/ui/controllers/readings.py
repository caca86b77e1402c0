"""What the sampler reads, on the main screen: which map is looked at, and pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count
from memtui.ui.widgets.status import system_words

if TYPE_CHECKING:
    from collections.abc import Hashable

    from textual.timer import Timer

    from memtui.model.process import ProcessId
    from memtui.ui.messages import MachineRead, MapLost, MapRead, PidFound, ProcessesRead
    from memtui.ui.screens.main import MainScreen

_PAUSED = " PAUSED: z resumes "
REST_S = 0.3
"""How long the cursor rests on a process before its map is read: not every row passed is."""


class ReadingController:
    """Chooses the map that is looked at, and puts what is read into the panes."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._session = screen.session
        self._is_paused = False
        self._resting: Timer | None = None
        self._pid_wanted = screen.session.options.pid
        """The process that the command line named, until it is found."""
        self._was_quicker = False
        """Whether the operator chose a process before the one that the command line named was found."""
        self._list_cost_ms: float | None = None

    # What was read

    def show_processes(self, message: ProcessesRead) -> None:
        """Show a new process list; marks of processes that are gone go with them."""
        screen, marks = self._screen, self._session.marks
        self._list_cost_ms = message.cost_ms
        if self._is_paused:
            return
        alive = {process.id for process in message.processes}
        for process in [item for item in marks.counts if item not in alive]:
            gone = marks.drop(process)
            screen.status_bar.say(f"process {process.pid} has exited, and its {count(gone, 'mark')} with it")
            screen.marks.show_standing()
        first = not len(screen.processes.table.rows)
        screen.processes.show(message.processes, marks.counts)
        if first and screen.map.chosen is not None:
            screen.processes.table.go_to(screen.map.chosen)

    def show_machine(self, message: MachineRead) -> None:
        """Show the system line."""
        self._session.facts, self._session.machine = message.facts, message.state
        view = self._screen.map.view
        cost_ms = None if view is None else view.space.cost_ms
        if not self._is_paused:
            self._screen.system.text = system_words(
                message.state, cost_ms, self._list_cost_ms, message.period_s
            )

    def show_map(self, message: MapRead) -> None:
        """Show a new look at the chosen map; one at another map comes too late."""
        shown = self._screen.map
        if message.wanted == shown.chosen and not (self._is_paused and shown.view is not None):
            shown.show_view(message.view)
            if self._session.sampler is not None:
                self._session.sampler.show(shown.on_screen)
            self._screen.marks.show_standing()

    def lose_map(self, message: MapLost) -> None:
        """Say why there is no map; marks in a map that is dead go with it."""
        dropped = self._session.marks.drop(message.wanted) if message.map_is_dead else 0
        if message.wanted == self._screen.map.chosen:
            self._screen.map.show_lost(message.words)
        if dropped:
            lost = count(dropped, "mark")
            self._screen.status_bar.say(f"process {message.wanted.pid} runs another program now: {lost} lost")
            self._screen.marks.refresh()

    def open_found(self, message: PidFound) -> None:
        """Open the map that the command line asked for."""
        screen = self._screen
        self._pid_wanted = None
        if message.process is None:
            screen.status_bar.say(message.words, bad=True, stays=True)
        elif self._was_quicker:
            self._was_quicker = False
        else:
            # The sampler looks at it already.
            screen.map.choose(message.process, message.name)
            screen.processes.table.go_to(message.process)
            screen.show_pane(screen.map)

    # Which map is looked at

    def rest_on(self, key: Hashable, *, by_hand: bool) -> None:
        """Read the map of a process of the list once the cursor rests on it."""
        if self._pid_wanted is not None or not (by_hand or self._screen.map.chosen is None):
            return

        def rested() -> None:
            # The list may have changed meanwhile, and put another process under the cursor.
            if self._screen.processes.table.cursor_key == key:
                self.choose_under_cursor()

        if self._resting is not None:
            self._resting.stop()
        self._resting = self._screen.set_timer(REST_S, rested)

    def choose_under_cursor(self, anew: bool = False) -> None:
        """Read the map of the process under the cursor; ``anew`` even where it is the chosen one."""
        process = self._screen.processes.under_cursor
        if process is not None and (anew or process.id != self._screen.map.chosen):
            self._choose(process.id, process.name)

    def _choose(self, process: ProcessId, name: str) -> None:
        self._was_quicker = self._pid_wanted is not None
        if self._resting is not None:
            self._resting.stop()
        self._screen.map.choose(process, name)
        self._session.choose(process)

    def toggle_pause(self) -> None:
        """Let everything stand as it is, or go on."""
        self._is_paused = not self._is_paused
        self._session.pause(self._is_paused)
        system = self._screen.system
        system.set_class(self._is_paused, "-paused")
        # Here, since the line below belongs to whatever is said next.
        words = system.text.removeprefix(_PAUSED)
        system.text = SafeText(_PAUSED + words if self._is_paused else words)
        self._screen.status_bar.say("reading is paused: z resumes" if self._is_paused else "")

"""How the main screen is laid out: three panes, of which a narrow terminal shows one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen

from memtui.ui.commands import LESSER
from memtui.ui.marking import Marking
from memtui.ui.widgets.bottom import Bottom
from memtui.ui.widgets.header import TextLine
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.map_pane import MapPane
from memtui.ui.widgets.process_pane import ProcessPane
from memtui.ui.widgets.result_pane import ResultPane

if TYPE_CHECKING:
    from memtui.ui.session import Session
    from memtui.ui.widgets.pane import Pane


class ThreePanes(Screen[None]):
    """Processes, map and results, and which of them keys go to."""

    def __init__(self, session: Session) -> None:
        super().__init__(id="main")
        self.session = session
        self.marking = Marking(session.marks)
        self.system = TextLine(id="system")
        self.processes = ProcessPane()
        self.map = MapPane(self.marking, session.finder)
        self.results = ResultPane()
        self.bottom = Bottom()
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
        yield self.bottom
        yield KeyLine(LESSER)

    def show_pane(self, pane: Pane) -> None:
        """Make a pane the current one; on a narrow screen it is the only one shown."""
        self._current = pane
        for item in self._panes:
            item.set_class(item is pane, "-current")
        self.set_class(pane is self.results, "-results")
        # At once, not as Widget.focus() does, a moment later: the next key may be here already.
        self.set_focus(pane.table)

    @property
    def current(self) -> Pane:
        """The pane that keys go to."""
        return self._current

    def on_descendant_focus(self) -> None:
        """Follow a click into another pane."""
        for pane in self._panes:
            if pane.table is self.focused and pane is not self._current:
                self.show_pane(pane)

    def action_next_pane(self, step: int) -> None:
        """Go round the panes."""
        self.show_pane(self._panes[(self._panes.index(self._current) + step) % len(self._panes)])

    def pane_before(self) -> None:
        """Go back a pane."""
        if self._current is not self.processes:
            self.show_pane(self._panes[self._panes.index(self._current) - 1])

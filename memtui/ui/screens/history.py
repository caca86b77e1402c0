"""The history: what was done on this machine, by whom, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.screen import Screen

from memtui.format import SafeText, count, safe
from memtui.ui import messages as told
from memtui.ui.bindings import CLOSE_BINDINGS, HISTORY_BINDINGS
from memtui.ui.presentation.history import HistoryRows
from memtui.ui.screens.closing import close
from memtui.ui.screens.lines import EntryScreen
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.pane import Pane

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from memtui.host import History, HistoryEntry
    from memtui.ui.session import Session
    from memtui.ui.widgets.table import VirtualTable


class HistoryScreen(Screen[None]):
    """The last entries of the ledger, the newest first."""

    CSS_PATH = stylesheets("dialogs.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [*HISTORY_BINDINGS, *CLOSE_BINDINGS]

    def __init__(self, session: Session) -> None:
        super().__init__(id="history")
        self._session = session
        self._entries = Pane("History", id="history-entries")

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield self._entries
        yield KeyLine()

    def on_mount(self) -> None:
        """Ask for the ledger."""
        self._entries.table.show_words(SafeText("reading ..."))
        self._entries.table.focus()
        self._session.ask_history(self, self._show_history, self._show_failure)

    def _show_failure(self, words: str) -> None:
        self._entries.table.show_words(safe(f"the history cannot be shown: {words}"))

    def _show_history(self, history: History) -> None:
        words = f"History  {count(len(history.entries), 'entry', 'entries')}, the newest first"
        if not history.is_whole:
            words += "; older ones: memtui history"
        if history.torn_lines:
            words += f"; {count(history.torn_lines, 'line')} could not be read"
        self._entries.say(safe(words))
        self._entries.table.show_words(SafeText("nothing is recorded yet"))
        self._entries.table.show(HistoryRows(history))

    @property
    def _under_cursor(self) -> HistoryEntry | None:
        rows = self._entries.table.rows
        return (
            rows.entries[self._entries.table.cursor] if isinstance(rows, HistoryRows) and len(rows) else None
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what leads to a change where the session only reads."""
        return not (self._session.options.read_only and action == "restore")

    def on_virtual_table_entered(self, message: VirtualTable.Entered) -> None:
        """Show the entry that was clicked on."""
        self.action_go_in()

    def action_go_in(self) -> None:
        """Show one entry whole."""
        entry = self._under_cursor
        if entry is not None:
            self.app.push_screen(EntryScreen(self._session, entry))

    def action_restore(self) -> None:
        """Ask whether to put back what the entry under the cursor moved."""
        entry = self._under_cursor
        if entry is not None:
            self._session.post(told.RestoreAsked(entry.id))

    def action_close(self) -> None:
        """Go back."""
        close(self, None)

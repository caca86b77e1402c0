"""One result: what came of it in total, and range by range."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.screen import Screen

from memtui.format import SafeText, count
from memtui.render.report import describe_range, describe_report
from memtui.ui.bindings import CLOSE_BINDINGS
from memtui.ui.presentation.results import RangeRows
from memtui.ui.screens.closing import close
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.pane import Pane
from memtui.ui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from memtui.model.result import Result
    from memtui.ui.widgets.table import VirtualTable


class ResultScreen(Screen[None]):
    """The ranges of one result, with the line under the cursor in words."""

    CSS_PATH = stylesheets("dialogs.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [*CLOSE_BINDINGS]

    def __init__(self, result: Result) -> None:
        super().__init__(id="result")
        self._result = result
        self._totals = TextLines(id="result-totals")
        self._ranges = Pane("Ranges", id="result-ranges")
        self._range = TextLines(id="result-range")

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with VerticalScroll(id="result-totals-box"):
            yield self._totals
        yield self._ranges
        yield self._range
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the result; only what came back of it still changes."""
        self.show_result(self._result)
        rows = RangeRows(self._result)
        self._ranges.say(SafeText(f"Ranges  {count(len(rows), 'range')}"))
        self._ranges.table.show_words(SafeText("no range of this target was planned"))
        self._ranges.table.show(rows)
        self._ranges.table.focus()

    def show_result(self, result: Result) -> None:
        """Show how much has come back meanwhile."""
        if result.id == self._result.id:
            self._result = result
            self._totals.lines = tuple(describe_report(result))

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        """Say all that is known of the range under the cursor."""
        ranges = self._result.report.ranges
        if ranges:
            self._range.lines = (describe_range(ranges[message.table.cursor]),)

    def action_close(self) -> None:
        """Go back."""
        close(self, None)

"""A pane: its title, the titles of its columns, its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical

from memtui.format import SafeText
from memtui.ui.widgets.header import PaneTitle, TableHeader
from memtui.ui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Pane(Vertical):
    """One of the lists, with what stands over it."""

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.line = PaneTitle()
        self.line.set_reactive(PaneTitle.text, SafeText(f" {title}"))
        self.header = TableHeader()
        self.table = VirtualTable(id=f"{id}-table")

    def compose(self) -> ComposeResult:
        """Put the parts below one another."""
        yield self.line
        yield self.header
        yield self.table

    def say(self, title: SafeText) -> None:
        """Put a title over the pane."""
        self.line.text = SafeText(f" {title}")

    def show_titles(self) -> None:
        """Show the titles of the columns."""
        self.header.text = SafeText(self.table.shape.header())

    def on_virtual_table_shaped(self, message: VirtualTable.Shaped) -> None:
        """Have the titles stand over their columns."""
        message.stop()
        self.show_titles()
        self.header.offset_x = message.table.offset_x

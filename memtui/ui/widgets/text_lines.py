"""A few lines of text that was made safe, each cut at the edge or wrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

if TYPE_CHECKING:
    from memtui.format import SafeText


class TextLines(Static):
    """Lines of text, wrapped where they are too long, as high as they need."""

    lines: reactive[tuple[SafeText, ...]] = reactive((), init=False)
    """What it says."""

    def watch_lines(self) -> None:
        """Show the lines; nothing in them is markup."""
        self.update(Content("\n".join(self.lines)))

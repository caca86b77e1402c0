"""The line of column titles over a table, and the title line of a pane."""

from __future__ import annotations

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from memtui.format import SafeText
from memtui.ui.widgets.columns import fit


class TextLine(Widget):
    """One line of text that was made safe; it is sent again only when it has changed."""

    text: reactive[SafeText] = reactive(SafeText(""))
    """What it says."""

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        style = self.rich_style
        if y > 0:
            return Strip.blank(self.size.width, style)
        return Strip([Segment(fit(self.text, self.size.width), style)], self.size.width)


class TableHeader(TextLine):
    """The titles of the columns. It shifts with its table."""

    offset_x: reactive[int] = reactive(0)
    """How many cells the table is shifted to the left."""

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        style = self.rich_style
        strip = Strip([Segment(self.text, style)])
        return strip.crop_extend(self.offset_x, self.offset_x + self.size.width, style)


class PaneTitle(TextLine):
    """What a pane shows, and of whom."""

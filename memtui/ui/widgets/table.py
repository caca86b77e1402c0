"""The one table of memtui: virtual, on the Line API. Its rows belong to the model.

What it costs does not depend on how many rows there are: only visible rows are ever made, and a new
list repaints only the visible lines that differ from what stands there.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from memtui.format import SafeText
from memtui.ui.bindings import TABLE_BINDINGS
from memtui.ui.presentation.rows import Line, NoRows, Rows
from memtui.ui.widgets.columns import ShownColumns, cut

if TYPE_CHECKING:
    from collections.abc import Hashable

    from rich.style import Style
    from textual import events
    from textual.binding import BindingType

_SIDEWAYS = 8
_KEPT = 256
"""How many lines are kept as they were painted: some screens full. Each takes several KiB."""


class VirtualTable(ScrollView, can_focus=True, inherit_bindings=False):
    """A list with a cursor that stays on its row's key, whatever happens to the row's number."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--cursor",
        "table--cursor-blurred",
        "table--marked",
        "table--pending",
        "table--stale",
        "table--dim",
        "table--good",
        "table--warn",
        "table--bad",
        "table--accent",
    }

    BINDINGS: ClassVar[list[BindingType]] = [*TABLE_BINDINGS]

    cursor: reactive[int] = reactive(0, repaint=False)
    """The row of the cursor."""
    offset_x: reactive[int] = reactive(0)
    """How many cells the lines are shifted to the left; the header shares it."""

    @dataclass(eq=False, repr=False)
    class Moved(Message):
        """The cursor came to another row: ``by_hand``, or since the list changed under it."""

        table: VirtualTable
        by_hand: bool = field(default=True, kw_only=True)

        @property
        def control(self) -> VirtualTable:
            """The table."""
            return self.table

    class Entered(Moved):
        """The mouse goes into the row of the cursor. The key for it is the screen's, as ``go_in``."""

    class Shaped(Moved):
        """The columns that are shown have changed, or were shifted."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._rows: Rows = NoRows()
        self._shape_now = ShownColumns()
        self._cursor_key: Hashable = None
        self._placeholder = SafeText("")
        self._made: dict[int, Line] = {}
        self._painted: dict[int, tuple[Line, bool]] = {}
        self._strips: LRUCache[tuple[Line, bool, bool], Strip] = LRUCache(_KEPT)
        self._styles_now: dict[str, Style] = {}
        self._row_moves_are_ours = False
        self.follows = True
        """Whether the cursor stays on its row's key, or else on its line, when the list changes."""

    # What is shown

    @property
    def rows(self) -> Rows:
        """The list that is shown."""
        return self._rows

    @property
    def cursor_key(self) -> Hashable:
        """The key of the cursor's row, or None in an empty list."""
        return self._cursor_key

    @property
    def shape(self) -> ShownColumns:
        """The columns that are shown."""
        return self._shape_now

    def show(self, rows: Rows, *, keep_top: bool = False, reset: bool = False) -> None:
        """Show another list, or another state of the same one.

        The cursor stays on its key. With ``keep_top`` the uppermost row stays where it is, too, when
        rows come or go above it. With ``reset`` the cursor goes to the first row.
        """
        top = round(self.scroll_y)
        top_key = self._rows.key(top) if keep_top and top < len(self._rows) else None
        if rows.columns is not self._rows.columns:
            self._rows = rows
            self._shape()
        self._rows = rows
        self._made.clear()
        self._resize_to(len(rows))
        self._follow(reset, top, None if top_key is None or reset else rows.find(top_key))
        self._repaint_changed()

    def show_words(self, words: SafeText) -> None:
        """Say why there is nothing to show; the words stand where the rows would."""
        if words != self._placeholder:
            self._placeholder = words
            if not len(self._rows):
                self.refresh()

    def go_to(self, key: Hashable) -> bool:
        """Put the cursor on the row of a key; return whether there is one."""
        index = self._rows.find(key)
        if index is not None:
            self._put_cursor(index)
        return index is not None

    def _resize_to(self, count: int) -> None:
        if count == self.virtual_size.height:
            return
        scrolls = count > self.size.height
        if scrolls != self.show_vertical_scrollbar:
            self.virtual_size = Size(1, count)
            return
        # The plain way lays the screen out anew and repaints the whole table, for one row more.
        self.set_reactive(Widget.virtual_size, Size(1, count))
        if scrolls:
            self.vertical_scrollbar.window_virtual_size = count

    def _follow(self, reset: bool, top: int, new_top: int | None) -> None:
        count = len(self._rows)
        was = self._cursor_key
        if reset or was is None:
            index = 0
        else:
            found = self._rows.find(was) if self.follows else None
            index = min(self.cursor, count - 1) if found is None else found
        if reset or (new_top is not None and new_top != top):
            self.scroll_to(y=0 if reset else new_top, animate=False)
        elif self.scroll_y > self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False)
        self._cursor_key = self._rows.key(index) if count else None
        self._row_moves_are_ours = True
        self.cursor = max(0, index)
        self._row_moves_are_ours = False
        self._bring_into_view()
        if self._cursor_key != was:
            self.post_message(self.Moved(self, by_hand=False))

    def _repaint_changed(self) -> None:
        top, height = round(self.scroll_y), self.size.height
        for index in range(top, top + height):
            painted = self._painted.get(index)
            if index < len(self._rows):
                if painted != (self._line(index), index == self.cursor):
                    self.refresh_line(index)
            elif painted is not None or not len(self._rows):
                self._painted.pop(index, None)
                self.refresh_line(index)

    def _line(self, index: int) -> Line:
        line = self._made.get(index)
        if line is None:
            line = self._made[index] = self._rows.line(index)
        return line

    # The cursor

    def _put_cursor(self, index: int) -> None:
        if not len(self._rows):
            return
        index = max(0, min(index, len(self._rows) - 1))
        self._cursor_key = self._rows.key(index)
        moved = index != self.cursor
        self.cursor = index
        self._bring_into_view()
        if moved:
            self.post_message(self.Moved(self))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two lines that the cursor left and came to."""
        if not self._row_moves_are_ours and self.is_mounted:
            for index in (old, new):
                if 0 <= index - round(self.scroll_y) < self.size.height:
                    self.refresh_line(index)

    def _bring_into_view(self) -> None:
        height = self.size.height
        if height > 0 and not 0 <= self.cursor - self.scroll_y < height:
            region = Region(0, self.cursor, 1, 1)
            self.scroll_to_region(region, animate=False, force=True, x_axis=False)

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows."""
        self._put_cursor(self.cursor + rows)

    def action_page(self, pages: float) -> None:
        """Move the cursor, and the view with it, by pages."""
        step = int(max(1, self.size.height - 1) * pages) or (1 if pages > 0 else -1)
        self.scroll_to(y=self.scroll_y + step, animate=False)
        self._put_cursor(self.cursor + step)

    def action_first(self) -> None:
        """Go to the first row."""
        self._put_cursor(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self._put_cursor(len(self._rows) - 1)

    def action_sideways(self, steps: int) -> None:
        """Shift the lines, where they are longer than the table is wide."""
        top = round(self.scroll_y)
        lines = range(top, min(top + self.size.height, len(self._rows)))
        longest = max((self._strip(index).cell_length for index in lines), default=0)
        most = max(0, longest - self.size.width)
        self.offset_x = max(0, min(self.offset_x + steps * _SIDEWAYS, most))

    def watch_offset_x(self) -> None:
        """Have the header follow."""
        if self.is_mounted:
            self.post_message(self.Shaped(self))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse points; a second click goes in."""
        index = round(self.scroll_y) + event.y
        if index < len(self._rows):
            self._put_cursor(index)
            if event.chain == 2:
                self.post_message(self.Entered(self))

    # Painting

    def on_resize(self) -> None:
        """Choose the columns for the new width."""
        self._shape()
        self._bring_into_view()

    def _shape(self) -> None:
        self._strips.clear()
        self._painted.clear()
        self._shape_now = ShownColumns.of(self._rows.columns, self.size.width)
        self.post_message(self.Shaped(self))
        self.refresh()

    def notify_style_update(self) -> None:
        """Forget what was painted in other colours."""
        super().notify_style_update()
        self._styles_now.clear()
        self._strips.clear()

    def on_focus(self) -> None:
        """Show the cursor as the one that keys move."""
        self.refresh_line(self.cursor)

    def on_blur(self) -> None:
        """Show the cursor as one that rests."""
        self.refresh_line(self.cursor)

    def _style(self, role: str) -> Style:
        style = self._styles_now.get(role)
        if style is None:
            style = self.get_component_rich_style(f"table--{role}") if role else self.rich_style
            self._styles_now[role] = style
        return style

    def _strip(self, index: int) -> Strip:
        line, under_cursor = self._line(index), index == self.cursor
        key = (line, under_cursor, self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            if under_cursor:
                base = self._style("cursor" if self.has_focus else "cursor-blurred")
                # A cell's own colour may not be readable on the cursor's ground.
                strip = self._shape_now.strip(line, base, lambda _: base)
            else:
                strip = self._shape_now.strip(line, self._style(line.role), self._style)
            self._strips[key] = strip
        return strip

    def _ground(self, index: int) -> Style:
        if index != self.cursor:
            return self._style("")
        return self._style("cursor" if self.has_focus else "cursor-blurred")

    def render_line(self, y: int) -> Strip:
        """Return a line of the view."""
        index, width = y + round(self.scroll_y), self.size.width
        if index < len(self._rows):
            self._painted[index] = (self._line(index), index == self.cursor)
            if len(self._painted) > _KEPT + self.size.height:
                top, height = round(self.scroll_y), self.size.height
                seen = range(top, top + height)
                self._painted = {at: line for at, line in self._painted.items() if at in seen}
            # Under the scrollbar nothing is seen.
            seen_width = self.scrollable_content_region.width
            strip = cut(self._strip(index), self.offset_x, seen_width)
            return strip.adjust_cell_length(width, self._ground(index))
        if not len(self._rows) and 0 <= y - 1 < len(words := self._wrapped()):
            strip = Strip([Segment(f"  {words[y - 1]}", self._style("dim"))])
            return strip.crop_extend(0, width, self._style(""))
        return Strip.blank(width, self._style(""))

    def _wrapped(self) -> list[str]:
        return textwrap.wrap(self._placeholder, max(8, self.size.width - 4))

"""The bar of the address space over the map, and the cursor's place in it."""

from __future__ import annotations

import time
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.containers import Vertical
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from memtui.model.vma import VmaKind
from memtui.ui.presentation.address_bar import BarCell, Frame, bar_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from memtui.ui.messages import MapView
    from memtui.ui.workers.map_queries import MapQueries

_SHARE_OF_TIME = 10
_PLACE = "▲"


class BarLine(Widget):
    """The cells. Only those that have changed are painted anew."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"address-bar--{kind.value}" for kind in VmaKind}

    def __init__(self) -> None:
        super().__init__(id="address-bar-line")
        self._cells: tuple[BarCell, ...] = ()

    def show(self, cells: tuple[BarCell, ...]) -> None:
        """Show other cells."""
        last, self._cells = self._cells, cells
        if len(last) != len(cells):
            self.refresh()
            return
        changed = [at for at, (was, now) in enumerate(zip(last, cells, strict=True)) if was != now]
        if changed:
            self.refresh(Region(changed[0], 0, changed[-1] - changed[0] + 1, 1))

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        segments = [
            Segment("".join(glyph for glyph, _ in run), self.get_component_rich_style(f"address-bar--{kind}"))
            for kind, run in groupby(self._cells, key=lambda cell: cell[1])
        ]
        return Strip(segments).crop_extend(0, self.size.width, self.rich_style)


class PlaceLine(Widget):
    """Where in the bar the cursor is: painted anew only when that is another cell."""

    cell: reactive[int] = reactive(-1, repaint=False)
    """The cell, or -1 for none."""

    def watch_cell(self, old: int, new: int) -> None:
        """Paint the cell that it left, and the one that it came to."""
        for cell in (old, new):
            if cell >= 0:
                self.refresh(Region(cell, 0, 1, 1))

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        style = self.rich_style
        text = "" if self.cell < 0 else " " * self.cell + _PLACE
        return Strip([Segment(text, style)]).crop_extend(0, self.size.width, style)


class AddressBar(Vertical):
    """Both lines. How the cells share out a layout is computed by a worker."""

    def __init__(self, queries: MapQueries) -> None:
        super().__init__(id="address-bar")
        self._queries = queries
        self._line = BarLine()
        self._place = PlaceLine(id="address-bar-place")
        self._frame: Frame | None = None
        self._view: MapView | None = None
        self._index: int | None = None
        self._drawn: tuple[Sequence[int | None] | None, Sequence[int | None] | None] | None = None
        self._not_before = 0.0

    def compose(self) -> ComposeResult:
        """Put the lines below one another."""
        yield self._line
        yield self._place

    def on_resize(self) -> None:
        """Share the layout out among more cells, or fewer."""
        if self._view is not None and self.size.width:
            self._ask(self._view)

    def show(self, view: MapView | None) -> None:
        """Show a new look; None for nothing."""
        if view is None:
            self._view = self._frame = None
            self._queries.drop_frame()
            self._line.show(())
            self._place.cell = -1
            return
        self._view = view
        if self._frame is not None and self._frame.vmas is view.space.vmas:
            self._draw(view, self._frame)
        elif self._frame is None or time.monotonic() >= self._not_before:
            self._ask(view)

    def _ask(self, view: MapView) -> None:
        if self.size.width:
            self._queries.ask_frame(view, self.size.width, partial(self._show_frame, view))

    def _show_frame(self, framed: MapView, frame: Frame, cost_s: float) -> None:
        """Draw a layout that was shared out, if it is of this process still."""
        view = self._view
        if view is None or framed.target is not view.target:
            return
        self._not_before = time.monotonic() + cost_s * _SHARE_OF_TIME
        self._frame, self._drawn = frame, None
        self._draw(view if view.space.vmas is frame.vmas else framed, frame)

    def _draw(self, view: MapView, frame: Frame) -> None:
        numbers = (view.space.rss_bytes, view.space.swap_bytes)
        # The same lists hold the same numbers: they are not written into.
        if self._drawn is None or any(a is not b for a, b in zip(numbers, self._drawn, strict=True)):
            self._drawn = numbers
            self._line.show(bar_cells(frame, *numbers))
        self._point()

    def point(self, index: int | None) -> None:
        """Show where in the bar a VMA is."""
        self._index = index
        self._point()

    def _point(self) -> None:
        frame, index = self._frame, self._index
        inside = frame is not None and frame.first and index is not None
        self._place.cell = frame.cell_of(index) if inside and frame and index is not None else -1

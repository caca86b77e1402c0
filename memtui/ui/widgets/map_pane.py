"""The pane of the map."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from memtui.format import SafeText, count, safe, size
from memtui.model.vma import MappedVma, Vma, total
from memtui.ui.lists.map import MapRows
from memtui.ui.lists.order import ADDRESS, Arrangement, Sorting, next_of
from memtui.ui.marking import Marking, Shown
from memtui.ui.messages import MapArranged, MapView, MatchesFound
from memtui.ui.rows import NoRows
from memtui.ui.widgets.finding import FindingPane
from memtui.ui.widgets.picture import Picture

if TYPE_CHECKING:
    from memtui.model.errors import FilterDomain
    from memtui.model.filter import Filter
    from memtui.model.process import ProcessId
    from memtui.ui.finder import Finder

_SHARE_OF_TIME = 10


class MapPane(FindingPane):
    """The map of the chosen process."""

    subject: FilterDomain = "vma"

    def __init__(self, marking: Marking, finder: Finder) -> None:
        super().__init__("Map", Sorting(ADDRESS), id="map")
        self.marking = marking
        self.chosen: ProcessId | None = None
        self._finder = finder
        self.picture = Picture(finder)
        self._name = ""
        self._view: MapView | None = None
        self._order: Sequence[int] | None = None
        self._is_fresh = True
        self._not_before = 0.0
        self._sought: Filter | None = None
        """What is being looked for just now."""
        self._steps_more = 0
        self.table.show_words(SafeText("no process chosen"))

    def compose(self) -> ComposeResult:
        """Put the parts below one another."""
        yield self.line
        yield self.picture
        yield self.header
        yield self.table

    def on_virtual_table_moved(self) -> None:
        """Show the cursor's place in the picture."""
        rows = self._map_rows
        self.picture.point(None if rows is None or not len(rows) else rows.index(self.table.cursor))

    @property
    def view(self) -> MapView | None:
        """The last look at the chosen process; None before the first and after the end."""
        return self._view

    @property
    def _map_rows(self) -> MapRows | None:
        rows = self.table.rows
        return rows if isinstance(rows, MapRows) and self._view is not None else None

    @property
    def shown(self) -> Shown | None:
        """What can be marked now."""
        rows = self._map_rows
        if rows is None or self._view is None:
            return None
        return Shown(self._view.target, rows.space, rows.order)

    @property
    def on_screen(self) -> Sequence[int] | None:
        """The addresses of the VMAs on the screen; None where their order hangs on numbers of all of them."""
        rows = self._map_rows
        if rows is None or self._how.is_live:
            return None
        top = round(self.table.scroll_y)
        return [rows.vma(at).start for at in range(top, min(top + self.table.size.height, len(rows)))]

    @property
    def cursor_vma(self) -> Vma | None:
        """The VMA under the cursor."""
        rows = self._map_rows
        return None if rows is None or not len(rows) else rows.vma(self.table.cursor)

    @property
    def cursor_row(self) -> MappedVma | None:
        """The VMA under the cursor, with all that is known of it."""
        rows = self._map_rows
        return None if rows is None or not len(rows) else rows.row(self.table.cursor)

    def choose(self, process: ProcessId, name: str) -> None:
        """Show that another map is being opened."""
        self.chosen, self._name, self._view = process, name, None
        self._is_fresh, self._order, self._not_before, self._sought = True, None, 0.0, None
        self._finder.drop()
        self.marking.abandon()
        self.say(safe(f"Map of {process.pid} {name}"))
        self.table.show_words(SafeText("reading ..."))
        self.picture.show(None)
        self.table.show(NoRows(), reset=True)

    def show_view(self, view: MapView) -> None:
        """Show a new look."""
        last, self._view = self._view, view
        if last is None or last.space.vmas is not view.space.vmas:
            self.marking.book.note_layout(view.space)
        self.picture.show(view)
        self._arrange(view)

    @property
    def _how(self) -> Arrangement:
        return Arrangement(self.wanted, self.sorting)

    def _arrange(self, view: MapView) -> None:
        """Show a look in its order; where that is to be made anew, what stands there stays meanwhile."""
        rows, how = self._map_rows, self._how
        if how.is_plain:
            self._finder.drop()
            self._put(view, None)
            return
        same = rows is not None and self._order is not None and rows.space.vmas is view.space.vmas
        waits = rows is not None and time.monotonic() < self._not_before
        if not waits and not (same and not how.is_live):
            self._finder.ask_order(view, how)
        elif same:
            self._put(view, self._order)

    def rearrange(self) -> None:
        """Show the map as it is to be sorted and filtered now."""
        self._not_before = 0.0
        self._order = None
        if self._view is not None:
            self._arrange(self._view)

    def show_arranged(self, message: MapArranged) -> None:
        """Show a map whose order was made; one that nobody asked for any more comes too late."""
        if self._view is None or message.view.target is not self._view.target or message.how != self._how:
            return
        self._not_before = time.monotonic() + message.cost_s * _SHARE_OF_TIME
        self._put(message.view, message.order)

    def _put(self, view: MapView, order: Sequence[int] | None) -> None:
        space, self._order = view.space, order
        if not len(space):
            self.table.show_words(SafeText("this process has no mappings that could be shown"))
        elif order is not None:
            self.table.show_words(SafeText("no VMA matches; Esc shows all of them"))
        # Where live numbers decide, the uppermost row may go anywhere: the view stays where it is.
        keep_top = not self._is_fresh and self.sorting.key == ADDRESS
        self.table.show(self._rows(view, order), keep_top=keep_top, reset=self._is_fresh)
        self._is_fresh = False
        self.on_virtual_table_moved()
        self._tell(view, order)

    def _tell(self, view: MapView, order: Sequence[int] | None) -> None:
        space = view.space
        rss_bytes, swap_bytes = space.rss_bytes, space.swap_bytes
        number = count(len(space), "VMA")
        if order is not None and len(order) < len(space):
            number = SafeText(f"{len(order):,} of {number}")
            rss_bytes = None if rss_bytes is None else [rss_bytes[at] for at in order]
            swap_bytes = None if swap_bytes is None else [swap_bytes[at] for at in order]
        numbers = f"rss {size(total(rss_bytes))}  swap {size(total(swap_bytes))}"
        who = f"Map of {space.process.pid} {self._name}"
        self.say(safe(f"{who}{self.filter_words}  {number}  {numbers}  ({space.source})"))

    def show_lost(self, words: str) -> None:
        """Say why there is no map, or no more."""
        self._view = None
        self.marking.abandon()
        assert self.chosen is not None
        self.say(safe(f"Map of {self.chosen.pid} {self._name}"))
        self.table.show_words(safe(f"{words}. Enter on a process opens its map anew."))
        self.picture.show(None)
        self.table.show(NoRows(), reset=True)

    def show_marks(self) -> None:
        """Show the marks as they are now, and the range in the making."""
        rows = self._map_rows
        if rows is not None and self._view is not None:
            view = MapView(self._view.target, rows.space)
            self.table.show(self._rows(view, rows.order))

    def _rows(self, view: MapView, order: Sequence[int] | None) -> MapRows:
        marks = self.marking.book.of(view.space.process)
        rows = MapRows(view.space, marks, order)
        if not self.marking.ranging or not len(rows):
            return rows
        found = None if self.table.cursor_key is None else rows.find(self.table.cursor_key)
        at = min(self.table.cursor if found is None else found, len(rows) - 1)
        pending = self.marking.pending(Shown(view.target, view.space, order), at)
        return MapRows(view.space, marks, order, pending)

    @property
    def is_behind(self) -> bool:
        """Whether the arranger has not answered yet what was asked of it last."""
        return self._view is not None and (
            (self.searched is not None and self._sought is not None)
            or (self._order is None and not self._how.is_plain)
        )

    def seek(self, origin: int, step: int) -> None:
        """Look for what is searched; ends with a Found."""
        rows = self._map_rows
        if self.searched is None or rows is None or self._view is None:
            return
        if self._sought is self.searched:
            # To ask again would be to begin again: who holds n down would wait for ever.
            self._steps_more += step
            return
        self._sought, self._steps_more = self.searched, 0
        view = MapView(self._view.target, rows.space)
        self._finder.ask_matches(view, rows.order, self.searched, origin, step)

    def show_matches(self, message: MatchesFound) -> None:
        """Go to the next match, if the answer is of what stands there still."""
        rows, more, self._sought = self._map_rows, self._steps_more, None
        if self.searched is None:
            # The search was given up meanwhile.
            return
        if rows is None or rows.space.vmas is not message.view.space.vmas or rows.order is not message.order:
            self.seek(self.table.cursor, message.step + more)
            return
        at = -1
        if message.rows:
            at = (next_of(message.rows, message.origin, message.step) + more) % len(message.rows)
            self.table.go_to(rows.key(message.rows[at]))
        self.found(at + 1, len(message.rows))

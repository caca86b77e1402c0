"""The pane of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe
from memtui.ui.marking import Marking, Shown
from memtui.ui.messages import MapView
from memtui.ui.presentation.map import MapRows, map_title
from memtui.ui.presentation.order import ADDRESS, Arrangement, Sorting, next_of
from memtui.ui.presentation.rows import NoRows
from memtui.ui.widgets.address_bar import AddressBar
from memtui.ui.widgets.map_order import MapOrder
from memtui.ui.widgets.map_search import MapMatches, MapSearch
from memtui.ui.widgets.searchable_pane import SearchablePane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from memtui.model.errors import FilterDomain
    from memtui.model.process import ProcessId
    from memtui.model.vma import MappedVma, Vma
    from memtui.ui.workers.map_queries import MapQueries


class MapPane(SearchablePane):
    """The map of the chosen process."""

    subject: FilterDomain = "vma"

    def __init__(self, marking: Marking, queries: MapQueries) -> None:
        super().__init__("Map", Sorting(ADDRESS), id="map")
        self.marking = marking
        self.chosen: ProcessId | None = None
        self.address_bar = AddressBar(queries)
        self._process_name = ""
        self._view: MapView | None = None
        self._order = MapOrder(queries, self._put)
        self._is_fresh = True
        self._search = MapSearch(queries, self._show_matches)
        self.table.show_words(SafeText("no process chosen"))

    def compose(self) -> ComposeResult:
        """Put the parts below one another."""
        yield self.line
        yield self.address_bar
        yield self.header
        yield self.table

    def on_virtual_table_moved(self) -> None:
        """Show the cursor's place in the address bar."""
        rows = self._map_rows
        self.address_bar.point(None if rows is None or not len(rows) else rows.index(self.table.cursor))

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
        self.chosen, self._process_name, self._view = process, name, None
        self._is_fresh = True
        self._order.reset()
        self._search.reset()
        self.marking.abandon()
        self.say(safe(f"Map of {process.pid} {name}"))
        self.table.show_words(SafeText("reading ..."))
        self.address_bar.show(None)
        self.table.show(NoRows(), reset=True)

    def show_view(self, view: MapView) -> None:
        """Show a new look."""
        last, self._view = self._view, view
        if last is None or last.space.vmas is not view.space.vmas:
            self.marking.book.note_layout(view.space)
        self.address_bar.show(view)
        self._order.arrange(view, self._how, self._map_rows)

    @property
    def _how(self) -> Arrangement:
        return Arrangement(self.wanted, self.sorting)

    def rearrange(self) -> None:
        """Show the map as it is to be sorted and filtered now."""
        self._order.reset()
        if self._view is not None:
            self._order.arrange(self._view, self._how, self._map_rows)

    def _put(self, view: MapView, order: Sequence[int] | None) -> None:
        if not len(view.space):
            self.table.show_words(SafeText("this process has no mappings that could be shown"))
        elif order is not None:
            self.table.show_words(SafeText("no VMA matches; Esc shows all of them"))
        # Where live numbers decide, the uppermost row may go anywhere: the view stays where it is.
        keep_top = not self._is_fresh and self.sorting.key == ADDRESS
        rows = self._rows(Shown(view.target, view.space, order))
        self.table.show(rows, keep_top=keep_top, reset=self._is_fresh)
        self._is_fresh = False
        self.on_virtual_table_moved()
        self.say(map_title(view.space, order, self._process_name, self.filter_words))

    def show_lost(self, words: str) -> None:
        """Say why there is no map, or no more."""
        self._view = None
        self._order.reset()
        self.marking.abandon()
        assert self.chosen is not None
        self.say(safe(f"Map of {self.chosen.pid} {self._process_name}"))
        self.table.show_words(safe(f"{words}. Enter on a process opens its map again."))
        self.address_bar.show(None)
        self.table.show(NoRows(), reset=True)

    def show_marks(self) -> None:
        """Show the marks as they are now, and the range in the making."""
        if self.shown is not None:
            self.table.show(self._rows(self.shown))

    def _rows(self, shown: Shown) -> MapRows:
        return self.marking.rows(shown, self.table.cursor_key, self.table.cursor)

    @property
    def is_behind(self) -> bool:
        """Whether what was asked of the map last is not answered yet."""
        return self._view is not None and (
            (self.searched is not None and self._search.is_looking)
            or (not self._order.is_made and not self._how.is_plain)
        )

    def seek(self, origin: int, step: int) -> None:
        """Look for what is searched; ends with a Found."""
        shown = self.shown
        if self.searched is not None and shown is not None:
            view = MapView(shown.target, shown.space)
            self._search.seek(view, shown.order, self.searched, origin, step)

    def _show_matches(self, found: MapMatches) -> None:
        """Go to the next match, if the answer is of what stands there still."""
        rows = self._map_rows
        if self.searched is None:
            # The search was given up meanwhile.
            return
        if rows is None or rows.space.vmas is not found.view.space.vmas or rows.order is not found.order:
            self.seek(self.table.cursor, found.step + found.more)
            return
        at = -1
        if found.rows:
            at = (next_of(found.rows, found.origin, found.step) + found.more) % len(found.rows)
            self.table.go_to(rows.key(found.rows[at]))
        self.found(at + 1, len(found.rows))

"""A pane whose list can be sorted, filtered and searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from memtui.format import SafeText
from memtui.ui.widgets.pane import Pane

if TYPE_CHECKING:
    from collections.abc import Hashable

    from memtui.model.errors import FilterDomain
    from memtui.model.filter import Filter
    from memtui.ui.presentation.order import Sorting

_DOWN, _UP = "↓", "↑"
_FILTER_CELLS = 30
"""So much of a filter stands in a pane's title, beside the totals of what it takes."""


class SearchablePane(Pane):
    """What is common to the process list and the map. ``subject`` is what its filters are for."""

    subject: FilterDomain

    @dataclass(eq=False, repr=False)
    class Found(Message):
        """A search has ended: the cursor is on match ``number`` (from 1) of ``of``, or there is none."""

        number: int
        of: int

    def __init__(self, title: str, sorting: Sorting, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self.sorting = sorting
        self.wanted: Filter | None = None
        """What is shown; None for everything."""
        self.searched: Filter | None = None
        """What n and N look for."""
        self._missed_at: Hashable = None
        """On which row the cursor stood when a search found nothing; None since it was moved."""

    def show_only(self, wanted: Filter | None) -> None:
        """Show what a filter takes, or everything."""
        # The cursor is to stand on what the filter takes: what was searched before is past.
        self._missed_at = None
        self.wanted = None if wanted is None or wanted.is_empty else wanted
        self.rearrange()

    def clear(self) -> bool:
        """Show everything; return whether that is any change."""
        if self.wanted is None:
            return False
        self.show_only(None)
        return True

    def sort_on(self, step: int) -> None:
        """Sort by the column ``step`` further right."""
        self.sorting = self.sorting.moved(self.table.shape.sort_keys, step)
        self._sorted()

    def invert(self) -> None:
        """Sort the other way round."""
        self.sorting = self.sorting.turned()
        self._sorted()

    def _sorted(self) -> None:
        self.show_titles()
        self.rearrange()

    def show_titles(self) -> None:
        """Show the titles of the columns, and which of them rows are sorted by."""
        arrow = _DOWN if self.sorting.is_downward else _UP
        self.header.text = SafeText(self.table.shape.header(self.sorting.key, arrow))

    def search(self, wanted: Filter, origin: int, step: int) -> None:
        """Put the cursor on the next match from a row; ``step`` 0 takes that row too, -1 goes back."""
        self.searched = wanted
        self.seek(origin, step)

    def give_up(self) -> None:
        """Search for nothing any more."""
        self.searched = None
        self._missed_at = None

    def found(self, number: int, of: int) -> None:
        """Tell how a search has ended; see Found."""
        self._missed_at = None if of else self.table.cursor_key
        self.post_message(self.Found(number, of))

    def note_move(self) -> None:
        """Take in that the cursor was moved by hand: it is where the operator wants it."""
        if self.table.cursor_key != self._missed_at:
            self._missed_at = None

    @property
    def missed(self) -> bool:
        """Whether the last search found nothing, and the cursor was not moved since."""
        return self._missed_at is not None

    @property
    def why_not_here(self) -> str:
        """Why what is under the cursor is not what was searched or filtered for; empty where it may be."""
        if self.is_behind:
            return "still looking"
        return "the search found nothing" if self.missed else ""

    @property
    def is_behind(self) -> bool:
        """Whether a search or a filter is not answered yet."""
        return False

    def rearrange(self) -> None:
        """Show the list as it is to be sorted and filtered now."""
        raise NotImplementedError

    def seek(self, origin: int, step: int) -> None:
        """Look for what is searched; ends with a Found."""
        raise NotImplementedError

    @property
    def filter_words(self) -> str:
        """The filter while one holds, raw, to put into the title."""
        if self.wanted is None:
            return ""
        text = " ".join(self.wanted.text.split())
        return f"  filter: {text}" if len(text) <= _FILTER_CELLS else f"  filter: {text[:_FILTER_CELLS]}…"

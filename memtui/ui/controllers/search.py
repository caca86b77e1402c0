"""How rows are found on the main screen: the prompt, search, filter and sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.model.errors import FilterError
from memtui.ui.widgets.searchable_pane import SearchablePane

if TYPE_CHECKING:
    from memtui.model.filter import Filter
    from memtui.ui.screens.main import MainScreen

_RULES = ("mark", "unmark")


class SearchController:
    """Has the prompt, and what is typed into it; sorts."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._asked = ""
        """What the open prompt is for; empty while it is closed."""
        self._before: Filter | None = None
        self._origin = 0
        self._points = False
        self._prompted: SearchablePane | None = None

    @property
    def is_prompting(self) -> bool:
        """Whether the prompt is open."""
        return bool(self._asked)

    @property
    def _pane(self) -> SearchablePane | None:
        """The current pane, where it can be searched."""
        pane = self._screen.current
        return pane if isinstance(pane, SearchablePane) else None

    # The prompt

    def prompt(self, what: str) -> None:
        """Open the prompt: for a filter, a search, or a rule that marks or unmarks."""
        pane, bar = self._pane, self._screen.status_bar
        if pane is None or (what in _RULES and pane is not self._screen.map):
            where = "the map" if what in _RULES else "the process list and the map"
            bar.say(f"{what}: only in {where}; Tab goes there")
            return
        self._prompted, self._asked = pane, what
        self._before, self._origin = pane.wanted, pane.table.cursor
        text = pane.wanted.text if pane.wanted is not None and what != "search" else ""
        if what == "search":
            pane.give_up()
        bar.say("")
        bar.prompt_for(what, text, self._end_prompt)

    def typed(self) -> None:
        """Show at once what comes of it; a wrong term is pointed at, and changes nothing."""
        pane, wanted = self._prompted, self._parsed()
        if pane is not None and wanted is not None:
            self._apply(pane, wanted)

    def _apply(self, pane: SearchablePane, wanted: Filter) -> None:
        last = pane.wanted if self._asked == "filter" else pane.searched
        if last is not None and last.text == wanted.text:
            return
        if self._asked == "filter":
            pane.show_only(wanted)
        elif self._asked == "search" and not wanted.is_empty:
            pane.search(wanted, self._origin, 0)

    def _parsed(self) -> Filter | None:
        pane, bar = self._prompted, self._screen.status_bar
        if pane is None or not self._asked:
            return None
        from memtui.model.filter import parse

        try:
            wanted = parse(bar.prompt.text, pane.subject, in_box=True)
        except FilterError as error:
            from memtui.render.filter import describe_filter_error

            bar.point_at(error.column, describe_filter_error(error))
            self._points = True
            return None
        if self._points:
            bar.say("")
            self._points = False
        return wanted

    def _end_prompt(self, accepted: bool) -> None:
        """Keep what was typed, or have it as it was."""
        pane, what = self._prompted, self._asked
        if pane is None or not what:
            return
        wanted = self._parsed() if accepted else None
        if accepted and wanted is None:
            # It stays open, at the term that is wrong.
            self._screen.status_bar.prompt.stay()
            return
        if wanted is not None:
            # Who types fast ends it before all that was typed has come through.
            self._apply(pane, wanted)
        self._asked = ""
        self._screen.status_bar.close_prompt()
        self._screen.show_pane(pane)
        if what == "filter" and not accepted:
            pane.show_only(self._before)
        elif what == "search" and not accepted:
            self._go_back_to_origin(pane)
        elif what in _RULES and wanted is not None and not wanted.is_empty:
            self._screen.marks.mark_by_rule(wanted, marks=what == "mark")

    def _go_back_to_origin(self, pane: SearchablePane) -> None:
        pane.give_up()
        self._screen.status_bar.say("")
        if self._origin < len(pane.table.rows):
            pane.table.go_to(pane.table.rows.key(self._origin))

    # Search

    def seek(self, step: int) -> None:
        """Go to the next match, or to the one before."""
        pane = self._pane
        if pane is None or pane.searched is None:
            self._screen.status_bar.say("nothing is searched for yet: / searches")
        else:
            pane.seek(pane.table.cursor, step)

    def say_found(self, number: int, of: int) -> None:
        """Say which match the cursor is on."""
        if of:
            self._screen.status_bar.say(f"match {number:,} of {of:,}  (n next, N before)")
        else:
            self._screen.status_bar.say("nothing matches", bad=True)

    def give_up(self) -> bool:
        """Give up a search that found nothing, or else end the filter; return whether there was one."""
        pane = self._pane
        if pane is None:
            return False
        if not pane.missed:
            return pane.clear()
        pane.give_up()
        self._screen.status_bar.say("")
        return True

    # Sorting

    def sort(self, step: int) -> None:
        """Sort by another column."""
        pane = self._pane
        if pane is not None:
            pane.sort_on(step)
            self._say_sorting(pane)

    def invert(self) -> None:
        """Sort the other way round."""
        pane = self._pane
        if pane is not None:
            pane.invert()
            self._say_sorting(pane)

    def _say_sorting(self, pane: SearchablePane) -> None:
        sorting = pane.sorting
        self._screen.status_bar.say(
            f"sorted by {sorting.key}, {'downward' if sorting.is_downward else 'upward'}"
        )

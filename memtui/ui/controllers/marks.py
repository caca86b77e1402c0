"""Marks on the main screen: the keys that make and take them, and the line that says what is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count
from memtui.ui.marking import SKIPPED, Marking, Shown
from memtui.ui.messages import MapView
from memtui.ui.widgets.searchable_pane import SearchablePane
from memtui.ui.widgets.status import hold_words, marks_words

if TYPE_CHECKING:
    from memtui.model.filter import Filter
    from memtui.model.process import Process
    from memtui.ui.screens.main import MainScreen
    from memtui.ui.session import FoundMarks
    from memtui.ui.workers.map_queries import RuleMatches

_MANY = 2000
"""So many VMAs are judged while the operator waits; more are judged by a thread."""


class MarkController:
    """Marks and unmarks, and shows it wherever marks are shown."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._session = screen.session
        self.marking = Marking(screen.session.marks)

    def refresh(self) -> None:
        """Show the marks, wherever they are shown."""
        self._screen.map.show_marks()
        self._screen.processes.show_marked(self._session.marks.counts)
        self.show_standing()

    def show_standing(self) -> None:
        """Show what is marked, and how the next plan would hold its targets."""
        book, read_only = self._session.marks, self._session.options.read_only
        counts = book.counts
        words = marks_words(
            sum(counts.values()),
            book.stale,
            len(counts),
            book.count_bytes,
            self._screen.plans.forecast_words,
            ranging=self.marking.ranging,
        )
        bar = self._screen.status_bar
        bar.outdate(book.version)
        freeze = f"hold target: {hold_words(self._session.freeze)} "
        bar.show_marks(
            SafeText("read only: nothing here can act") if read_only else words,
            SafeText("" if read_only else freeze),
        )

    def _say(self, words: str) -> None:
        """Say what became of the marks; it stands until they change."""
        if words:
            self._screen.status_bar.say(words, topic=self._session.marks.version)

    def _refuses(self) -> bool:
        """Say so, if the cursor is not where a search or a filter was to bring it.

        Keys come together: of ``/cold``, Enter and Space, Space is meant for what is found.
        """
        pane = self._screen.current
        words = pane.why_not_here if isinstance(pane, SearchablePane) else ""
        if words:
            self._screen.status_bar.say(f"{words}: nothing is marked; move the cursor, or Esc", bad=True)
        return bool(words)

    def mark(self) -> None:
        """Mark what is under the cursor, or end a range."""
        if self._refuses():
            return
        screen = self._screen
        shown, vma = screen.map.shown, screen.map.cursor_vma
        if screen.current is screen.processes:
            self._mark_process(screen.processes.under_cursor)
        elif screen.current is screen.map and shown is not None and vma is not None:
            if self.marking.ranging:
                self._say(self.marking.commit(shown, screen.map.table.cursor))
            else:
                self._say(self.marking.toggle(shown, vma))
            self.refresh()

    def _mark_process(self, process: Process | None) -> None:
        if process is None:
            return
        if self._session.marks.drop(process.id):
            self.refresh()
        else:
            who = f"{process.pid} {process.name}"
            self._screen.status_bar.say(f"checking which VMAs of {who} can be marked ...")
            self._session.ask_marks(process.id, self.mark_found)

    def mark_found(self, found: FoundMarks) -> None:
        """Mark what can be marked in a whole process, and give its target back."""
        self._session.marks.add(found.target, found.marks)
        found.target.release()
        who = f"{found.target.process.pid} {found.target.name}"
        left = f"; {found.left_out} {SKIPPED}" if found.left_out else ""
        self._say(f"{count(len(found.marks), 'VMA')} of {who} marked{left}")
        self.refresh()

    def toggle_range(self) -> None:
        """Begin a range, or end it."""
        if self._refuses():
            return
        vma = self._screen.map.cursor_vma
        if self._screen.current is not self._screen.map or vma is None:
            self._screen.status_bar.say("A range is marked in the map: Tab goes there")
        elif self.marking.ranging:
            self.mark()
        else:
            self.marking.begin(vma)
            self.refresh()

    def commit_range(self) -> None:
        """Mark the range in the making, if there is one."""
        shown = self._screen.map.shown
        if self.marking.ranging and shown is not None and self._screen.map.cursor_vma is not None:
            self.marking.commit(shown, self._screen.map.table.cursor)
            self.refresh()

    def abandon_range(self) -> bool:
        """Drop the range in the making; return whether there was one."""
        if not self.marking.ranging:
            return False
        self.marking.abandon()
        self.refresh()
        return True

    def mark_all(self) -> None:
        """Mark all of the map that is shown."""
        shown = self._screen.map.shown
        if self._screen.current is not self._screen.map or shown is None:
            self._screen.status_bar.say(
                "* marks all VMAs of a map: Tab goes there; Space marks a whole process here"
            )
        elif len(shown.indices) > _MANY:
            self._screen.status_bar.say("checking which VMAs can be marked ...")
            view = MapView(shown.target, shown.space)
            self._session.map_queries.ask_all(view, shown.indices, self._session.facts, self._mark_matches)
        else:
            self._say(self.marking.all_shown(shown, self._session.facts))
            self.refresh()

    def unmark_all(self) -> None:
        """Unmark everything, in every process."""
        self.marking.abandon()
        self._session.marks.clear()
        self.refresh()

    def mark_by_rule(self, wanted: Filter, *, marks: bool) -> None:
        """Mark all VMAs of the map that a filter takes, shown or not; or unmark them."""
        view = self._screen.map.view
        if view is not None:
            self._session.map_queries.ask_rule(
                view, wanted, self._session.facts, self._mark_matches, marks=marks
            )

    def _mark_matches(self, found: RuleMatches) -> None:
        shown = Shown(found.view.target, found.view.space)
        if not found.indices:
            self._screen.status_bar.say("no VMA of this map matches", bad=True)
        elif found.marks:
            self._say(self.marking.add(shown, found.chosen, found.left_out))
        else:
            self._say(self.marking.unmark(shown, found.indices))
        self.refresh()

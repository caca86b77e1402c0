"""How rows are found on the main screen: search, filter, sort, tree, user, marks by rule; and pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.widgets import Input

from memtui.format import SafeText
from memtui.model.errors import FilterError
from memtui.ui.marking import Shown
from memtui.ui.screens.deeds import DeedsScreen
from memtui.ui.widgets.finding import FindingPane

if TYPE_CHECKING:
    from memtui.model.filter import Filter
    from memtui.ui import messages as told
    from memtui.ui.session import Session
    from memtui.ui.widgets.prompt import Prompt

_RULES = ("mark", "unmark")
_PAUSED = " PAUSED: z resumes "


class FindingScreen(DeedsScreen):
    """The keys that find, and the prompt."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.is_paused = False
        self._asked = ""
        """What the open prompt is for; empty while it is closed."""
        self._before: Filter | None = None
        self._origin = 0
        self._points = False
        self._prompted: FindingPane | None = None

    @property
    def _finding(self) -> FindingPane | None:
        return self.current if isinstance(self.current, FindingPane) else None

    # The prompt

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Have no other prompt, pane or screen while the prompt is open."""
        if action in ("prompt", "next_pane", "ledger") and self._asked:
            return False
        return super().check_action(action, parameters)

    def action_prompt(self, what: str) -> None:
        """Open the prompt: for a filter, a search, or a rule that marks or unmarks."""
        pane = self._finding
        if pane is None or (what in _RULES and pane is not self.map):
            where = "the map" if what in _RULES else "the process list and the map"
            self.bottom.say(f"{what}: only in {where}; Tab goes there")
            return
        self._prompted, self._asked = pane, what
        self._before, self._origin = pane.wanted, pane.table.cursor
        text = pane.wanted.text if pane.wanted is not None and what != "search" else ""
        if what == "search":
            pane.give_up()
        self.bottom.say("")
        self.bottom.prompt_for(what, text, self.end_prompt)

    @on(Input.Changed, "#prompt-text")
    def typed(self) -> None:
        """Show at once what comes of it; a wrong term is pointed at, and changes nothing."""
        pane, wanted = self._prompted, self._parsed()
        if pane is not None and wanted is not None:
            self._apply(pane, wanted)

    def _apply(self, pane: FindingPane, wanted: Filter) -> None:
        last = pane.wanted if self._asked == "filter" else pane.searched
        if last is not None and last.text == wanted.text:
            return
        if self._asked == "filter":
            pane.show_only(wanted)
        elif self._asked == "search" and not wanted.is_empty:
            pane.search(wanted, self._origin, 0)

    def _parsed(self) -> Filter | None:
        pane = self._prompted
        if pane is None or not self._asked:
            return None
        from memtui.model.filter import parse

        try:
            wanted = parse(self.bottom.prompt.text, pane.subject, in_box=True)
        except FilterError as error:
            from memtui.render.filter import describe_filter_error

            self.bottom.point_at(error.column, describe_filter_error(error))
            self._points = True
            return None
        if self._points:
            self.bottom.say("")
            self._points = False
        return wanted

    def end_prompt(self, accepted: bool) -> None:
        """Keep what was typed, or have it as it was."""
        pane, what = self._prompted, self._asked
        if pane is None or not what:
            return
        wanted = self._parsed() if accepted else None
        if accepted and wanted is None:
            # It stays open, at the term that is wrong.
            self.bottom.prompt.stay()
            return
        if wanted is not None:
            # Who types fast ends it before all that was typed has come through.
            self._apply(pane, wanted)
        self._asked = ""
        self.bottom.close_prompt()
        self.show_pane(pane)
        if what == "filter" and not accepted:
            pane.show_only(self._before)
        elif what == "search" and not accepted:
            self._go_back_to_origin(pane)
        elif what in _RULES and wanted is not None and not wanted.is_empty:
            self._by_rule(wanted, marks=what == "mark")

    def _go_back_to_origin(self, pane: FindingPane) -> None:
        pane.give_up()
        self.bottom.say("")
        if self._origin < len(pane.table.rows):
            pane.table.go_to(pane.table.rows.key(self._origin))

    def on_prompt_list_moved(self, message: Prompt.ListMoved) -> None:
        """Let the arrows move the list's cursor while a filter is typed."""
        self.current.table.action_move(message.rows)

    # What the arranger answers

    def on_map_arranged(self, message: told.MapArranged) -> None:
        """Show the map in its order."""
        self.map.show_arranged(message)

    def on_picture_framed(self, message: told.PictureFramed) -> None:
        """Draw the picture of the address space."""
        self.map.picture.show_frame(message)

    def on_matches_found(self, message: told.MatchesFound) -> None:
        """Go to the next match."""
        self.map.show_matches(message)

    def on_finding_pane_found(self, message: FindingPane.Found) -> None:
        """Say which match the cursor is on."""
        if message.of:
            self.bottom.say(f"match {message.number:,} of {message.of:,}  (n next, N before)")
        else:
            self.bottom.say("nothing matches", bad=True)

    def refuses_to_mark(self) -> bool:
        """Say so, if the cursor is not where a search or a filter was to bring it.

        Keys come together: of ``/cold``, Enter and Space, Space is meant for what is found.
        """
        pane = self._finding
        words = "" if pane is None else pane.why_not_here
        if words:
            self.bottom.say(f"{words}: nothing is marked; move the cursor, or Esc", bad=True)
        return bool(words)

    def _by_rule(self, wanted: Filter, *, marks: bool) -> None:
        if self.map.view is not None:
            self.session.finder.ask_rule(self.map.view, wanted, self.session.facts, marks=marks)

    def on_rule_matched(self, message: told.RuleMatched) -> None:
        """Mark or unmark what the rule took."""
        shown = Shown(message.view.target, message.view.space)
        if not message.indices:
            self.bottom.say("no VMA of this map matches", bad=True)
        elif message.marks:
            self.say_marked(self.marking.add(shown, message.chosen, message.left_out))
        else:
            self.say_marked(self.marking.unmark(shown, message.indices))
        self.refresh_marks()

    # The other keys

    def action_seek(self, step: int) -> None:
        """Go to the next match, or to the one before."""
        pane = self._finding
        if pane is None or pane.searched is None:
            self.bottom.say("nothing is searched for yet: / searches")
        else:
            pane.seek(pane.table.cursor, step)

    def action_sort(self, step: int) -> None:
        """Sort by another column."""
        if self._finding is not None:
            self._finding.sort_on(step)
            self._say_sorting(self._finding)

    def action_invert(self) -> None:
        """Sort the other way round."""
        if self._finding is not None:
            self._finding.invert()
            self._say_sorting(self._finding)

    def _say_sorting(self, pane: FindingPane) -> None:
        sorting = pane.sorting
        self.bottom.say(f"sorted by {sorting.key}, {'downward' if sorting.is_downward else 'upward'}")

    def action_tree(self) -> None:
        """Show the processes as a tree, or as a list."""
        is_tree = self.processes.toggle_tree()
        self.bottom.say("processes below their parents" if is_tree else "processes in one list")

    def action_user(self) -> None:
        """Show the processes of one user, or of all."""
        self.processes.toggle_user()

    def action_follow(self) -> None:
        """Have the cursor follow its row, or stay on its line."""
        table = self.current.table
        table.follows = not table.follows
        self.bottom.say(
            "the cursor follows its row" if table.follows else "the cursor stays on its line: F follows again"
        )

    def action_pause(self) -> None:
        """Let everything stand as it is, or go on."""
        self.is_paused = not self.is_paused
        self.session.pause(self.is_paused)
        self.system.set_class(self.is_paused, "-paused")
        # Here, since the line below belongs to whatever is said next.
        words = self.system.text.removeprefix(_PAUSED)
        self.system.text = SafeText(_PAUSED + words if self.is_paused else words)
        self.bottom.say("nothing is read until z resumes" if self.is_paused else "")

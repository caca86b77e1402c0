"""What the arranger thread is asked of a map: its order, the matches of a search, what a rule takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memtui.ui.lists.order import Arrangement, Stale, arrange, is_live, matching
from memtui.ui.lists.picture import frame_of
from memtui.ui.marking import eligible
from memtui.ui.messages import MapArranged, MapView, MatchesFound, PictureFramed, Post, RuleMatched

if TYPE_CHECKING:
    from memtui.host import Target
    from memtui.model.filter import Filter
    from memtui.model.verdict import MachineFacts
    from memtui.ui.arranger import Arranger
    from memtui.ui.marks import Shelf

_ORDER, _MATCHES, _RULE, _FRAME = "order", "matches", "rule", "frame"


class Finder:
    """Used by the UI thread; the answers are messages."""

    def __init__(self, arranger: Arranger, shelf: Shelf, post: Post) -> None:
        self._arranger = arranger
        self._shelf = shelf
        self._post = post
        self._last: tuple[MapView, str, list[int]] | None = None

    def drop(self) -> None:
        """Wait for no order any more: the map is shown as it is, or is another one."""
        self._arranger.drop(_ORDER)

    def drop_frame(self) -> None:
        """Wait for no picture any more."""
        self._arranger.drop(_FRAME)

    def ask_frame(self, view: MapView, cells: int) -> None:
        """Have the layout shared out among the cells of the picture; the answer is a PictureFramed."""

        def question(stale: Stale) -> None:
            began = time.monotonic()
            frame = frame_of(view.space.vmas, cells, stale)
            self._post(PictureFramed(view, frame, time.monotonic() - began))

        self._arranger.ask(_FRAME, question)

    def ask_order(self, view: MapView, how: Arrangement) -> None:
        """Have the order of a map made; the answer is a MapArranged."""

        def question(stale: Stale) -> None:
            began = time.monotonic()
            order = arrange(view.space, how, view.target.judge, stale)
            self._post(MapArranged(view, how, order, time.monotonic() - began))

        self._ask(_ORDER, view.target, question)

    def ask_matches(
        self, view: MapView, order: Sequence[int] | None, wanted: Filter, origin: int, step: int
    ) -> None:
        """Have the rows looked for that a filter takes; the answer is a MatchesFound."""

        def question(stale: Stale) -> None:
            found = self._matches(view, wanted, stale)
            rows = found
            if order is not None:
                taken = frozenset(found)
                rows = [row for row, at in enumerate(order) if at in taken]
            self._post(MatchesFound(view, order, rows, origin, step))

        self._ask(_MATCHES, view.target, question)

    def ask_rule(self, view: MapView, wanted: Filter, facts: MachineFacts, *, marks: bool) -> None:
        """Have the VMAs looked for that a filter takes, shown or not; the answer is a RuleMatched."""

        def question(stale: Stale) -> None:
            found = matching(view.space, wanted, view.target.judge, stale)
            chosen, left = eligible(view.space, found, facts) if marks else ([], 0)
            self._post(RuleMatched(view, found, chosen, left, marks=marks))

        self._ask(_RULE, view.target, question)

    def ask_all(self, view: MapView, indices: Sequence[int], facts: MachineFacts) -> None:
        """Have it looked which of many VMAs can be marked; the answer is a RuleMatched."""

        def question(stale: Stale) -> None:
            self._post(RuleMatched(view, indices, *eligible(view.space, indices, facts), marks=True))

        self._ask(_RULE, view.target, question)

    def _matches(self, view: MapView, wanted: Filter, stale: Stale) -> list[int]:
        last = self._last
        if last is not None and last[1] == wanted.text and last[0].space.vmas is view.space.vmas:
            looked, _, found = last
            if looked.space is view.space or not is_live(wanted):
                return found
        found = matching(view.space, wanted, view.target.judge, stale)
        self._last = (view, wanted.text, found)
        return found

    def _ask(self, subject: str, target: Target, question: Callable[[Stale], None]) -> None:
        def guarded(stale: Stale) -> None:
            # A verdict asks the process itself, which may be let go of meanwhile.
            if not self._shelf.take(target):
                return
            try:
                question(stale)
            finally:
                self._shelf.give_back(target)

        self._arranger.ask(subject, guarded)

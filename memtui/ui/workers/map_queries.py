"""Questions about a map that may be long: its order, the matches of a search, what a rule takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from memtui.ui.marking import eligible
from memtui.ui.presentation.address_bar import Frame, frame_of
from memtui.ui.presentation.order import Arrangement, arrange, is_live, matching

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from memtui.model.filter import Filter
    from memtui.model.verdict import MachineFacts
    from memtui.model.vma import Vma
    from memtui.ui.messages import MapView
    from memtui.ui.workers.query_worker import QueryWorker

_ORDER, _MATCHES, _RULE, _FRAME = "order", "matches", "rule", "frame"


class RuleMatches(NamedTuple):
    """The VMAs of a map that a filter takes: to be marked, or to be unmarked.

    ``chosen`` are those that may be marked, ``left_out`` is how many may not.
    """

    view: MapView
    indices: Sequence[int]
    chosen: list[Vma]
    left_out: int
    marks: bool


class MapQueries:
    """Used by the UI thread. An answer comes by a callback; a newer question replaces one of its kind."""

    def __init__(self, worker: QueryWorker) -> None:
        self._worker = worker
        self._last: tuple[MapView, str, list[int]] | None = None

    def drop_order(self) -> None:
        """Wait for no order any more: the map is shown as it is, or is another one."""
        self._worker.drop(_ORDER)

    def drop_frame(self) -> None:
        """Wait for no frame any more."""
        self._worker.drop(_FRAME)

    def ask_frame(self, view: MapView, cells: int, then: Callable[[Frame, float], None]) -> None:
        """Share a layout out among the cells of the address bar; ``then`` gets the cost in seconds, too."""

        def question(cancelled: threading.Event) -> tuple[Frame, float]:
            began = time.monotonic()
            return frame_of(view.space.vmas, cells, cancelled.is_set), time.monotonic() - began

        self._worker.ask(question, lambda answer: then(*answer), subject=_FRAME)

    def ask_order(
        self, view: MapView, how: Arrangement, then: Callable[[Sequence[int], float], None]
    ) -> None:
        """Make the order of a map; ``then`` gets the cost in seconds, too."""

        def question(cancelled: threading.Event) -> tuple[Sequence[int], float]:
            began = time.monotonic()
            order = arrange(view.space, how, view.target.judge, cancelled.is_set)
            return order, time.monotonic() - began

        # The target is kept open: a verdict asks the process itself.
        self._worker.ask(question, lambda answer: then(*answer), subject=_ORDER, target=view.target)

    def ask_matches(
        self,
        view: MapView,
        order: Sequence[int] | None,
        wanted: Filter,
        then: Callable[[Sequence[int]], None],
    ) -> None:
        """Find the rows of a map, shown in ``order``, that a filter takes."""

        def question(cancelled: threading.Event) -> Sequence[int]:
            found = self._matches(view, wanted, cancelled)
            if order is None:
                return found
            taken = frozenset(found)
            return [row for row, at in enumerate(order) if at in taken]

        self._worker.ask(question, then, subject=_MATCHES, target=view.target)

    def ask_rule(
        self,
        view: MapView,
        wanted: Filter,
        facts: MachineFacts,
        then: Callable[[RuleMatches], None],
        *,
        marks: bool,
    ) -> None:
        """Find the VMAs that a filter takes, shown or not."""

        def question(cancelled: threading.Event) -> RuleMatches:
            found = matching(view.space, wanted, view.target.judge, cancelled.is_set)
            chosen, left = eligible(view.space, found, facts) if marks else ([], 0)
            return RuleMatches(view, found, chosen, left, marks)

        self._worker.ask(question, then, subject=_RULE, target=view.target)

    def ask_all(
        self, view: MapView, indices: Sequence[int], facts: MachineFacts, then: Callable[[RuleMatches], None]
    ) -> None:
        """Check which of many VMAs can be marked."""

        def question(_cancelled: threading.Event) -> RuleMatches:
            return RuleMatches(view, indices, *eligible(view.space, indices, facts), marks=True)

        self._worker.ask(question, then, subject=_RULE, target=view.target)

    def _matches(self, view: MapView, wanted: Filter, cancelled: threading.Event) -> list[int]:
        last = self._last
        if last is not None and last[1] == wanted.text and last[0].space.vmas is view.space.vmas:
            looked, _, found = last
            if looked.space is view.space or not is_live(wanted):
                return found
        found = matching(view.space, wanted, view.target.judge, cancelled.is_set)
        self._last = (view, wanted.text, found)
        return found

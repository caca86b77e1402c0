"""The search in a map: a worker finds the matches, one question at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memtui.model.filter import Filter
    from memtui.ui.messages import MapView
    from memtui.ui.workers.map_queries import MapQueries


class MapMatches(NamedTuple):
    """The rows of a map, as it stood in ``order``, that a search takes.

    It went from row ``origin`` by ``step``, and then ``more`` steps were asked for.
    """

    view: MapView
    order: Sequence[int] | None
    rows: Sequence[int]
    origin: int
    step: int
    more: int


class MapSearch:
    """Asks for matches; ``show`` gets them, with how many steps more were asked for meanwhile."""

    def __init__(self, queries: MapQueries, show: Callable[[MapMatches], None]) -> None:
        self._queries = queries
        self._show = show
        self._sought: Filter | None = None
        self._steps_more = 0

    @property
    def is_looking(self) -> bool:
        """Whether an answer is awaited."""
        return self._sought is not None

    def reset(self) -> None:
        """Await no answer any more."""
        self._sought = None

    def seek(
        self, view: MapView, order: Sequence[int] | None, wanted: Filter, origin: int, step: int
    ) -> None:
        """Look for what a filter takes in a map that stands in ``order``."""
        if self._sought is wanted:
            # To ask again would be to begin again: who holds n down would wait for ever.
            self._steps_more += step
            return
        self._sought, self._steps_more = wanted, 0
        self._queries.ask_matches(view, order, wanted, partial(self._answered, view, order, origin, step))

    def _answered(
        self, view: MapView, order: Sequence[int] | None, origin: int, step: int, rows: Sequence[int]
    ) -> None:
        self._sought = None
        self._show(MapMatches(view, order, rows, origin, step, self._steps_more))

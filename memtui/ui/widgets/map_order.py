"""Which order a map is shown in, where it is filtered or sorted: a worker makes it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memtui.ui.messages import MapView
    from memtui.ui.presentation.map import MapRows
    from memtui.ui.presentation.order import Arrangement
    from memtui.ui.workers.map_queries import MapQueries

_SHARE_OF_TIME = 10
"""No more than one part of so many of the time is spent on making the order again."""


class MapOrder:
    """Asks for the order of each look that needs a new one; ``show`` gets the look and its order."""

    def __init__(self, queries: MapQueries, show: Callable[[MapView, Sequence[int] | None], None]) -> None:
        self._queries = queries
        self._show = show
        self._order: Sequence[int] | None = None
        self._not_before = 0.0

    @property
    def is_made(self) -> bool:
        """Whether there is an order of what is to be shown now, though perhaps of an older look."""
        return self._order is not None

    def reset(self) -> None:
        """Forget the order: it is asked for of another map, or another filter or sorting, from now on."""
        self._order, self._not_before = None, 0.0
        self._queries.drop_order()

    def arrange(self, view: MapView, how: Arrangement, shown: MapRows | None) -> None:
        """Show a look in its order; while that is made again, what stands there stays."""
        if how.is_plain:
            self._queries.drop_order()
            self._put(view, None)
            return
        same = shown is not None and self._order is not None and shown.space.vmas is view.space.vmas
        waits = shown is not None and time.monotonic() < self._not_before
        if not waits and not (same and not how.is_live):
            self._queries.ask_order(view, how, partial(self._answered, view))
        elif same:
            self._put(view, self._order)

    def _answered(self, view: MapView, order: Sequence[int], cost_s: float) -> None:
        self._not_before = time.monotonic() + cost_s * _SHARE_OF_TIME
        self._put(view, order)

    def _put(self, view: MapView, order: Sequence[int] | None) -> None:
        self._order = order
        self._show(view, order)

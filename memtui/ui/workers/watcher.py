"""The thread that looks back: how much of what was moved has come back, for a minute after an action."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from memtui.host import KEPT_LOOKS_S, Host
from memtui.model.errors import MemtuiError
from memtui.ui.messages import LookedBack, Post, RestoredSince, Said
from memtui.ui.workers.sampler import words_of

LOOKS_S: tuple[int, ...] = (*range(1, 11), *range(15, 61, 5))
"""When a report is looked back at, in seconds after it: often at first, when most comes back."""
KEPT_S = frozenset(KEPT_LOOKS_S)
"""Which of the looks go into the ledger."""
RESTORED_EVERY_S = 5.0
"""How often it is looked whether another memtui has put back what is looked at no more."""


@dataclass(slots=True)
class _Watched:
    since: float
    looked: int = 0
    """How many of the looks are over."""

    def next_s(self) -> float:
        return self.since + LOOKS_S[self.looked]

    def take_due(self, now: float) -> list[int]:
        """Return the looks that are due, and count them as done."""
        due = [after_s for after_s in LOOKS_S[self.looked :] if self.since + after_s <= now]
        self.looked += len(due)
        return due


class Watcher(threading.Thread):
    """Looks back until each report's minute is over. Public methods may be called from any thread.

    ``clock`` is in seconds. A look that was missed is not made up for, but one that belongs into the
    ledger is recorded late rather than lost.
    """

    def __init__(self, host: Host, post: Post, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name="memtui-watcher", daemon=True)
        self._host = host
        self._post = post
        self._clock = clock
        self._wake = threading.Condition()
        self._stopping = False
        self._watched: dict[str, _Watched] = {}
        self._over: dict[str, None] = {}
        self._next_over = 0.0

    def watch(self, report_id: str) -> None:
        """Begin to look back at a report that was just made."""
        with self._wake:
            self._watched[report_id] = _Watched(self._clock())
            self._wake.notify()

    def forget(self, report_id: str) -> None:
        """Look no more: what comes back from now on was put back, and says nothing of the advice."""
        with self._wake:
            self._watched.pop(report_id, None)
            self._over.pop(report_id, None)

    def stop(self) -> None:
        """End. Does not wait: a look may be stuck in the kernel."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def run(self) -> None:
        """Look when a look is due."""
        while self._wait_until_due():
            self.look_at_due()

    def _wait_until_due(self) -> bool:
        """Return False once it is to end."""
        with self._wake:
            while not self._stopping:
                due = [item.next_s() for item in self._watched.values()]
                due += [self._next_over] if self._over else []
                left_s = min(due, default=None)
                if left_s is not None:
                    left_s -= self._clock()
                    if left_s <= 0:
                        return True
                self._wake.wait(left_s)
            return False

    def look_at_due(self) -> None:
        """Do the looks that are due now."""
        with self._wake:
            watched = list(self._watched.items())
        for report_id, item in watched:
            due = item.take_due(self._clock())
            if not due or self._stopping or self._watched.get(report_id) is not item:
                continue
            if not self._look(report_id, kept=not KEPT_S.isdisjoint(due)):
                item.looked = len(LOOKS_S)
        with self._wake:
            for report_id, item in watched:
                if item.looked >= len(LOOKS_S) and self._watched.get(report_id) is item:
                    del self._watched[report_id]
                    self._over[report_id] = None
        self._look_for_restores()

    def _look_for_restores(self) -> None:
        """Tell what another memtui has put back, of all that is looked back at no more."""
        with self._wake:
            if self._clock() < self._next_over:
                return
            self._next_over = self._clock() + RESTORED_EVERY_S
            over = list(self._over)
        for report_id in over:
            if self._host.was_restored(report_id):
                with self._wake:
                    self._over.pop(report_id, None)
                self._post(RestoredSince(report_id))

    def _look(self, report_id: str, *, kept: bool) -> bool:
        """Look once; return whether there is anything to look at any more."""
        try:
            back = self._host.look_back(report_id, record=kept)
        except MemtuiError as error:
            self._post(Said(f"looking what came back: {words_of(error)}", bad=True))
            return True
        except Exception as error:  # The thread must live on; the operator is told, and once is enough.
            self._post(Said(f"looking what came back: {words_of(error)}", bad=True))
            return False
        if back is not None:
            self._post(LookedBack(report_id, back, kept=kept))
            if back.warning is not None:
                self._post(Said(f"looking what came back: {back.warning}", bad=True))
        return back is not None

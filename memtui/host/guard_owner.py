"""The one owner of the guard process of a host."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from memtui.freeze.client import Guard


class GuardOwner:
    """Starts the guard when it is first needed, and a new one once it has ended.

    :meth:`panic` and :meth:`drop` take no lock: the thread that holds it may wait for the guard.
    """

    def __init__(self, journal_dir: Path) -> None:
        self._journal_dir = journal_dir
        self._lock = threading.Lock()
        self._guard: Guard | None = None
        self._dropped = False

    @property
    def current(self) -> Guard | None:
        """The guard, if one was started."""
        return self._guard

    @property
    def is_dropped(self) -> bool:
        """Whether nothing is to be held any more."""
        return self._dropped

    def get(self) -> Guard:
        """Return a guard that runs.

        Raises:
            MemtuiError: CANCELLED after :meth:`drop`; FREEZE_NO_GUARD.
        """
        from memtui.freeze.client import Guard

        with self._lock:
            if self._dropped:
                raise MemtuiError(Reason.CANCELLED, "", "memtui is ending")
            if self._guard is not None and not self._guard.is_alive():
                self._guard.close()
                self._guard = None
            if self._guard is None:
                self._guard = Guard.start(self._journal_dir)
            return self._guard

    def panic(self) -> None:
        """Have the guard release whatever it holds, at once."""
        guard = self._guard
        if guard is not None:
            guard.panic()

    def drop(self) -> None:
        """Close the guard's sockets, whereupon it releases everything, and start none any more."""
        self._dropped = True
        guard = self._guard
        if guard is not None:
            guard.drop()

    def close(self) -> None:
        """End the guard, and wait for that a moment at most; start none any more."""
        self._dropped = True
        with self._lock:
            guard, self._guard = self._guard, None
        if guard is not None:
            guard.close()

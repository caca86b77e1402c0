"""The open targets of a host, and how many users each has."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from memtui.model.process import Liveness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memtui.model.process import ProcessId


class PooledTarget(Protocol):
    """What the pool needs of a target."""

    @property
    def process(self) -> ProcessId:
        """Who it is."""

    @property
    def generation(self) -> int:
        """The number of this opening: no other target of this program has it."""

    def standing(self) -> Liveness:
        """Return what became of it."""

    def dispose(self) -> None:
        """Close its files. The pool calls this once the last user has gone."""


T = TypeVar("T", bound=PooledTarget)


class TargetPool(Generic[T]):
    """The one owner of the open targets. Counts their users, and disposes of a target with the last of them.

    May be used from any thread. No lock is held while a process is opened or asked what became of it: both
    read /proc, which may block.
    """

    def __init__(self, open_target: Callable[[int], T]) -> None:
        self._open_target = open_target
        self._lock = threading.Lock()
        self._users: dict[T, int] = {}

    def open(self, pid: int) -> T:
        """Return the target of a process with one user more; opened, unless it is open and still alive.

        Raises:
            MemtuiError: if it is not there, is a kernel thread or a zombie, or may not be seen.
        """
        with self._lock:
            known = [target for target in self._users if target.process.pid == pid]
        for target in known:
            if self.acquire(target):
                if target.standing() is Liveness.ALIVE:
                    return target
                self.release(target)
        target = self._open_target(pid)
        with self._lock:
            self._users[target] = 1
        return target

    def acquire(self, target: T) -> bool:
        """Count one user more; False if the target was disposed of before."""
        with self._lock:
            if target not in self._users:
                return False
            self._users[target] += 1
            return True

    def release(self, target: T) -> None:
        """Count one user less, and dispose of the target after the last. Does nothing once it is gone."""
        with self._lock:
            if target not in self._users:
                return
            self._users[target] -= 1
            if self._users[target]:
                return
            del self._users[target]
        target.dispose()

    def get(self, generation: int) -> T | None:
        """Return the target of an opening; None if it was disposed of. Counts nobody."""
        with self._lock:
            return next((target for target in self._users if target.generation == generation), None)

    def close(self, in_use: Iterable[object] = ()) -> None:
        """Dispose of all targets, but of those in use just now: once for each user who will release it.

        A file that is closed while another thread reads it gives its number to the next one that is opened.
        """
        left = Counter(map(id, in_use))
        with self._lock:
            gone = [target for target in self._users if not left[id(target)]]
            self._users = {target: left[id(target)] for target in self._users if left[id(target)]}
        for target in gone:
            target.dispose()

"""The targets that are open on this machine, each of them once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host.target import LocalTarget
from memtui.model.process import Standing

if TYPE_CHECKING:
    from memtui.model.verdict import MachineFacts


class Opened:
    """Counts who has a target open, and closes it when the last has gone. From any thread."""

    def __init__(self, state_dir: Path, facts: Callable[[], MachineFacts]) -> None:
        self._state_dir = state_dir
        self._facts = facts
        self._targets: dict[int, LocalTarget] = {}
        self._lock = threading.Lock()

    def open(self, pid: int) -> LocalTarget:
        """Open a process; the same one twice is one target with two users.

        Raises:
            MemtuiError: if it is not there, is a kernel thread or a zombie, or may not be seen.
        """
        with self._lock:
            for known in self._targets.values():
                if known.process.pid == pid and known.standing() is Standing.ALIVE:
                    known.users += 1
                    return known
            target = LocalTarget(pid, self._state_dir, self._facts, self._forget)
            self._targets[target.generation] = target
            return target

    def at(self, generation: int) -> LocalTarget | None:
        """Return the target of an opening; None if it is closed."""
        with self._lock:
            return self._targets.get(generation)

    def watch(self, generation: int) -> LocalTarget | None:
        """Return a target that now is open for a watch too; None if it is closed."""
        with self._lock:
            target = self._targets.get(generation)
            if target is not None:
                # It is closed again when the watch ends.
                target.users += 1
                target.watches += 1
            return target

    def unwatch(self, target: LocalTarget) -> None:
        """End a watch."""
        with self._lock:
            target.watches -= 1
        self._forget(target)

    def _forget(self, target: LocalTarget) -> None:
        with self._lock:
            target.users -= 1
            if target.users > 0 or target.watches:
                return
            self._targets.pop(target.generation, None)
            target.handle.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            for target in self._targets.values():
                # What is being looked at just now is closed by the look: else another file might get
                # the number of the one that it reads.
                target.users = 0
                if not target.watches:
                    target.handle.close()
            self._targets.clear()

"""What comes for a screen before it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.message import Message


class Early:
    """Keeps messages until they are taken, once. From any thread. ``awaited`` is the kind to wait for."""

    def __init__(self, awaited: type[Message]) -> None:
        self._awaited = awaited
        self._kept: list[Message] | None = []
        self._lock = threading.Lock()
        self._has_come = threading.Event()

    def wait(self, seconds: float) -> None:
        """Wait a moment for the first message of the awaited kind."""
        self._has_come.wait(seconds)

    def keep(self, message: Message) -> bool:
        """Keep a message; return False once it can be delivered."""
        with self._lock:
            if self._kept is None:
                return False
            self._kept.append(message)
            if isinstance(message, self._awaited):
                self._has_come.set()
            return True

    def hand_over(self, take: Callable[[Message], None]) -> None:
        """Have what was kept taken, in its order, and keep nothing from now on: none overtakes another."""
        with self._lock:
            kept, self._kept = self._kept or [], None
            for message in kept:
                take(message)

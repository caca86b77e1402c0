"""Messages that come before the screen stands."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from memtui.ui.messages import Post


class StartupQueue:
    """Keeps messages until the screen takes them, once. From any thread.

    ``awaited`` is the kind that is worth waiting for; ``post`` is how messages are posted from then on.
    """

    def __init__(self, awaited: type[Message], post: Post) -> None:
        self._awaited = awaited
        self._post = post
        self._kept: list[Message] = []
        self._has_ended = False
        self._lock = threading.Lock()
        self._has_come = threading.Event()

    def wait(self, seconds: float) -> None:
        """Wait a moment for the first message of the awaited kind."""
        self._has_come.wait(seconds)

    def put(self, message: Message) -> None:
        """Keep a message."""
        with self._lock:
            if not self._has_ended:
                self._kept.append(message)
                if isinstance(message, self._awaited):
                    self._has_come.set()
                return
        # From a thread that was just about to put it here.
        self._post(message)

    def end(self, take: Callable[[Message], None]) -> Post:
        """Take what was kept, in its order, and keep nothing from now on: none overtakes another.

        Returns how to post from now on, without this queue between.
        """
        with self._lock:
            self._has_ended = True
            kept, self._kept = self._kept, []
            for message in kept:
                take(message)
        return self._post

"""How the TUI ends when it is told to from outside, and how nothing it held stays held.

Signals are acted on even while a stalled terminal blocks the event loop. First the targets are released,
without a word to the terminal, then the app is asked to end; the process ends even if the app cannot.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from memtui.shutdown import ENDING, SignalWatch


class Lifeline(SignalWatch):
    """Holds the signals while the app runs. ``end`` is called with an exit code, from a thread of its own.

    Raises:
        MemtuiError: NO_TASKS, on entering it.
    """

    def __init__(self, release: Callable[[], None], end: Callable[[int], None], terminal_fd: int = 0) -> None:
        super().__init__(self._let_end, fatal=ENDING, look=self._look_at_terminal, ignored_too=True)
        self._release = release
        self._end = end
        self._terminal_fd = terminal_fd

    def __exit__(self, *_: object) -> None:
        self._release()
        super().__exit__()

    def _let_end(self, number: int) -> None:
        try:
            self._release()
        finally:
            self._end(128 + number)

    def _look_at_terminal(self) -> int | None:
        """End when the terminal is gone, with SIGHUP ignored or lost: reading it would spin for ever."""
        return None if os.isatty(self._terminal_fd) else signal.SIGHUP

"""How the TUI ends when it is told to from outside, and how nothing it held stays held.

Signals reach Python handlers even while a stalled terminal blocks the event loop. A handler first has
the targets released, without a word to the terminal, then asks the app to end, and sees to it that the
process ends even if the app cannot.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

HARD_EXIT_AFTER_S = 2.0
"""How long the app may take to end by itself."""
_WATCH_EVERY_S = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Lifeline:
    """Holds the signals while the app runs. ``end`` is called with an exit code, from any thread."""

    def __init__(self, release: Callable[[], None], end: Callable[[int], None], terminal_fd: int = 0) -> None:
        self._release = release
        self._end = end
        self._terminal_fd = terminal_fd
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._hard_exit: threading.Timer | None = None
        self._over = threading.Event()

    def __enter__(self) -> Lifeline:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch_terminal, name="memtui-terminal", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._release()
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)
        if self._hard_exit is not None:
            self._hard_exit.cancel()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._let_end(number)

    def _let_end(self, number: int) -> None:
        code = 128 + number
        try:
            self._release()
        finally:
            if self._hard_exit is None:
                self._hard_exit = threading.Timer(HARD_EXIT_AFTER_S, os._exit, (code,))
                self._hard_exit.daemon = True
                self._hard_exit.start()
            self._end(code)

    def _watch_terminal(self) -> None:
        """End when the terminal is gone, with SIGHUP ignored or lost: reading it would spin for ever."""
        while not self._over.wait(_WATCH_EVERY_S):
            if not os.isatty(self._terminal_fd):
                self._let_end(signal.SIGHUP)
                return

"""Ending a command that acts: by SIGINT at the next edge, by SIGTERM and SIGHUP at once."""

from __future__ import annotations

import os
import signal
import threading
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memtui.host.local import LocalHost
    from memtui.model.report import Progress

_HARD_EXIT_S = 2.0


class Signals:
    """Ends at the next call's edge on SIGINT; on SIGTERM and SIGHUP also releases what is held, at once.

    A handler may interrupt the main thread while that holds a lock, so it takes none: a thread does
    what there is to do.
    """

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self._told: SimpleQueue[int] = SimpleQueue()
        self._before: dict[int, Any] = {}
        self.came = False

    def __enter__(self) -> Signals:
        threading.Thread(target=self._act, daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._told.put(0)

    def cancel_again(self, _progress: Progress) -> None:
        """Cancel a plan that was begun just when the signal came."""
        if self.came:
            self._host.cancel()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.came = True
        self._told.put(number)

    def _act(self) -> None:
        while number := self._told.get():
            self._host.cancel()
            if number != signal.SIGINT:
                timer = threading.Timer(_HARD_EXIT_S, os._exit, (128 + number,))
                timer.daemon = True
                timer.start()
                self._host.release()

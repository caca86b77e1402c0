"""Ending a command that acts: by SIGINT at the next edge, by SIGTERM and SIGHUP at once."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from memtui.shutdown import SignalWatch

if TYPE_CHECKING:
    from memtui.host.local import LocalHost
    from memtui.model.report import Progress


class Signals(SignalWatch):
    """Ends at the next call's edge on SIGINT; on SIGTERM and SIGHUP also releases what is held, at once.

    Attributes:
        cancelled: set by each of them: for what is looked at before anything is done.
    """

    def __init__(self, host: LocalHost) -> None:
        super().__init__(self._cancel, fatal=(signal.SIGTERM, signal.SIGHUP))
        self._host = host
        self.cancelled = threading.Event()

    def __enter__(self) -> Signals:
        super().__enter__()
        return self

    def cancel_again(self, _progress: Progress) -> None:
        """Cancel a plan that was begun just when the signal came."""
        if self.came:
            self._host.cancel()

    def _cancel(self, number: int) -> None:
        self.cancelled.set()
        self._host.cancel()
        if number != signal.SIGINT:
            self._host.release()

"""The child that shares memory with the practice process and does nothing else."""

from __future__ import annotations

import os
import signal

from memtui.practice import memory


class WaitingChild:
    """A forked child that lives until it is ended, or until its parent dies in whatever way."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _wait_for_end(reading, self._writing)
            finally:
                os._exit(0)
        os.close(reading)

    def end(self) -> None:
        """End it and wait for it."""
        if self.pid:
            os.close(self._writing)
            self._writing = -1
            os.waitpid(self.pid, 0)
            self.pid = 0


def _wait_for_end(reading: int, writing: int) -> None:
    memory.die_with_parent(signal.SIGKILL)
    memory.set_name("practice-child")
    os.close(writing)
    # The parent's pipes must end with the parent.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nowhere, fd)
    os.read(reading, 1)

"""A program on a pseudo-terminal: what it writes, how soon, and what CPU it takes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from types import TracebackType

COLUMNS, ROWS = 120, 40


def htop() -> list[str] | None:
    """Return how to start htop, or None where it is not installed."""
    path = shutil.which("htop")
    return None if path is None else [path]


class Screen:
    """A program on a terminal of 120x40, in truecolor. Ends with the block it is used in."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        given = {"TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})}
        pid, fd = pty.fork()
        if pid == 0:
            try:
                os.environ.update(given)
                os.execvp(command[0], command)
            finally:
                os._exit(127)
        self.pid, self._fd = pid, fd
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            with suppress(RuntimeError):
                self.read_for(0.02)
        os.close(self._fd)

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def read_for(self, seconds: float) -> bytes:
        """Return all that it writes in a time."""
        found = bytearray()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            found += self._read(left)
        return bytes(found)

    def read_until_quiet(self, quiet_s: float, at_most_s: float = 5.0) -> tuple[bytes, float | None]:
        """Return what it writes until it is quiet for a while, and after how many seconds it began."""
        began = time.monotonic()
        found, first = bytearray(), None
        while time.monotonic() - began < at_most_s:
            data = self._read(quiet_s)
            if not data:
                break
            first = time.monotonic() - began if first is None else first
            found += data
        return bytes(found), first

    def _read(self, within_s: float) -> bytes:
        ready, _, _ = select.select([self._fd], [], [], within_s)
        if not ready:
            return b""
        try:
            return os.read(self._fd, 1 << 16)
        except OSError as error:
            raise RuntimeError("the program on the screen has ended") from error

    def cpu_s(self) -> float:
        """Return the CPU time that it and its children have taken, in seconds."""
        root = psutil.Process(self.pid)
        total = 0.0
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def rss_bytes(self) -> int:
        """Return its resident memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

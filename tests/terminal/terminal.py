"""A terminal of our own: a pty, and pyte to read what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_POLL_S = 0.02


def _environment() -> dict[str, str]:
    """Ours, but for what it says of the size of another terminal."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """A program on a pty. Used as a context manager: at the end the program is killed and reaped.

    ``output`` is every byte that it wrote.
    """

    def __init__(self, command: Sequence[str], columns: int = 120, lines: int = 40, user: int | None = None):
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes_before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
            env={**_environment(), "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal, as a window or an SSH link that goes away."""
        for name in ("_slave", "master"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def read(self, patience_s: float = _POLL_S) -> bool:
        """Take in what was written; return whether there was anything."""
        if not select.select([self.master], [], [], patience_s)[0]:
            return False
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:
            # EIO: nobody has the other end open any more.
            return False
        self.output += data
        self._stream.feed(data)
        return bool(data)

    def text(self) -> str:
        """Return what stands on the screen."""
        return "\n".join(self.screen.display)

    def wait_for(self, wanted: str | Callable[[str], bool], timeout_s: float = 20.0) -> str:
        """Wait until the screen shows something; return the screen's text."""
        holds = (lambda text: wanted in text) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + timeout_s
        while not holds(self.text()):
            assert time.monotonic() < deadline, f"not on the screen: {wanted}\n{self.text()}"
            self.read()
        return self.text()

    def wait_for_end(self, timeout_s: float = 10.0) -> int:
        """Wait until the program has ended, reading on; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end\n{self.text()}"
            self.read()
        while self.read(0):
            pass
        return self.process.returncode

    def assert_sane(self) -> None:
        """Fail unless the terminal is as it was: main screen, cursor, no mouse, cooked mode."""
        for mode in (b"1049", b"1000", b"1003", b"1006", b"2004"):
            on, off = self.output.rfind(b"\x1b[?" + mode + b"h"), self.output.rfind(b"\x1b[?" + mode + b"l")
            assert on <= off, f"mode {mode.decode()} was left on"
        assert self.output.rfind(b"\x1b[?25l") < self.output.rfind(b"\x1b[?25h"), "the cursor is hidden"
        now = termios.tcgetattr(self._slave)
        assert now[:4] == self.modes_before[:4], "the line discipline was left raw"


def _take_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

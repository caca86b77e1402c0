"""The TUI on a real pty: how it ends, what it leaves, what it sends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l")
READY = b"cold region"


class Terminal:
    """A program on a pty of 120x40. ``out`` is what it sent while somebody read."""

    def __init__(self, log: Path, *words: str) -> None:
        self.log = log
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.out = bytearray()
        environment = {**os.environ, "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
        for name in ("NO_COLOR", "TEXTUAL_THEME", "SSH_CONNECTION", "COLUMNS", "LINES"):
            environment.pop(name, None)
        if "no-color" in words:
            environment["NO_COLOR"] = "1"
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.child", str(log), *words],
            cwd=ROOT,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=self._own_the_terminal,
        )
        os.close(slave)

    @staticmethod
    def _own_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read_until(self, condition: Callable[[], object]) -> None:
        """Read what it sends until a condition holds."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, bytes(self.out[-2000:])
            if select.select([self.master], [], [], 0.02)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    # EIO: nobody has the other end open any more.
                    data = b""
                self.out += data
                if not data:
                    time.sleep(0.01)

    def read_for(self, seconds: float) -> bytes:
        """Read what it sends in a time, and return it."""
        before, until = len(self.out), time.monotonic() + seconds
        self.read_until(lambda: time.monotonic() >= until)
        return bytes(self.out[before:])

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def ready(self) -> None:
        """Wait until the map stands on the screen."""
        self.read_until(lambda: READY in self.out)

    def end(self) -> int:
        """Wait for the end and return the exit code, reading on."""
        self.read_until(lambda: self.child.poll() is not None)
        return self.child.returncode

    def said(self) -> list[str]:
        """Return what the host was told."""
        return self.log.read_text().split()

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Terminal] = []

    def begin(*words: str) -> Terminal:
        made.append(Terminal(tmp_path / f"log{len(made)}", *words))
        made[-1].ready()
        return made[-1]

    yield begin
    for terminal in made:
        terminal.close()


def restored(terminal: Terminal) -> None:
    terminal.read_for(0.05)
    for sequence in RESTORED:
        assert sequence in terminal.out


def test_q_ends_it_and_the_terminal_is_as_before(start: Start) -> None:
    terminal = start()
    terminal.type(b"q")
    assert terminal.end() == 0
    restored(terminal)
    assert "release" in terminal.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_releases_restores_and_ends(start: Start, number: signal.Signals) -> None:
    terminal = start()
    terminal.child.send_signal(number)
    assert terminal.end() == 128 + number
    restored(terminal)
    assert terminal.said()[0] == "release"


def test_a_stalled_terminal_does_not_keep_it_from_releasing_and_ending(start: Start) -> None:
    terminal = start("changing")
    deadline = time.monotonic() + WAIT_S
    # Nobody reads: the pty fills, and the event loop with it, after a few full repaints.
    for _ in range(400):
        if select.select([], [terminal.master], [], 0)[1]:
            terminal.type(b"\t")
        time.sleep(0.005)
    before = time.monotonic()
    terminal.child.send_signal(signal.SIGTERM)
    while not terminal.said():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert time.monotonic() - before < 1.0
    assert terminal.child.wait(WAIT_S) == 128 + signal.SIGTERM
    # Had the terminal not been stalled, the app would have ended by itself, and sooner.
    assert 1.9 < time.monotonic() - before < 6.0


@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize("words", [(), ("ignore-hup",)])
def test_a_closed_terminal_releases_and_ends(
    start: Start, words: tuple[str, ...], unbuffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python writes to it once more at its very end, unless it writes all at once."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1" if unbuffered else "")
    terminal = start(*words)
    os.close(terminal.master)
    terminal.master = -1
    assert terminal.child.wait(WAIT_S) == 128 + signal.SIGHUP
    assert "release" in terminal.said()


def test_suspending_thaws_and_coming_back_repaints(start: Start) -> None:
    terminal = start()
    terminal.type(b"\x1a")
    terminal.read_until(lambda: _state(terminal.child.pid) == "T")
    assert "thaw_now" in terminal.said()
    terminal.read_for(0.1)
    before = len(terminal.out)
    terminal.child.send_signal(signal.SIGCONT)
    terminal.read_until(lambda: READY in terminal.out[before:])
    terminal.type(b"q")
    assert terminal.end() == 0


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def settle(terminal: Terminal) -> None:
    """Wait until the first painting is over: nothing comes for a while."""
    until = time.monotonic() + WAIT_S
    while terminal.read_for(1.0):
        assert time.monotonic() < until, "it never comes to rest"


def beats_of(terminal: Terminal, sign: bytes, wanted: int) -> bytes:
    """Return what is sent until a sign was seen so often, once the first paintings are over.

    The list stands on the first picture, the map and what smaps adds to it come with the next beats.
    """
    terminal.read_until(lambda: terminal.out.count(sign) >= 8)
    begin = len(terminal.out)
    terminal.read_until(lambda: terminal.out[begin:].count(sign) >= wanted)
    return bytes(terminal.out[begin:])


def test_an_idle_screen_sends_nothing(start: Start) -> None:
    terminal = start()
    settle(terminal)
    assert terminal.read_for(2.0) == b""


def test_a_changed_row_costs_little(start: Start) -> None:
    sent = beats_of(start("changing"), b"cold region", 5)
    # Two rows change with each beat (their sum does not): each is one line of the map.
    assert len(sent) / 5 < 900, len(sent)


def test_a_process_that_comes_or_goes_costs_little(start: Start) -> None:
    sent = beats_of(start("coming"), b"comes", 3)
    # It goes as often as it comes.
    assert len(sent) / 6 < 1500, len(sent)


def test_no_name_reaches_the_terminal_raw(start: Start) -> None:
    terminal = start()
    assert b"\x1b]0;x" not in terminal.out
    assert b"\x9b" not in terminal.out.replace("\u241b".encode(), b"")
    assert "\u202e".encode() not in terminal.out


def test_without_the_mouse_no_mouse_mode_is_set(start: Start) -> None:
    terminal = start("no-mouse")
    assert b"\x1b[?1003h" not in terminal.out
    assert b"\x1b[?1000h" not in terminal.out
    with_mouse = start()
    assert b"\x1b[?1003h" in with_mouse.out


def test_no_color_sends_no_colour(start: Start) -> None:
    coloured = re.compile(rb"\x1b\[[0-9;]*(?:[34]8;|3[0-7]|4[0-7]|9[0-7])[0-9;]*m")
    terminal = start("no-color")
    terminal.type(b"a")
    terminal.read_until(lambda: b"PAGEOUT" in terminal.out)
    assert not coloured.search(bytes(terminal.out))
    assert re.search(rb"\x1b\[(?:\d+;)*7[;m]", bytes(terminal.out)), "the cursor is told by reversed text"
    assert coloured.search(bytes(start().out))


def test_without_a_terminal_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ui.child", str(tmp_path / "log")],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "memtui: the TUI needs a terminal on stdin and stderr; see `memtui --help`\n"

"""How memtui ends when it is told to from outside: by SIGINT, SIGTERM or SIGHUP.

A signal handler of Python's runs in the main thread, in the middle of whatever that does: perhaps under a
lock that the handler needs too, and not at all during a system call that goes on. So handlers here take no
lock and only note that a signal came. A thread that was started beforehand acts on it: CPython's own
handler, in C, writes the number of each signal into the pipe that it waits on (signal.set_wakeup_fd()).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memtui.linux.own_threads import start_thread
from memtui.model.errors import MemtuiError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end memtui."""
GRACE_S = 2.0
"""How long the program may take to end by itself after one of them."""
CLOSING_S = 10.0
"""How long it may take to let go of everything after that."""
_ALARM_SLACK_S = 1.0
_JOIN_S = 0.5
_LOOK_EVERY_S = 1.0


class SignalWatch:
    """Calls ``act`` with each signal that comes while it is entered, from a thread of its own.

    After a signal of ``fatal`` the process ends within GRACE_S with 128 and its number, whatever ``act``
    does. ``look`` is asked every second for a signal that should have come. With ``ignored_too`` also
    those are taken that memtui was started to ignore (SIGHUP by nohup, SIGINT by a script's ``&``).

    Attributes:
        came: whether one of the signals has come.

    Raises:
        MemtuiError: NO_TASKS, on entering it: nothing has changed then.
    """

    def __init__(
        self,
        act: Callable[[int], None],
        *,
        fatal: Collection[int] = (),
        look: Callable[[], int | None] | None = None,
        ignored_too: bool = False,
    ) -> None:
        self.came = False
        self._act = act
        self._fatal = frozenset(fatal)
        self._look = look
        self._ignored_too = ignored_too
        self._before: dict[int, Any] = {}
        self._wakeup_before = self._read_end = self._write_end = -1
        self._end_at: float | None = None
        self._exit_code = 0
        self._thread = threading.Thread(target=self._run, name="memtui-signals", daemon=True)

    def __enter__(self) -> SignalWatch:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        try:
            start_thread(self._thread)
        except MemtuiError:
            os.close(self._read_end)
            os.close(self._write_end)
            raise
        self._wakeup_before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in ENDING:
            if self._ignored_too or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        # Its end wakes the thread, after what stands in the pipe.
        os.close(self._write_end)
        self._thread.join(_JOIN_S)
        if self._end_at is not None:
            signal.setitimer(signal.ITIMER_REAL, CLOSING_S)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._read_end, select.POLLIN)
        while True:
            numbers = b""
            if poller.poll(self._patience_ms()):
                numbers = os.read(self._read_end, select.PIPE_BUF)
                if not numbers:
                    break
            elif self._end_at is not None and time.monotonic() >= self._end_at:
                os._exit(self._exit_code)
            for number in numbers or self._looked():
                # Others that have a handler come too, such as SIGWINCH.
                if number in ENDING:
                    self._take(number)
        os.close(self._read_end)

    def _patience_ms(self) -> float | None:
        if self._end_at is not None:
            return max(0.0, self._end_at - time.monotonic()) * 1000
        return None if self._look is None else _LOOK_EVERY_S * 1000

    def _looked(self) -> tuple[int, ...]:
        number = None if self._look is None or self._end_at is not None else self._look()
        return () if number is None else (number,)

    def _take(self, number: int) -> None:
        self.came = True
        if number in self._fatal and self._end_at is None:
            # First of all, and by the kernel (SIGALRM's default action), whatever keeps this thread.
            signal.setitimer(signal.ITIMER_REAL, GRACE_S + _ALARM_SLACK_S)
            self._exit_code = 128 + number
            self._end_at = time.monotonic() + GRACE_S
        self._act(number)


class CommandSignals(SignalWatch):
    """For a command that acts: SIGINT ends its job at the next edge; SIGTERM and SIGHUP release at once, too.

    Attributes:
        cancelled: what cancels the command's jobs; set by each of the signals.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        super().__init__(self._cancel, fatal=(signal.SIGTERM, signal.SIGHUP))
        self.cancelled = threading.Event()
        self._release = release

    def __enter__(self) -> CommandSignals:
        super().__enter__()
        return self

    def _cancel(self, number: int) -> None:
        self.cancelled.set()
        if number != signal.SIGINT:
            self._release()


class ScreenSignals(SignalWatch):
    """For the screen: releases without a word to the terminal, then has the app end by ``end(exit code)``.

    Both are done by the thread of the signals, so even while a stalled terminal blocks the event loop; the
    process ends even if the app cannot. On leaving, everything is released too.
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


def end_at_once(code: int) -> None:
    """Have the signals end the process with ``code`` from now on: for what needs no undoing.

    Also while the main thread is inside a system call that only a fatal signal ends, such as a look at a
    file system that hangs. Where no thread can be started the handlers stay as they are.
    """
    with suppress(MemtuiError):
        SignalWatch(lambda _number: os._exit(code)).__enter__()


def drop_dead_streams() -> None:
    """Write out what standard output and error still hold; drop it where they take nothing any more.

    Else Python fails to, at its very end, and changes the exit code to 120 (Py_FinalizeEx()).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            drop_stream(stream.fileno())


def drop_stream(fd: int) -> None:
    """Let nothing that is written to a standard stream reach anybody any more, nor fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)

"""The TUI on a made-up host, for tests on a real pty: ``python -m tests.ui.child LOG [WORD]...``.

What the host is told goes into LOG, a line each. Words: ``ignore-hup``, ``no-mouse``, ``changing``,
``coming``.
"""

from __future__ import annotations

import os
import signal
import sys

from memtui.model.process import Process
from memtui.ui.app import run
from memtui.ui.options import UiOptions
from tests.fakes import MIB, FakeHost, FakeTarget, process


class LoggingHost(FakeHost):
    """Writes down at once what it is told."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, word: str) -> None:
        os.write(self._log, f"{word}\n".encode())

    def release(self) -> None:
        self._write("release")

    def thaw_now(self) -> None:
        self._write("thaw_now")


class ChangingHost(LoggingHost):
    """The RSS of one VMA changes with every look."""

    def open(self, pid: int) -> FakeTarget:
        target = super().open(pid)
        look = target.look

        def changing(*, details: bool = False, only=None):  # type: ignore[no-untyped-def]
            page = target.vmas[4]
            page.rss_bytes = (page.rss_bytes or 0) % (32 * MIB) + MIB
            target.vmas[0].rss_bytes = 64 * MIB - page.rss_bytes
            return look(details=details, only=only)

        target.look = changing  # type: ignore[method-assign]
        return target


class ComingHost(LoggingHost):
    """A process comes and goes with every look at the list."""

    def processes(self) -> list[Process]:
        self._turn = not getattr(self, "_turn", False)
        return super().processes() + [process(9999, "comes", 4096)] * self._turn


def main() -> int:
    """Run it."""
    path, words = sys.argv[1], sys.argv[2:]
    if "ignore-hup" in words:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kind = ChangingHost if "changing" in words else ComingHost if "coming" in words else LoggingHost
    host = kind(path)
    return run(host, UiOptions(pid=4242, interval_s=0.3, mouse="no-mouse" not in words))


if __name__ == "__main__":
    sys.exit(main())

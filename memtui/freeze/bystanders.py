"""Who stopped because its child was stopped by us: continued when the hold is over, and told."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from memtui.freeze.journal import Entry, is_held_by_the_living
from memtui.freeze.parents import bystanders_of
from memtui.freeze.recovery import BYSTANDERS_S
from memtui.freeze.threads import named, thread_stat
from memtui.linux import sysinfo
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze

if TYPE_CHECKING:
    from memtui.freeze.journal import Journal

TICK_S = 0.01
"""How soon to look again."""

_BECAUSE = "stopped because the target was stopped,"
_CONTINUED = f"had {_BECAUSE} and was continued"
_AGAIN = f"had {_BECAUSE} was continued, and stopped again: see to it (`fg`, or `kill -CONT`)"
_DENIED = f"has {_BECAUSE} and you may not continue it: run `kill -CONT` as root"


class Bystanders:
    """Watches, from a hold by SIGSTOP to a second after it, who may stop because of it.

    They stand in the journal meanwhile. One that is found newly stopped is continued once a hold, when
    that is over: sooner, it could send its child a SIGCONT.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._watched: dict[int, Entry] = {}
        self._of: int | None = None
        self._until: float | None = None
        """When the second is over; None while a hold lasts."""
        self._continued: set[int] = set()
        self._found: dict[str, str] = {}

    @property
    def is_watching(self) -> bool:
        """Whether somebody may still stop."""
        return bool(self._watched)

    def begin(self, pid: int) -> None:
        """Find and record them, before a process is stopped.

        Raises:
            FreezeError: FREEZE_NO_JOURNAL.
        """
        self.look()
        # If that is one of them, it will stand still for its own hold.
        self._forget(pid)
        self._continued.clear()
        self._until = None
        if self._of == pid and self._watched:
            return
        self._of = pid
        for each, stat in bystanders_of(pid):
            if each not in self._watched:
                entry = Entry(sysinfo.boot_id(), each, stat.start_time, Freeze.SIGSTOP.value, bystander=True)
                self._journal.add(entry)
                self._watched[each] = entry

    def over(self) -> None:
        """Begin the second after a hold, and look."""
        if self._until is None:
            self._until = time.monotonic() + BYSTANDERS_S
            self.look()

    def look(self) -> None:
        """Continue whom to continue; once the second is over, forget them all. Nothing while a hold lasts."""
        if self._until is None:
            return
        is_over = time.monotonic() >= self._until
        for entry in list(self._watched.values()):
            self._look_at(entry)
        if is_over:
            for pid in list(self._watched):
                self._end(pid)

    def watch_out(self) -> None:
        """Look until the second is over."""
        self.over()
        while self.is_watching:
            time.sleep(TICK_S)
            self.look()

    def take_words(self) -> str:
        """Return what was found since this was asked last, in words; empty if nothing was."""
        found: dict[str, list[str]] = {}
        for who, what in self._found.items():
            found.setdefault(what, []).append(who)
        self._found.clear()
        return "; ".join(f"{', '.join(whos)} {what}" for what, whos in found.items())

    def _look_at(self, entry: Entry) -> None:
        stat = thread_stat(entry.pid, entry.pid)
        if stat is None or stat.start_time != entry.start_time:
            self._forget(entry.pid)
        elif stat.state == "T" and entry.pid not in self._continued and not self._is_held_by_others(entry):
            self._continue(entry)

    def _is_held_by_others(self, entry: Entry) -> bool:
        """Whether another memtui holds it: then it is not stopped because of us."""
        path = self._journal.path
        try:
            return path is not None and is_held_by_the_living(entry, path)
        except MemtuiError:
            # The journals cannot be read; to leave it stopped would be worse.
            return False

    def _continue(self, entry: Entry) -> None:
        who = named(entry.pid)
        try:
            pidfd = os.pidfd_open(entry.pid)
        except OSError:
            # It is gone, which the next look finds too.
            return
        try:
            stat = thread_stat(entry.pid, entry.pid)
            if stat is not None and stat.start_time == entry.start_time:
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
                self._continued.add(entry.pid)
                self._found[who] = _CONTINUED
        except PermissionError:
            # It stays in the journal, so that it is told until somebody continues it.
            del self._watched[entry.pid]
            self._found[who] = _DENIED
        except ProcessLookupError:
            return
        finally:
            os.close(pidfd)

    def _end(self, pid: int) -> None:
        stat = thread_stat(pid, pid)
        if pid in self._continued and stat is not None and stat.state == "T":
            self._found[named(pid)] = _AGAIN
        self._forget(pid)

    def _forget(self, pid: int) -> None:
        entry = self._watched.pop(pid, None)
        if entry is not None:
            self._journal.drop(entry)

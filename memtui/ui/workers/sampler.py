"""The one thread that reads: the process list, the chosen process's map, the machine.

It posts one message a reading and touches nothing else. It skips a beat rather than fall behind, and
takes longer beats where reading is dear: no more than a tenth of the time goes into it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from memtui import debug_log
from memtui.host import CHEAP_SMAPS_MS, Host, Target
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.ui.messages import (
    MachineRead,
    MapLost,
    MapRead,
    MapView,
    PidFound,
    Post,
    ProcessesRead,
    Said,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memtui.model.process import ProcessId
    from memtui.model.vma import AddressSpace

DETAILS_EVERY_S = 10.0
"""smaps is read at most this often."""
_SHARE_OF_TIME = 10
_BREATH_S = 0.05
_BETWEEN_S = 0.1
"""How long the first look at a map has to come onto the screen before the one with details."""
_ALL_EVERY_S = 5.0
"""How often all of a map is read where only a part of it is on the screen."""
_PROCESSES_EVERY = 2
"""The list is read once in so many of the map's intervals."""


def words_of(error: Exception) -> str:
    """Return an error as one line, raw. What nobody foresaw is named by its type, and goes into the log."""
    if isinstance(error, MemtuiError):
        return str(error)
    debug_log.record(error)
    return f"{type(error).__name__}: {error}"


class Beat:
    """When to read a thing again: as often as wished, unless that took more than a tenth of the time.

    The least of the last costs counts: a first look, or one that was disturbed, is dearer than those to come.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._costs_s: deque[float] = deque(maxlen=3)
        self.next = time.monotonic()

    @property
    def period_s(self) -> float:
        """How long it is from one reading to the next, just now."""
        if len(self._costs_s) < 2:
            return self._interval_s
        return max(self._interval_s, min(self._costs_s) * _SHARE_OF_TIME)

    def done(self, started: float, ended: float) -> None:
        """Take in a reading: when it began and ended, on the monotonic clock."""
        self._costs_s.append(ended - started)
        self.next = max(started + self.period_s, ended + _BREATH_S)


class ChosenMap:
    """The map that is looked at, and how often its details are read."""

    def __init__(self, wanted: ProcessId, target: Target) -> None:
        self.wanted = wanted
        self.target = target
        self._last: AddressSpace | None = None
        self._details_at: float | None = None
        self._details_cost_ms: float | None = None
        self._all_at: float | None = None

    def look(self, now: float, only: Sequence[int] | None = None) -> MapView:
        """Look once; where ``only`` these addresses are on the screen, mostly at what is near them.

        Raises:
            MemtuiError: if the process is gone, has exec'ed, or may not be read.
        """
        details = self._details_due(now)
        if self._all_at is None or now - self._all_at >= _ALL_EVERY_S:
            only = None
        if only is None:
            self._all_at = now
        space = self.target.look(details=details, only=only)
        if details:
            self._details_at, self._details_cost_ms = now, space.cost_ms
        last = self._last
        if last is not None and last.vmas is not space.vmas and last.vmas == space.vmas:
            # The same tuple tells the screen, at no cost, that the layout did not change.
            space = replace(space, vmas=last.vmas)
        self._last = space
        return MapView(self.target, space)

    def _details_due(self, now: float) -> bool:
        if self._details_at is None:
            # The first look is without: it is on the screen the sooner.
            return self._last is not None
        cheap = self._details_cost_ms is not None and self._details_cost_ms < CHEAP_SMAPS_MS
        return cheap and now - self._details_at >= DETAILS_EVERY_S


class Sampler(threading.Thread):
    """Reads until it is stopped. All public methods may be called from any thread."""

    def __init__(self, host: Host, post: Post, interval_s: float) -> None:
        super().__init__(name="memtui-sampler", daemon=True)
        self._host = host
        self._post = post
        interval_s = max(0.05, interval_s)
        self._map_beat = Beat(interval_s)
        self._list_beat = Beat(interval_s * _PROCESSES_EVERY)
        self._wake = threading.Condition()
        self._stopping = False
        self._paused = False
        self._asked: ProcessId | None = None
        self._asked_anew = False
        self._map_now = False
        self._pid_asked: int | None = None
        self._chosen: ChosenMap | None = None
        self._on_screen: Sequence[int] | None = None

    def choose(self, process: ProcessId | None) -> None:
        """Look at another process from now on, or at none; the same one again is opened anew."""
        with self._wake:
            self._asked, self._asked_anew = process, True
            self._wake.notify()

    def find(self, pid: int) -> None:
        """Look up the process of a bare pid, say who it is with a PidFound, and look at it from now on."""
        with self._wake:
            self._pid_asked = pid
            self._wake.notify()

    def show(self, starts: Sequence[int] | None) -> None:
        """Say which VMAs are on the screen, by their addresses; None if the order of all depends on them."""
        self._on_screen = starts

    def look_now(self) -> None:
        """Look at all of the map at once, since something was done to it."""
        with self._wake:
            self._on_screen = None
            self._map_now = True
            self._wake.notify()

    def pause(self, paused: bool) -> None:
        """Read only what is asked for, or go on."""
        with self._wake:
            self._paused = paused
            self._wake.notify()

    def stop(self) -> None:
        """End. Does not wait: a reading may be stuck in the kernel."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def run(self) -> None:
        """Read, beat by beat."""
        maps, lists = self._map_beat, self._list_beat
        again = False
        while not self._stopping:
            started = time.monotonic()
            pid, anew, map_now = self._take_requests()
            if pid is not None:
                self._guarded(lambda pid=pid: self._find(pid))  # type: ignore[misc]
                anew = anew or self._asked is not None
            if anew:
                self._guarded(self._open)
            paused = self._paused
            if (started >= maps.next and not paused) or anew or map_now or again:
                began = time.monotonic()
                self._guarded(self._look)
                if began >= maps.next:
                    self._guarded(self._read_machine)
                    maps.done(began, time.monotonic())
            if started >= lists.next and not paused:
                began = time.monotonic()
                self._guarded(self._read_processes)
                lists.done(began, time.monotonic())
            # The second look is the first with details.
            again = anew
            until = time.monotonic() + _BETWEEN_S if again else min(maps.next, lists.next)
            self._sleep_until(until, paused and not again)
        self._let_go()

    def _take_requests(self) -> tuple[int | None, bool, bool]:
        with self._wake:
            taken = self._pid_asked, self._asked_anew, self._map_now
            self._pid_asked, self._asked_anew, self._map_now = None, False, False
        return taken

    def _sleep_until(self, when: float, paused: bool) -> None:
        with self._wake:
            self._wake.wait_for(
                lambda: (
                    self._stopping
                    or self._paused is not paused
                    or self._asked_anew
                    or self._map_now
                    or self._pid_asked is not None
                ),
                timeout=None if paused else max(0.0, when - time.monotonic()),
            )

    def _guarded(self, read: Callable[[], None]) -> None:
        try:
            read()
        except Exception as error:  # The thread must live on; the operator is told.
            self._post(Said(words_of(error), bad=True))

    def _let_go(self) -> None:
        if self._chosen is not None:
            self._chosen.target.release()
            self._chosen = None

    def _find(self, pid: int) -> None:
        try:
            target = self._host.open(pid)
        except MemtuiError as error:
            self._post(PidFound(pid, None, "", words_of(error)))
            return
        process, name = target.process, target.name
        target.release()
        with self._wake:
            if not self._asked_anew:
                # Nobody has chosen another one meanwhile.
                self._asked = process
        self._post(PidFound(pid, process, name, ""))

    def _open(self) -> None:
        self._let_go()
        with self._wake:
            wanted = self._asked
        if wanted is None:
            return
        try:
            target = self._host.open(wanted.pid)
        except MemtuiError as error:
            self._post(MapLost(wanted, words_of(error)))
            return
        if target.process != wanted:
            target.release()
            self._post(
                MapLost(wanted, f"process {wanted.pid}: the process has exited; its pid is another's now")
            )
            return
        self._chosen = ChosenMap(wanted, target)

    def _look(self) -> None:
        chosen = self._chosen
        if chosen is None:
            return
        try:
            view = chosen.look(time.monotonic(), self._on_screen)
        except MemtuiError as error:
            self._let_go()
            dead = error.reason is Reason.EXECED
            self._post(MapLost(chosen.wanted, words_of(error), map_is_dead=dead))
            return
        self._post(MapRead(chosen.wanted, view))

    def _read_processes(self) -> None:
        started = time.monotonic()
        processes = tuple(self._host.processes())
        self._post(ProcessesRead(processes, (time.monotonic() - started) * 1000))

    def _read_machine(self) -> None:
        self._post(MachineRead(self._host.machine(), self._host.facts(), self._map_beat.period_s))

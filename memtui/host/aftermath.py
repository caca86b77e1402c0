"""What comes after an action on this machine: what of it is resident again, and the record of that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.advise.ledger import Ledger, now
from memtui.advise.ledger_fields import back_fields
from memtui.advise.watch import Watch
from memtui.linux.own_threads import start_thread
from memtui.model.errors import MemtuiError
from memtui.model.freeze import WATCHED_S

if TYPE_CHECKING:
    from memtui.host.target import LocalTarget
    from memtui.json_line import Json
    from memtui.model.report import Back, TargetReport

# A report is watched up to twice as long as WATCHED_S, until a look after that time is on record.
_GRACE_S = 5.0
_MOST_WATCHED = 256


@dataclass(slots=True)
class _Watched:
    """A report that is watched. All but ``looking`` is under the lock of the Aftermath.

    ``looking`` is held over a look, which may be slow. ``lookers`` are those that are at it or wait for
    it: the last of them lets go of the target where the watch has ended meanwhile.
    """

    watch: Watch
    target: LocalTarget
    looking: threading.Lock = field(default_factory=threading.Lock)
    lookers: int = 0
    has_ended: bool = False
    saw_the_last: bool = False

    def left_s(self) -> float:
        """Return how long it is to be watched still."""
        age_s = self.watch.age_s
        over_s = WATCHED_S + _GRACE_S - age_s
        return over_s if over_s > 0 or self.saw_the_last else 2 * WATCHED_S + _GRACE_S - age_s


class Aftermath:
    """Watches what actions moved. ``unwatch`` lets go of a target that was watched."""

    def __init__(self, ledger: Ledger, unwatch: Callable[[LocalTarget], None]) -> None:
        self._ledger = ledger
        self._unwatch = unwatch
        self._following = threading.Lock()
        self._new_events = ledger.follow()
        self._restored: set[str] = set()
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def watch(self, report: TargetReport, target: LocalTarget) -> None:
        """Begin to watch what an action moved; right after it. Lets go of the target when it ends."""
        watch = Watch(report, target.handle) if report.moved_pages else None
        with self._lock:
            if self._closed or watch is None:
                self._unwatch(target)
                return
            self._watched[report.id] = _Watched(watch, target)
            while len(self._watched) > _MOST_WATCHED:
                self._let_go(next(iter(self._watched)))
            self._set_timer()

    def look_back(self, report_id: str, *, record: bool = False) -> Back | None:
        """Look how much of what a report moved has come back; None if it is watched no more."""
        with self._lock:
            watched = self._watched.get(report_id)
            if watched is None:
                return None
            watched.lookers += 1
        back = None
        try:
            with watched.looking:
                back = None if watched.has_ended else watched.watch.look()
            if back is not None and back.back_bytes and self._is_or_was_restored(report_id):
                # By another memtui: what came back says nothing of the advice any more.
                with self._lock:
                    if not watched.has_ended:
                        self._let_go(report_id)
        finally:
            is_of_the_advice = self._end_look(report_id, watched, back if record else None)
        if back is None or not is_of_the_advice:
            return None
        return back._replace(warning=self._record("back", report_id, back_fields(back))) if record else back

    def _is_or_was_restored(self, report_id: str) -> bool:
        return self._ledger.pages.is_held_for_restore(report_id) or self.was_restored(report_id)

    def was_restored(self, report_id: str) -> bool:
        """Whether the ledger tells that somebody has put back what a report moved, since we began.

        It is read only where it has grown.
        """
        with self._following:
            # Where it cannot be read, each look that goes into it tells so.
            with suppress(OSError):
                self._restored.update(
                    event.text("id")
                    for event in self._new_events()
                    if event.kind == "restored" and event.number("restored_bytes") != 0
                )
            return report_id in self._restored

    def stop_watch(self, report_id: str) -> None:
        """End a watch: what is put back says nothing of whether the advice was right."""
        with self._lock:
            if report_id in self._watched:
                self._let_go(report_id)

    def _end_look(self, report_id: str, watched: _Watched, kept: Back | None) -> bool:
        """Count a look as over; return False where the watch has ended meanwhile, by a restore, say."""
        with self._lock:
            watched.lookers -= 1
            if watched.has_ended:
                if not watched.lookers:
                    self._unwatch(watched.target)
                return False
            if kept is not None and kept.after_s >= WATCHED_S:
                watched.saw_the_last = True
                if watched.left_s() <= 0:
                    self._let_go(report_id)
            return True

    def close(self) -> None:
        """Let go of everything, without waiting: of what is being looked at just now the look lets go."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            for report_id in list(self._watched):
                self._let_go(report_id)

    def _let_go(self, report_id: str) -> None:
        """End a watch; under the lock."""
        watched = self._watched.pop(report_id)
        watched.has_ended = True
        if not watched.lookers:
            self._unwatch(watched.target)

    def _set_timer(self) -> None:
        """Have the first watch end in time, if nothing else will."""
        if self._timer is not None or not self._watched:
            return
        left_s = min(watched.left_s() for watched in self._watched.values())
        timer = threading.Timer(max(0.1, left_s), self._end_old)
        timer.daemon = True
        # Without it a watch ends when the last look was recorded, or with us.
        with suppress(MemtuiError):
            start_thread(timer)
            self._timer = timer

    def _end_old(self) -> None:
        with self._lock:
            self._timer = None
            if self._closed:
                return
            for report_id, watched in list(self._watched.items()):
                if watched.left_s() <= 0:
                    self._let_go(report_id)
            self._set_timer()

    def _record(self, kind: str, report_id: str, fields: Json) -> str | None:
        """Put it on record; return what went wrong, in words."""
        try:
            self._ledger.write(kind, {"id": report_id, "time": now(), **fields})
        except MemtuiError as error:
            return str(error)
        return None

"""What comes after an action on this machine: what came back, putting it back, the record of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.advise.ledger import Action, Ledger, actions, now, operator
from memtui.advise.restore import Restorer
from memtui.advise.watch import Watch
from memtui.linux import machine
from memtui.linux.handle import ProcessHandle
from memtui.linux.memory_file import MemoryFile
from memtui.linux.own_threads import start_thread
from memtui.linux.program import Program
from memtui.model import wire
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess, Unusable
from memtui.model.methods import WATCHED_S
from memtui.model.process import ProcessId
from memtui.model.ranges import total_bytes
from memtui.model.reasons import Reason
from memtui.model.report import Back, Outcome, Progress, TargetReport, outcome_of_refusal
from memtui.model.restore import RestorePlan, RestoreReport, outcome_of, told_of

if TYPE_CHECKING:
    from memtui.advise.pages_file import MovedPages
    from memtui.host.target import LocalTarget

# A report is watched up to twice as long as WATCHED_S, until a look after that time is on record.
_GRACE_S = 5.0
_MOST_WATCHED = 256
_LOOK_FOR_LAST = 2000
_NOTHING_TO_DO = frozenset({Reason.ALL_BACK, Reason.NOTHING_MOVED})


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
    ledger_bytes: int = 0
    """How long the ledger was when a restore was last looked for in it."""

    def left_s(self) -> float:
        """Return how long it is to be watched still."""
        age_s = self.watch.age_s
        over_s = WATCHED_S + _GRACE_S - age_s
        return over_s if over_s > 0 or self.saw_the_last else 2 * WATCHED_S + _GRACE_S - age_s


class Aftermath:
    """Watches what actions moved, and puts it back. ``unwatch`` lets go of a target that was watched."""

    def __init__(
        self, ledger: Ledger, cancelled: threading.Event, unwatch: Callable[[LocalTarget], None]
    ) -> None:
        self._ledger = ledger
        self._cancelled = cancelled
        self._unwatch = unwatch
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
            if back is not None and back.back_bytes and self._was_restored(report_id, watched):
                # By another memtui: what came back says nothing of the advice any more.
                with self._lock:
                    if not watched.has_ended:
                        self._let_go(report_id)
        finally:
            is_of_the_advice = self._end_look(report_id, watched, back if record else None)
        if back is None or not is_of_the_advice:
            return None
        return back._replace(warning=self._record("back", report_id, wire.back(back))) if record else back

    def _was_restored(self, report_id: str, watched: _Watched) -> bool:
        """Whether somebody brings it back now, or the ledger says so: it is read only where it has grown."""
        if self._ledger.pages.is_held_for_restore(report_id):
            return True
        try:
            size = self._ledger.path.stat().st_size
            if size == watched.ledger_bytes:
                return False
            found = any(item.restored for item in self._ledger.find(report_id))
            watched.ledger_bytes = size
            return found
        except (OSError, MemtuiError):
            # There is no ledger, or it cannot be read, of which each look that goes into it tells.
            return False

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

    def plan_restore(
        self, action: str | None = None, cancelled: threading.Event | None = None
    ) -> tuple[RestorePlan, ...]:
        """Say what could be put back. Touches nothing.

        Raises:
            MemtuiError: NO_SUCH_ACTION; LEDGER_UNWRITABLE; CANCELLED.
        """
        found = self._last_that_moved() if action is None else self._ledger.find(action)
        if not found:
            detail = "nothing in the ledger has moved anything" if action is None else None
            raise MemtuiError(Reason.NO_SUCH_ACTION, action or "", detail)
        plans = []
        for item in found:
            if cancelled is not None and cancelled.is_set():
                raise MemtuiError(Reason.CANCELLED)
            plans.append(self._plan_one(item))
        return tuple(plans)

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back, and report."""
        reports = []
        for planned in plans:
            report = self._restore_one(planned, on_progress)
            reports.append(report)
            if on_target is not None:
                on_target(report)
        return tuple(reports)

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

    def _record(self, kind: str, report_id: str, fields: wire.Json) -> str | None:
        """Put it on record; return what went wrong, in words."""
        try:
            self._ledger.write(kind, {"id": report_id, "time": now(), **fields})
        except MemtuiError as error:
            return str(error)
        return None

    def _last_that_moved(self) -> list[Action]:
        """Return the targets of the last action that moved something out of RAM."""
        for starts in (_LOOK_FOR_LAST, None):
            part = self._ledger.tail(starts)
            found = list(actions(part.events, is_whole=part.is_whole))
            last = next((item for item in reversed(found) if self._moved_something(item)), None)
            if last is not None:
                action_id = last.start.text("action_id")
                return [item for item in found if item.start.text("action_id") == action_id]
            if part.is_whole:
                break
        return []

    def _moved_something(self, action: Action) -> bool:
        if action.start.text("advice") != Advice.PAGEOUT.value:
            return False
        if action.done is not None and action.done.number("moved_bytes"):
            return True
        return self._ledger.pages.read(action.start.text("id")) is not None

    def _plan_one(self, action: Action) -> RestorePlan:
        start, done = action.start, action.done
        target = start.mapping("target")
        pid, start_time = target.get("pid"), target.get("start_time")
        moved = self._ledger.pages.read(start.text("id"))
        moved_bytes = None if done is None else done.number("moved_bytes")
        if moved is not None:
            process = moved.process
            moved_bytes = total_bytes(moved.pages) or moved_bytes
        else:
            process = ProcessId(
                pid if isinstance(pid, int) else 0, start_time if isinstance(start_time, int) else 0, ""
            )
        blocked: Reason | None = None
        text = wanted_bytes = None
        try:
            if moved is None or not moved.pages:
                _require_process(process).close()
                nothing = start.text("advice") != Advice.PAGEOUT.value or moved_bytes == 0
                unseen = Reason.PAGES_UNKNOWN if moved is None else Reason.PAGES_UNSEEN
                raise MemtuiError(Reason.NOTHING_MOVED if nothing else unseen)
            wanted_bytes = _look_at(moved)
        except MemtuiError as error:
            blocked, text = error.reason, error.words
            if blocked in _NOTHING_TO_DO:
                wanted_bytes = 0
        return RestorePlan(
            id=start.text("id"),
            time=start.text("time"),
            process=process,
            name=str(target.get("name", "")),
            advice=start.text("advice"),
            moved_bytes=moved_bytes,
            wanted_bytes=wanted_bytes,
            blocked=blocked,
            blocked_text=text,
        )

    def _restore_one(
        self, planned: RestorePlan, on_progress: Callable[[Progress], None] | None
    ) -> RestoreReport:
        if planned.blocked is not None:
            return _refused(planned, planned.blocked, planned.blocked_text)
        if self._cancelled.is_set():
            return _refused(planned, Reason.CANCELLED, None)
        with self._lock:
            if planned.id in self._watched:
                # What we bring back now says nothing of whether the advice was right.
                self._let_go(planned.id)
        # Until it is on record, lest a look of another memtui takes it for what the target brought back.
        with self._ledger.pages.held_for_restore(planned.id):
            return self._bring_back(planned, on_progress)

    def _bring_back(
        self, planned: RestorePlan, on_progress: Callable[[Progress], None] | None
    ) -> RestoreReport:
        try:
            moved = self._ledger.pages.read(planned.id)
            if moved is None:
                raise MemtuiError(Reason.PAGES_UNKNOWN)
            with _open(moved) as handle:
                seen = Restorer(handle, moved).run(planned.name, self._cancelled, on_progress)
        except MemtuiError as error:
            return _refused(planned, error.reason, error.words)
        outcome, reason = outcome_of(seen)
        report = RestoreReport(
            planned=planned,
            time=now(),
            wanted_bytes=seen.wanted_bytes,
            restored_bytes=seen.restored_bytes,
            also_back_bytes=seen.also_back_bytes,
            still_out_bytes=seen.still_out_bytes,
            outcome=outcome,
            reason=reason,
            reason_text=reason.text if reason else None,
            told=told_of(seen),
        )
        fields = {"operator": operator(), **wire.restore_totals(report)}
        return report._replace(warning=self._record("restored", planned.id, fields))


def _require_process(process: ProcessId) -> ProcessHandle:
    """Open the very process of a record.

    Raises:
        MemtuiError: if it is gone, or may not be seen.
    """
    subject = f"process {process.pid}"
    try:
        handle = ProcessHandle(process.pid)
    except NoSuchProcess:
        raise NoSuchProcess(Reason.EXITED, subject) from None
    if handle.is_foreign:
        handle.close()
        raise MemtuiError(Reason.FOREIGN_PROC, subject)
    same_boot = process.boot_id in ("", machine.boot_id())
    if handle.process.start_time != process.start_time or not same_boot:
        handle.close()
        raise NoSuchProcess(Reason.EXITED, subject)
    return handle


def _open(moved: MovedPages) -> ProcessHandle:
    """Open the process of a record, if it runs the same program still.

    Raises:
        MemtuiError: EXITED, EXECED, or what forbids to see it.
    """
    handle = _require_process(moved.process)
    try:
        then, here = Program.of_text(moved.program), handle.program()
        # An exec between opening it and the look at its program shows here.
        handle.read_maps()
        if then.is_another(here):
            raise Unusable(Reason.EXECED, f"process {handle.pid}")
    except MemtuiError:
        handle.close()
        raise
    return handle


def _look_at(moved: MovedPages) -> int:
    """Return the bytes that are still out.

    Raises:
        MemtuiError: why nothing can be brought back.
    """
    with _open(moved) as handle:
        found = Restorer(handle, moved).survey()
        if not found.wanted:
            raise MemtuiError(Reason.ALL_BACK)
        with MemoryFile(handle.pid):
            return total_bytes(found.wanted)


def _refused(planned: RestorePlan, reason: Reason, text: str | None) -> RestoreReport:
    """Report a target on which nothing was tried."""
    outcome = Outcome.NO_EFFECT if reason in _NOTHING_TO_DO else outcome_of_refusal(reason)
    wanted_bytes = still_out = None if outcome is Outcome.GONE else planned.wanted_bytes
    words = text or reason.text
    return RestoreReport(planned, now(), wanted_bytes, 0, 0, still_out, outcome, reason, words, told=(words,))

"""Putting back what actions moved on this machine: which of them, what of it, and the record of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.advise.ledger import Action, Ledger, actions, is_same_operator, now, operator
from memtui.advise.ledger_fields import restore_totals
from memtui.advise.restore import Restorer
from memtui.linux import sysinfo
from memtui.linux.exec_identity import Program
from memtui.linux.proc_mem import MemoryFile
from memtui.linux.process_handle import ProcessHandle
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess, Unusable
from memtui.model.process import ProcessId
from memtui.model.ranges import total_bytes
from memtui.model.reasons import Detail, DetailCode, Reason, cancelled_words
from memtui.model.report import Outcome, outcome_of_refusal
from memtui.model.restore import RestorePlan, RestoreReport, Whose, outcome_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from memtui.advise.pages_format import MovedPages
    from memtui.host.refault_monitor import RefaultMonitor
    from memtui.model.report import Progress

_LOOK_FOR_LAST = 2000
_NOTHING_TO_DO = frozenset({Reason.ALL_BACK, Reason.NOTHING_MOVED})
_NONE_OF = {
    Whose.SESSION: DetailCode.NONE_OF_SESSION,
    Whose.OPERATOR: DetailCode.NONE_OF_OPERATOR,
    Whose.ANYBODY: DetailCode.NONE_OF_ANYBODY,
}


class RestoreService:
    """Puts back what actions moved, and records that. One restore at a time: the caller sees to that."""

    def __init__(self, ledger: Ledger, refaults: RefaultMonitor) -> None:
        self._ledger = ledger
        self._refaults = refaults
        self._own: list[str] = []

    def add_own(self, action_id: str) -> None:
        """Remember an action of this session that moved something out of RAM."""
        if action_id not in self._own[-1:]:
            self._own.append(action_id)

    def find(self, action: str | None, whose: Whose, pid: int | None) -> list[Action]:
        """Return the targets of an action, or one of them; without ``action`` those of the last that moved.

        Raises:
            MemtuiError: NO_SUCH_ACTION; LEDGER_UNWRITABLE where the ledger cannot be read.
        """
        if action is not None:
            found = self._ledger.find(action)
        elif whose is Whose.SESSION:
            found = self._ledger.find(self._own[-1]) if self._own else []
        else:
            found = self._last_that_moved(whose, pid)
        if not found:
            raise MemtuiError(Reason.NO_SUCH_ACTION, action or "", _why_none(action, whose, pid))
        return found

    def _last_that_moved(self, whose: Whose, pid: int | None) -> list[Action]:
        """Return the targets of the last action that moved something out of RAM, or the one with a pid."""
        us, boot_id = operator(), sysinfo.boot_id()

        def fits(item: Action) -> bool:
            start = item.start
            if pid is not None and start.mapping("target").get("pid") != pid:
                return False
            # Audit sessions and terminals are numbered anew after each boot.
            if start.text("boot_id") not in ("", boot_id):
                return False
            is_ours = whose is Whose.ANYBODY or is_same_operator(start.mapping("operator"), us)
            return is_ours and self._moved_something(item)

        for starts in (_LOOK_FOR_LAST, None):
            part = self._ledger.tail(starts)
            found = list(actions(part.events, is_whole=part.is_whole))
            last = next((item for item in reversed(found) if fits(item)), None)
            if last is not None and pid is not None:
                return [last]
            if last is not None:
                action_id = last.start.text("action_id")
                return [item for item in found if item.start.text("action_id") == action_id]
            if part.is_whole:
                break
        return []

    def _moved_something(self, action: Action) -> bool:
        if action.start.text("advice") != Advice.PAGEOUT.value:
            return False
        if action.done is not None:
            return bool(action.done.number("moved_bytes"))
        try:
            moved = self._ledger.pages.read(action.start.text("id"))
        except MemtuiError:
            # Whoever asks for it is told why it cannot be used.
            return True
        # One that was begun, and ended before the first page had left, moved nothing.
        return moved is not None and bool(moved.pages or moved.is_complete)

    def plan(self, action: Action) -> RestorePlan:
        """Say what could be put back of one target. Touches nothing."""
        start, done = action.start, action.done
        target = start.mapping("target")
        pid, start_time = target.get("pid"), target.get("start_time")
        process = ProcessId(
            pid if isinstance(pid, int) else 0, start_time if isinstance(start_time, int) else 0, ""
        )
        moved_bytes = None if done is None else done.number("moved_bytes")
        blocked: Reason | None = None
        text = wanted_bytes = moved = None
        lost_a_hold = False
        try:
            moved = self._ledger.pages.read(start.text("id"))
            if moved is not None:
                process = moved.process
                moved_bytes = total_bytes(moved.pages) or moved_bytes
            if self._ledger.pages.is_written(start.text("id")):
                raise MemtuiError(Reason.ACTION_RUNS)
            if moved is None or not moved.pages:
                _require_process(process).close()
                raise _nothing_to_read(start.text("advice"), moved_bytes, moved)
            lost_a_hold = not moved.is_complete
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
            operator=start.mapping("operator"),
            is_interrupted=blocked is not Reason.ACTION_RUNS and (done is None or lost_a_hold),
        )

    def restore(
        self,
        planned: RestorePlan,
        cancelled: threading.Event,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> RestoreReport:
        """Put one target back, and report. Ends early, at a step's edge, once ``cancelled`` is set."""
        if planned.blocked is not None:
            return _refused(planned, planned.blocked, planned.blocked_text)
        if cancelled.is_set():
            return _refused(planned, Reason.CANCELLED, None)
        # What we bring back now says nothing of whether the advice was right.
        self._refaults.end(planned.id)
        try:
            # Until it is on record, lest a look of another memtui takes it for what the target brought back.
            with self._ledger.pages.held_for_restore(planned.id):
                return self._bring_back(planned, cancelled, on_progress)
        except MemtuiError as error:
            return _refused(planned, error.reason, error.words)

    def _bring_back(
        self,
        planned: RestorePlan,
        cancelled: threading.Event,
        on_progress: Callable[[Progress], None] | None,
    ) -> RestoreReport:
        """Bring it back, and put that on record.

        Raises:
            MemtuiError: why it could not be begun.
        """
        moved = self._ledger.pages.read(planned.id)
        if moved is None:
            raise MemtuiError(Reason.PAGES_UNKNOWN)
        with _open(moved) as handle:
            seen = Restorer(handle, moved).run(planned.name, cancelled, on_progress)
        if seen.restored_bytes != 0:
            # Before it is on record, lest it is taken for another memtui's.
            self._refaults.unfollow(planned.id)
        outcome, reason = outcome_of(seen)
        text = reason.text if reason else None
        if reason is Reason.CANCELLED and seen.restored_bytes:
            text = cancelled_words(has_begun=True)
        report = RestoreReport(
            planned=planned,
            time=now(),
            wanted_bytes=seen.wanted_bytes,
            restored_bytes=seen.restored_bytes,
            also_back_bytes=seen.also_back_bytes,
            still_out_bytes=seen.still_out_bytes,
            outcome=outcome,
            reason=reason,
            reason_text=text,
            seen=seen,
        )
        fields = {"operator": operator(), **restore_totals(report)}
        warning = None
        try:
            self._ledger.write("restored", {"id": planned.id, "time": now(), **fields})
        except MemtuiError as error:
            warning = str(error)
        return report._replace(warning=warning)


def _why_none(action: str | None, whose: Whose, pid: int | None) -> str | None:
    """Return in words that there is no action to be put back; None for the reason's own."""
    if action is not None:
        return None
    code = _NONE_OF[whose] if pid is None else DetailCode.NONE_OF_PROCESS
    return Detail(code, words=str(pid)).text


def _nothing_to_read(advice: str, moved_bytes: int | None, moved: MovedPages | None) -> MemtuiError:
    """Return why no pages of an action are known."""
    if advice != Advice.PAGEOUT.value or moved_bytes == 0:
        return MemtuiError(Reason.NOTHING_MOVED)
    if moved is None:
        return MemtuiError(Reason.PAGES_UNKNOWN)
    if moved.is_complete:
        return MemtuiError(Reason.PAGES_UNSEEN)
    return MemtuiError(Reason.PAGES_UNKNOWN, "", Detail(DetailCode.INTERRUPTED_EARLY).text)


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
    same_boot = process.boot_id in ("", sysinfo.boot_id())
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
    return RestoreReport(planned, now(), wanted_bytes, 0, 0, still_out, outcome, reason, words)

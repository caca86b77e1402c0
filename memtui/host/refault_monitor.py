"""What actions moved is checked again for a minute: how much of it is resident again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from memtui.advise.ledger import Ledger, now
from memtui.advise.ledger_fields import back_fields
from memtui.advise.refault import RefaultCounter
from memtui.host.api import RefaultEvent
from memtui.linux.own_threads import start_thread
from memtui.model.errors import MemtuiError
from memtui.model.freeze import WATCHED_S

if TYPE_CHECKING:
    from memtui.host.api import Target
    from memtui.host.target import LocalTarget
    from memtui.model.report import RefaultSample, TargetReport

OnRefault = Callable[[RefaultEvent], None]

RESTORED_EVERY_S = 5.0
"""How often the ledger is asked whether another memtui has put back what is checked no more."""
# Pages are kept up to twice as long as WATCHED_S, until a check after that time is on record.
_GRACE_S = 5.0
_MOST_MONITORED = 256


class PageCounter(Protocol):
    """What counts the refaults of one report: see RefaultCounter."""

    @property
    def age_s(self) -> float:
        """How long ago it began."""

    def count(self) -> RefaultSample:
        """Count now."""


@dataclass(slots=True, eq=False)
class _Monitored:
    """The pages of a report, with a share in their target. All but ``counting`` is under the monitor's lock.

    ``counting`` is held over a count, which may be slow.
    """

    counter: PageCounter
    target: Target
    counting: threading.Lock = field(default_factory=threading.Lock)
    has_ended: bool = False
    saw_the_last: bool = False

    def left_s(self) -> float:
        """Return how long the pages are to be kept still."""
        age_s = self.counter.age_s
        over_s = WATCHED_S + _GRACE_S - age_s
        return over_s if over_s > 0 or self.saw_the_last else 2 * WATCHED_S + _GRACE_S - age_s


@dataclass(slots=True, eq=False)
class _Followed:
    """A report whose checks somebody wants to be told; ``due`` are those to come: see follow()."""

    began: float
    due: list[tuple[float, bool]]
    tell: OnRefault

    def take_due(self, at: float) -> bool | None:
        """Take the checks that are due; return whether one of them is to be recorded, None if none is due."""
        taken = [record for after_s, record in self.due if self.began + after_s <= at]
        self.due = self.due[len(taken) :]
        return any(taken) if taken else None


class RefaultMonitor:
    """Checks how much of what actions moved is resident again. May be used from any thread.

    A thread of its own makes the checks that were asked for and drops what is too old; it begins with the
    first follow(). A check that comes so late that the next is due counts for both. ``clock`` is in seconds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._following = threading.Lock()
        self._new_events = ledger.follow()
        self._restored: set[str] = set()
        self._wake = threading.Condition()
        self._monitored: dict[str, _Monitored] = {}
        self._busy: list[_Monitored] = []
        self._followed: dict[str, _Followed] = {}
        self._being_checked: str | None = None
        self._next_poll = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, report: TargetReport, target: LocalTarget) -> None:
        """Keep the pages that an action moved, and a share in their target; right after the action."""
        if target.acquire():
            self.keep(report.id, RefaultCounter(report, target.handle), target)

    def keep(self, report_id: str, counter: PageCounter, target: Target) -> None:
        """Keep what counts the refaults of a report; the target is released when that ends."""
        with self._wake:
            if self._closed:
                target.release()
                return
            self._monitored[report_id] = _Monitored(counter, target)
            while len(self._monitored) > _MOST_MONITORED:
                self._end(next(iter(self._monitored)))
            self._wake.notify()

    def follow(self, report_id: str, checks: Mapping[float, bool], tell: OnRefault) -> None:
        """Have a report checked, and be told by a thread of ours.

        ``checks`` are the seconds from now on, and whether a check goes into the ledger. It ends early where
        the pages are kept no more; the event says whether more are to come. After the last check ``tell`` is
        still called once where another memtui puts the pages back.

        Raises:
            MemtuiError: NO_TASKS; then nothing is checked.
        """
        with self._wake:
            self._run_thread()
            self._followed[report_id] = _Followed(self._clock(), sorted(checks.items()), tell)
            self._wake.notify()

    def unfollow(self, report_id: str) -> bool:
        """Be told no more; return whether an event of a check under way is still to come, as the last."""
        with self._wake:
            self._followed.pop(report_id, None)
            return self._being_checked == report_id

    def check(self, report_id: str, *, record: bool = False) -> RefaultSample | None:
        """Count what of a report is resident again; None if its pages are kept no more.

        With ``record`` the answer goes into the ledger, or has a ``warning``.
        """
        with self._wake:
            item = self._monitored.get(report_id)
            if item is None:
                return None
            self._busy.append(item)
        back = None
        try:
            with item.counting:
                back = None if item.has_ended else item.counter.count()
            if back is not None and back.back_bytes and self._is_or_was_restored(report_id):
                # By another memtui: what is resident says nothing of the advice any more.
                self.end(report_id)
        finally:
            is_of_the_advice = self._end_check(report_id, item, back if record else None)
        if back is None or not is_of_the_advice:
            return None
        return back._replace(warning=self._record(report_id, back)) if record else back

    def was_restored(self, report_id: str) -> bool:
        """Whether the ledger tells that somebody has put back what a report moved, since we began.

        It is read only where it has grown.
        """
        with self._following:
            # Where it cannot be read, each check that goes into it tells so.
            with suppress(OSError):
                self._restored.update(
                    event.text("id")
                    for event in self._new_events()
                    if event.kind == "restored" and event.number("restored_bytes") != 0
                )
            return report_id in self._restored

    def end(self, report_id: str) -> None:
        """Keep the pages no more: what is put back says nothing of whether the advice was right."""
        with self._wake:
            if report_id in self._monitored:
                self._end(report_id)

    def close(self, close_targets: Callable[[Collection[Target]], None]) -> None:
        """End everything, without waiting, and close all targets but those of checks under way.

        ``close_targets`` is told of one target for each check; it is called before any of them releases it.
        """
        with self._wake:
            self._closed = True
            self._followed.clear()
            self._wake.notify()
            for report_id in list(self._monitored):
                self._end(report_id)
            close_targets([item.target for item in dict.fromkeys(self._busy)])

    def check_due(self) -> None:
        """Make the checks that are due now, ask for restores, and drop what is too old."""
        with self._wake:
            followed = list(self._followed.items())
        for report_id, item in followed:
            self._check_if_due(report_id, item)
        self._poll_restored()
        with self._wake:
            for report_id, monitored in list(self._monitored.items()):
                if monitored.left_s() <= 0:
                    self._end(report_id)

    def _check_if_due(self, report_id: str, item: _Followed) -> None:
        with self._wake:
            record = item.take_due(self._clock()) if self._followed.get(report_id) is item else None
            if record is None:
                return
            self._being_checked = report_id
        back, error = None, None
        try:
            back = self.check(report_id, record=record)
        except Exception as caught:  # The thread must live on; whoever follows is told.
            error = caught
        was_restored = back is None and error is None and self.was_restored(report_id)
        with self._wake:
            if back is None and not isinstance(error, MemtuiError):
                # The pages are kept no more; and of an error that nobody foresaw once is enough.
                item.due = []
            if was_restored:
                self._followed.pop(report_id, None)
            is_last = not item.due or self._followed.get(report_id) is not item
            self._being_checked = None
        item.tell(RefaultEvent(report_id, back, record, was_restored, is_last, error))

    def _poll_restored(self) -> None:
        """Tell what another memtui has put back, of all whose checks are over."""
        with self._wake:
            over = {name: item for name, item in self._followed.items() if not item.due}
            if not over or self._clock() < self._next_poll:
                return
            self._next_poll = self._clock() + RESTORED_EVERY_S
        for report_id, item in over.items():
            if self.was_restored(report_id) and self._followed.pop(report_id, None) is item:
                item.tell(RefaultEvent(report_id, None, recorded=False, was_restored=True, is_last=True))

    def _run_thread(self) -> None:
        """Start the thread, if it does not run; under the lock.

        Raises:
            MemtuiError: NO_TASKS.
        """
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._run, name="memtui-refaults", daemon=True)
            start_thread(thread)
            self._thread = thread

    def _run(self) -> None:
        while self._wait_until_due():
            self.check_due()

    def _wait_until_due(self) -> bool:
        """Return False once it is to end."""
        with self._wake:
            while not self._closed:
                left_s = self._left_s()
                if left_s is not None and left_s <= 0:
                    return True
                self._wake.wait(left_s)
            return False

    def _left_s(self) -> float | None:
        """Return how long there is nothing to do; None if for ever. Under the lock."""
        at = self._clock()
        left = [item.began + item.due[0][0] - at for item in self._followed.values() if item.due]
        if len(left) < len(self._followed):
            left.append(self._next_poll - at)
        left += [item.left_s() for item in self._monitored.values()]
        return min(left, default=None)

    def _end_check(self, report_id: str, item: _Monitored, kept: RefaultSample | None) -> bool:
        """Count a check as over; return False where its pages were dropped meanwhile, by a restore, say."""
        with self._wake:
            self._busy.remove(item)
            if item.has_ended:
                if item not in self._busy:
                    item.target.release()
                return False
            if kept is not None and kept.after_s >= WATCHED_S:
                item.saw_the_last = True
                if item.left_s() <= 0:
                    self._end(report_id)
            return True

    def _end(self, report_id: str) -> None:
        """Keep the pages of a report no more; under the lock. A check under way releases the target."""
        item = self._monitored.pop(report_id)
        item.has_ended = True
        if item not in self._busy:
            item.target.release()

    def _is_or_was_restored(self, report_id: str) -> bool:
        return self._ledger.pages.is_held_for_restore(report_id) or self.was_restored(report_id)

    def _record(self, report_id: str, back: RefaultSample) -> str | None:
        """Put a check on record; return what went wrong, in words."""
        try:
            self._ledger.write("back", {"id": report_id, "time": now(), **back_fields(back)})
        except MemtuiError as error:
            return str(error)
        return None

"""The thread that acts: it runs plans and restores, so that two never overlap."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.host import RECORDED_CHECKS_S
from memtui.model.errors import MemtuiError
from memtui.model.plan import Plan
from memtui.ui.messages import (
    LookedBack,
    Post,
    RestoreDone,
    RestoredSince,
    RunEnded,
    RunProgressed,
    RunStarted,
    Said,
    TargetDone,
)
from memtui.ui.workers.sampler import words_of

if TYPE_CHECKING:
    from memtui.host import Host, RefaultEvent, Target
    from memtui.model.report import Progress, TargetReport
    from memtui.model.restore import RestorePlan, RestoreReport


CHECKS_S: dict[float, bool] = {at: at in RECORDED_CHECKS_S for at in (*range(1, 11), *range(15, 61, 5))}
"""When a report is checked for refaults, in seconds after it, and whether that goes into the ledger.

Often at first, when most comes back.
"""


@dataclass(slots=True)
class Job:
    """A plan to run, and the targets that it stands on; or what is to be put back.

    Setting ``cancelled`` ends it, and no other.
    """

    work: Plan | tuple[RestorePlan, ...]
    targets: tuple[Target, ...] = ()
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def word(self) -> str:
        """What it does, in a word."""
        return self.work.advice.value if isinstance(self.work, Plan) else "restore"


class PlanExecutor(threading.Thread):
    """Runs plans and restores. Public methods may be called from any thread.

    All but wait_idle return at once. With ``follows`` what was moved is checked for refaults for a minute.
    """

    def __init__(self, host: Host, post: Post, *, follows: bool = False) -> None:
        super().__init__(name="memtui-executor", daemon=True)
        self._host = host
        self._post = post
        self._follows = follows
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._running: Job | None = None
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._closed = False

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs; return whether that came to pass."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running is None, timeout_s)

    def submit(self, plan: Plan, targets: tuple[Target, ...]) -> None:
        """Put a plan in the queue. The targets are released when it is done with."""
        self._jobs.put(Job(plan, targets))

    def submit_restore(self, plans: tuple[RestorePlan, ...]) -> None:
        """Put a restore in the queue."""
        self._jobs.put(Job(plans))

    def cancel(self) -> None:
        """End the running plan at its next call's edge, or the running restore at its next step's."""
        running = self._running
        if running is not None:
            running.cancelled.set()

    def empty(self) -> int:
        """Throw away what waits, and cancel what runs; return how many plans that ended."""
        with self._lock:
            thrown = int(self._running is not None)
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            self._release(job)
            thrown += 1
        self.cancel()
        return thrown

    def close(self) -> bool:
        """Begin nothing any more, and cancel what runs; return whether that is to be waited for."""
        with self._lock:
            self._closed = True
        self.empty()
        return not self.wait_idle(0)

    def stop(self) -> None:
        """End after the running plan, which is cancelled."""
        self.close()
        self._jobs.put(None)

    def run(self) -> None:
        """Take plans from the queue until stopped."""
        while True:
            job = self._jobs.get()
            if job is None:
                return
            with self._lock:
                if not self._closed:
                    self._running = job
            if self._running is None:
                self._release(job)
                continue
            self._post(RunStarted(job.word))
            words = self._do(job)
            self._release(job)
            with self._idle:
                self._running = None
                self._idle.notify_all()
            self._post(RunEnded(words, self._jobs.qsize()))

    def _do(self, job: Job) -> str:
        work = job.work

        def on_progress(progress: Progress) -> None:
            self._post(RunProgressed(progress))

        def on_target(report: TargetReport) -> None:
            assert isinstance(work, Plan)
            # Here, not where the message is read: the screen may be late.
            self._follow(report)
            self._post(TargetDone(work.advice, report))

        def on_restored(report: RestoreReport) -> None:
            self._post(RestoreDone(report))

        if job.cancelled.is_set():
            return "cancelled before it began"
        try:
            if isinstance(work, Plan):
                self._host.apply(work, on_progress, on_target, cancelled=job.cancelled)
            else:
                reports = self._host.restore(work, on_progress, on_restored, cancelled=job.cancelled)
                return "; ".join(dict.fromkeys(report.warning for report in reports if report.warning))
        except Exception as error:  # The thread must live on; the operator is told.
            return words_of(error)
        return ""

    def _follow(self, report: TargetReport) -> None:
        if not self._follows or not report.pages_seen:
            return
        try:
            self._host.refaults.follow(report.id, CHECKS_S, self._tell_refault)
        except MemtuiError as error:
            self._post(Said(f"checking for refaults: {words_of(error)}", bad=True))

    def _tell_refault(self, event: RefaultEvent) -> None:
        """Post what a check has found; the host's monitor calls it, from a thread of its own."""
        sample = event.sample
        if sample is not None:
            self._post(LookedBack(event.report_id, sample, kept=event.recorded))
        words = None if sample is None else sample.warning
        if event.error is not None:
            words = words_of(event.error)
        if words is not None:
            self._post(Said(f"checking for refaults: {words}", bad=True))
        if event.was_restored:
            self._post(RestoredSince(event.report_id))

    def _release(self, job: Job) -> None:
        for target in job.targets:
            target.release()

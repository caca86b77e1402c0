"""The threads that act: one runs plans and restores, so that two never overlap; and the clerk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.model.plan import Plan
from memtui.ui.messages import (
    Post,
    RestoreDone,
    RunEnded,
    RunProgressed,
    RunStarted,
    Said,
    TargetDone,
)
from memtui.ui.sampler import words_of

if TYPE_CHECKING:
    from memtui.host import Host, Target
    from memtui.model.report import Progress, TargetReport
    from memtui.model.restore import RestorePlan, RestoreReport
    from memtui.ui.watcher import Watcher


@dataclass(slots=True)
class Job:
    """A plan to run, and the handles that it stands on; or what is to be put back."""

    work: Plan | tuple[RestorePlan, ...]
    targets: tuple[Target, ...] = ()
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def word(self) -> str:
        """What it does, in a word."""
        return self.work.advice.value if isinstance(self.work, Plan) else "restore"


class Operator(threading.Thread):
    """Runs plans and restores. Public methods may be called from any thread.

    All but wait_idle return at once. ``watcher`` is told what to look back at, at the moment when it is done.
    """

    def __init__(self, host: Host, post: Post, watcher: Watcher | None = None) -> None:
        super().__init__(name="memtui-operator", daemon=True)
        self._host = host
        self._post = post
        self.watcher = watcher
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
        with self._lock:
            running = self._running
        if running is not None:
            running.cancelled.set()
            self._host.cancel()

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
            if job.cancelled.is_set():
                # The first cancel may have come before the host had begun, and been lost.
                self._host.cancel()
            self._post(RunProgressed(progress))

        def on_target(report: TargetReport) -> None:
            assert isinstance(work, Plan)
            if report.pages_seen and self.watcher is not None:
                # Here, not where the message is read: the screen may be late.
                self.watcher.watch(report.id)
            self._post(TargetDone(work.advice, report))

        def on_restored(report: RestoreReport) -> None:
            if report.restored_bytes != 0:
                # What is back says nothing of the advice any more. Where nothing could be tried, the
                # looks go on.
                self._forget(report.planned.id)
            self._post(RestoreDone(report))

        if job.cancelled.is_set():
            return "cancelled before it began"
        try:
            if isinstance(work, Plan):
                self._host.apply(work, on_progress, on_target)
            else:
                reports = self._host.restore(work, on_progress, on_restored)
                return "; ".join(dict.fromkeys(report.warning for report in reports if report.warning))
        except Exception as error:  # The thread must live on; the operator is told.
            return words_of(error)
        return ""

    def _forget(self, report_id: str) -> None:
        if self.watcher is not None:
            self.watcher.forget(report_id)

    def _release(self, job: Job) -> None:
        for target in job.targets:
            target.release()


class Clerk(threading.Thread):
    """Asks the host what the UI thread may not wait for: plans, what can be marked, who maps a file."""

    def __init__(self, post: Post, name: str = "memtui-clerk") -> None:
        super().__init__(name=name, daemon=True)
        self._post = post
        self._questions: queue.Queue[Callable[[], None] | None] = queue.Queue()

    def ask(self, question: Callable[[], None]) -> None:
        """Have a question asked after those that wait. It posts its answer itself."""
        self._questions.put(question)

    def stop(self) -> None:
        """End after the questions that wait."""
        self._questions.put(None)

    def run(self) -> None:
        """Ask until stopped."""
        while (question := self._questions.get()) is not None:
            try:
                question()
            except Exception as error:  # The thread must live on; the operator is told.
                self._post(Said(words_of(error), bad=True))

"""``memtui advise --watch``: what of the bytes that left RAM is resident again."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from memtui.cli.output import complain
from memtui.host import KEPT_LOOKS_S, Target
from memtui.linux.own_threads import start_thread
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, with_step
from memtui.model.reasons import Reason
from memtui.render.refault import describe_refault

if TYPE_CHECKING:
    from memtui.cli.signals import Signals
    from memtui.format import SafeText
    from memtui.host.local import LocalHost
    from memtui.model.report import Back, TargetReport

_SIGNAL_S = 0.1
"""How long a signal may go unseen between two looks."""


class Watching:
    """Looks after each report at 1, 10 and 60 s, those that lie within ``for_s``, and at ``for_s``.

    A thread of its own looks, while the plan goes on with its other targets. What it saw is told, in the
    order of the looks, by :meth:`run`. A look that comes so late that the next is due counts for both.
    """

    def __init__(self, host: LocalHost, for_s: float | None, targets: Sequence[Target]) -> None:
        self._host = host
        self._times = [] if for_s is None else sorted({*(at for at in KEPT_LOOKS_S if at < for_s), for_s})
        self._targets = {target.process: target for target in targets}
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, TargetReport]] = []
        self._begun = 0
        self._plan_is_done = self._is_over = False
        self._seen: SimpleQueue[tuple[TargetReport, Back | None] | Exception | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._trouble = ""

    def begin(self, report: TargetReport) -> None:
        """Begin to look back at a report; right after it was made."""
        if not self._times or not report.pages_seen:
            return
        began = time.monotonic()
        with self._wake:
            self._begun += 1
            self._due = sorted([*self._due, *((began + at, self._begun, report) for at in self._times)])
            self._wake.notify()
        if self._thread is None:
            thread = threading.Thread(target=self._look_on, name="memtui-watching", daemon=True)
            try:
                start_thread(thread)
            except MemtuiError as error:
                # The plan goes on, and is reported: only the looks back are missing.
                self._trouble = str(error)
            else:
                self._thread = thread

    def run(self, advice: Advice, reports: Sequence[TargetReport], signals: Signals, *, quiet: bool) -> None:
        """Tell what was seen and is still to be seen, if not ``quiet``. A signal ends it.

        What was seen is in the reports too.
        """
        if advice is not Advice.PAGEOUT:
            complain(f"--watch: {advice.value} moves nothing out of RAM, so nothing can come back")
            return
        unseen = [report for report in reports if report.is_unseen]
        for report in unseen:
            words = with_step(Reason.PAGES_UNSEEN.text, Reason.PAGES_UNSEEN)
            complain(f"--watch: process {report.planned.process.pid}: {words}")
        if self._thread is None:
            if self._trouble:
                complain(f"--watch: what comes back is not looked at: {self._trouble}")
            elif not unseen:
                complain("--watch: nothing left RAM, so nothing can come back")
            return
        try:
            self._tell(signals, quiet)
        finally:
            self._end()
        for warning in dict.fromkeys(back.warning for item in reports for back in item.back if back.warning):
            complain(warning)

    def _tell(self, signals: Signals, quiet: bool) -> None:
        with self._wake:
            self._plan_is_done = True
            self._wake.notify()
        has_ended = False
        while True:
            if signals.came and not has_ended:
                # A look that is under way ends first, as it would have without the thread.
                has_ended = True
                self._end()
            try:
                seen = self._seen.get(timeout=_SIGNAL_S)
            except Empty:
                continue
            if seen is None:
                break
            if isinstance(seen, Exception):
                raise seen
            self._say(*seen, quiet)
        if has_ended:
            complain("--watch was ended early")

    def _end(self) -> None:
        with self._wake:
            self._is_over = True
            self._wake.notify()

    def _look_on(self) -> None:
        """Look when a look is due, until there is none to come."""
        try:
            while (report := self._next()) is not None:
                back = self._host.look_back(report.id, record=True)
                if back is not None:
                    report.back.append(back)
                self._seen.put((report, back))
        except Exception as error:  # It is raised again where it can be told.
            self._seen.put(error)
        self._seen.put(None)

    def _next(self) -> TargetReport | None:
        """Wait for the next look that is due, and take it and what of the same report is due too."""
        with self._wake:
            while not self._is_over:
                left_s = self._due[0][0] - time.monotonic() if self._due else None
                if left_s is None and self._plan_is_done:
                    return None
                if left_s is not None and left_s <= 0:
                    report, now = self._due[0][2], time.monotonic()
                    self._due = [item for item in self._due if item[2] is not report or item[0] > now]
                    return report
                self._wake.wait(left_s)
        return None

    def _say(self, report: TargetReport, back: Back | None, quiet: bool) -> None:
        if back is None:
            words = "is watched no more"
            if self._host.was_restored(report.id):
                words = "was restored meanwhile: what is resident again was put back"
            complain(f"--watch: {report.id} {words}")
        elif not quiet:
            print(self._words(report, back), flush=True)

    def _words(self, report: TargetReport, back: Back) -> SafeText:
        target = self._targets.get(report.planned.process)
        # What became of it matters only where its pages could not be looked at.
        standing = target.standing() if target is not None and back.back_bytes is None else None
        return describe_refault(report, back, standing)

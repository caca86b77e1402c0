"""``memtui advise --watch``: what of the bytes that left RAM is resident again."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from memtui.cli.output import complain
from memtui.host import RECORDED_CHECKS_S, RefaultEvent
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, with_step
from memtui.model.reasons import Reason
from memtui.render.refault import describe_refault

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from memtui.format import SafeText
    from memtui.host import Host, Target
    from memtui.model.report import RefaultSample, TargetReport

_SIGNAL_S = 0.1
"""How long a signal may go unseen between two looks."""


class Watching:
    """Has each report checked at 1, 10 and 60 s, those that lie within ``for_s``, and at ``for_s``.

    The host's monitor checks, while the plan goes on with its other targets. What it saw is told, in the
    order of the checks, by :meth:`run`.
    """

    def __init__(self, host: Host, for_s: float | None, targets: Sequence[Target]) -> None:
        self._host = host
        times = () if for_s is None else (*(at for at in RECORDED_CHECKS_S if at < for_s), for_s)
        self._checks = dict.fromkeys(times, True)
        self._targets = {target.process: target for target in targets}
        self._followed: dict[str, TargetReport] = {}
        self._events: SimpleQueue[RefaultEvent] = SimpleQueue()
        self._trouble = ""

    def begin(self, report: TargetReport) -> None:
        """Begin to watch a report; right after it was made."""
        if not self._checks or not report.pages_seen:
            return
        self._followed[report.id] = report
        try:
            self._host.refaults.follow(report.id, self._checks, self._take)
        except MemtuiError as error:
            # The plan goes on, and is reported: only the checks are missing.
            del self._followed[report.id]
            self._trouble = str(error)

    def _take(self, event: RefaultEvent) -> None:
        if event.sample is not None:
            self._followed[event.report_id].back.append(event.sample)
        self._events.put(event)

    def run(
        self, advice: Advice, reports: Sequence[TargetReport], cancelled: threading.Event, *, quiet: bool
    ) -> None:
        """Tell what was seen and is still to be seen, if not ``quiet``, until ``cancelled`` is set.

        What was seen is in the reports too.
        """
        if advice is not Advice.PAGEOUT:
            complain(f"--watch: {advice.value} moves nothing out of RAM, so nothing can come back")
            return
        unseen = [report for report in reports if report.is_unseen]
        for report in unseen:
            words = with_step(Reason.PAGES_UNSEEN.text, Reason.PAGES_UNSEEN)
            complain(f"--watch: process {report.planned.process.pid}: {words}")
        if not self._followed:
            if self._trouble:
                complain(f"--watch: what comes back is not looked at: {self._trouble}")
            elif not unseen:
                complain("--watch: nothing left RAM, so nothing can come back")
            return
        try:
            self._tell(cancelled, quiet)
        finally:
            self._end()
        for warning in dict.fromkeys(back.warning for item in reports for back in item.back if back.warning):
            complain(warning)

    def _tell(self, cancelled: threading.Event, quiet: bool) -> None:
        waiting = set(self._followed)
        has_ended = False
        while waiting or not self._events.empty():
            if cancelled.is_set() and not has_ended:
                # A check that is under way ends first.
                has_ended = True
                waiting = self._end()
                continue
            try:
                event = self._events.get(timeout=_SIGNAL_S)
            except Empty:
                continue
            if event.error is not None:
                raise event.error
            self._say(self._followed[event.report_id], event, quiet)
            if event.is_last:
                waiting.discard(event.report_id)
        if has_ended:
            complain("--watch was ended early")

    def _end(self) -> set[str]:
        """End the checks; return the reports of which one is under way."""
        return {report_id for report_id in self._followed if self._host.refaults.unfollow(report_id)}

    def _say(self, report: TargetReport, event: RefaultEvent, quiet: bool) -> None:
        back = event.sample
        if back is None:
            words = "is no longer monitored"
            if event.was_restored:
                words = "was restored meanwhile: what is resident again was put back"
            complain(f"--watch: {report.id} {words}")
        elif not quiet:
            print(self._words(report, back), flush=True)

    def _words(self, report: TargetReport, back: RefaultSample) -> SafeText:
        target = self._targets.get(report.planned.process)
        # What became of it matters only where its pages could not be looked at.
        standing = target.standing() if target is not None and back.back_bytes is None else None
        return describe_refault(report, back, standing)

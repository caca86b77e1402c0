"""``memtui advise --watch``: what of the bytes that left RAM came back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from memtui.cli.output import complain
from memtui.cli.signals import Signals
from memtui.host import Target
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.process import Standing
from memtui.model.reasons import Reason
from memtui.model.report import Back, TargetReport, stayed
from memtui.text import count, safe, size

_LOOKS_AT_S = (1.0, 10.0, 60.0)
_GONE_WORDS = {
    Standing.EXITED: Reason.EXITED.text,
    Standing.ZOMBIE: Reason.EXITED.text,
    Standing.EXECED: Reason.EXECED.text,
}


class Watching:
    """Looks after each report at 1, 10 and 60 s, those that lie within ``for_s``, and at ``for_s``."""

    def __init__(self, host: LocalHost, for_s: float | None, targets: Sequence[Target]) -> None:
        self._host = host
        self._times = [] if for_s is None else sorted({*(at for at in _LOOKS_AT_S if at < for_s), for_s})
        self._targets = {target.process: target for target in targets}
        self._began: dict[str, float] = {}

    def begin(self, report: TargetReport) -> None:
        """Count the time of a report from now: it was just done."""
        self._began[report.id] = time.monotonic()

    def run(self, advice: Advice, reports: Sequence[TargetReport], signals: Signals, *, quiet: bool) -> None:
        """Look, keep it in the reports, and say it if not ``quiet``. A signal ends it."""
        if advice is not Advice.PAGEOUT:
            complain(f"--watch: {advice.value} moves nothing out of RAM, so nothing can come back")
            return
        watched = [report for report in reports if report.moved_pages]
        if not watched:
            complain("--watch: nothing left RAM, so nothing can come back")
        looks = sorted(
            (self._began[report.id] + at, n) for n, report in enumerate(watched) for at in self._times
        )
        for due, number in looks:
            if signals.came or signals.wait(max(0.0, due - time.monotonic())):
                complain("--watch was ended early")
                break
            self._look(watched[number], quiet)
        unrecorded = self._host.unrecorded()
        if unrecorded:
            complain(unrecorded)

    def _look(self, report: TargetReport, quiet: bool) -> None:
        back = self._host.look_back(report.id, record=True)
        if back is None:
            complain(f"--watch: {report.id} is watched no more")
            return
        report.back.append(back)
        if not quiet:
            print(
                f"{report.planned.process.pid} {safe(report.planned.name)} {self._words(report, back)}",
                flush=True,
            )

    def _words(self, report: TargetReport, back: Back) -> str:
        after = f"after {back.after_s:.0f} s:"
        if back.back_bytes is None:
            target = self._targets.get(report.planned.process)
            gone = _GONE_WORDS.get(target.standing()) if target is not None else None
            return f"{after} not known: {gone or 'its pages cannot be looked at'}"
        said = stayed(report.moved_bytes, back)
        parts = [f"{size(back.back_bytes)} of {size(report.moved_bytes)} are back"]
        if said is not None:
            parts.append(said.value)
        if back.major_faults is not None:
            parts.append(count(back.major_faults, "major fault"))
        if back.psi_some_avg10 is not None:
            parts.append(f"memory pressure of the whole machine {back.psi_some_avg10:.1f} %")
        return f"{after} {'; '.join(parts)}"

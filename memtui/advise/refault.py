"""Refaults: how many of the pages that an action moved are resident again while their target runs on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from memtui.advise.recheck import Recheck
from memtui.advise.segments import Segment
from memtui.linux import sysinfo
from memtui.linux.pagemap import PageReader
from memtui.linux.procfs import read_stat
from memtui.model.errors import MemtuiError
from memtui.model.pages import resident
from memtui.model.process import Liveness
from memtui.model.ranges import Range, intersect, normalise, total_bytes
from memtui.model.report import RefaultSample, TargetReport

if TYPE_CHECKING:
    from memtui.linux.process_handle import ProcessHandle


class RefaultCounter:
    """The pages that one report moved. Make it right after the action. Not for several threads."""

    def __init__(self, report: TargetReport, handle: ProcessHandle) -> None:
        self._handle = handle
        self._pages = report.moved_pages
        planned = [item.planned for item in report.ranges if item.planned.identity is not None]
        planned.sort(key=lambda item: item.range)
        self._identities = [item.identity for item in planned]
        self._pieces = [Segment(item.range.start, item.range.end, at) for at, item in enumerate(planned)]
        self._began = time.monotonic()
        self._faults = self._major_faults()

    @property
    def age_s(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self._began

    def count(self) -> RefaultSample:
        """Count now. Nothing is known of a target that has exited or runs another program."""
        after_s = self.age_s
        back_bytes, faults = self._back_bytes(), self._major_faults()
        if self._handle.standing() is not Liveness.ALIVE:
            back_bytes = faults = None
        since = None if faults is None or self._faults is None else faults - self._faults
        return RefaultSample(round(after_s, 3), back_bytes, since, sysinfo.pressure_some_avg10())

    def _major_faults(self) -> int | None:
        try:
            return read_stat(self._handle.pid).major_faults
        except MemtuiError:
            # It has gone: not known, which is what is said of it.
            return None

    def _back_bytes(self) -> int | None:
        """Return how many bytes are resident again, where the mapping is still the same."""
        try:
            checked = Recheck(self._handle).check(self._pieces, self._identities)
            same = normalise(Range(piece.start, piece.end) for piece in checked.standing)
            pages = intersect(self._pages, same)
            runs = PageReader(self._handle).raw_runs(pages)
        except MemtuiError:
            # Gone, or nothing of it may be read any more: not known.
            return None
        return None if runs is None else total_bytes(intersect(resident(runs), pages))

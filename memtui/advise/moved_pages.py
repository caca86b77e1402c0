"""What a transaction moves goes on record hold by hold, while its target runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.advise.pages_file import words_of
from memtui.advise.pages_format import Stretch, encode_frame
from memtui.model.process import Liveness
from memtui.model.ranges import Range, RangeSet, normalise
from memtui.model.reasons import Detail, DetailCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.advise.pages_file import PageRecords, PagesWriter
    from memtui.advise.segments import Segments
    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.plan import PlannedRange, TargetPlan
    from memtui.model.report import TargetReport


_GONE = frozenset({Liveness.EXITED, Liveness.ZOMBIE, Liveness.EXECED})
"""What has no page left to be restored. Of one that is no longer looked at (CLOSED) nothing is known."""


class MovedPagesRecord:
    """The record of one transaction.

    Raises nothing: what cannot be written is tried again after the next hold, and :meth:`finish` tells.
    ``handle`` is of the target, whose program was looked at already: after the action that may be out of RAM.
    """

    def __init__(
        self, records: PageRecords, report_id: str, planned: TargetPlan, handle: ProcessHandle
    ) -> None:
        self._records = records
        self._report_id = report_id
        self._planned: Sequence[PlannedRange] = planned.ranges
        self._handle = handle
        self._program = handle.program().text
        self._writer: PagesWriter | None = None
        self._stretches: list[Stretch] = []
        self._pages: list[Range] = []
        self._dropped: list[Range] = []
        self._has_frames = False
        self._begin()

    def _begin(self) -> OSError | None:
        """Begin the file, if there is none yet; return what went wrong."""
        if self._writer is None:
            try:
                self._writer = self._records.begin(self._report_id, self._handle.process, self._program)
            except OSError as error:
                return error
        return None

    def add(self, called: Segments, raced: Segments, moved: RangeSet) -> None:
        """Put on record what moved of ascending pieces; of ranges that raced nothing is to be restored."""
        if moved:
            self._stretches += self._touched(called, moved)
            self._pages += moved
        self._dropped += [self._planned[owner].range for owner in dict.fromkeys(raced.owners)]
        if self._pages or self._dropped:
            self._write()

    def finish(self, report: TargetReport, *, is_whole: bool = True) -> str | None:
        """Complete the record, or remove it if there is nothing in it; return what went wrong, in words.

        It is not ``is_whole`` where a hold was lost: what moved in that one is not known.
        """
        error = None
        nothing = is_whole and not report.pages_seen and not report.is_unseen
        if nothing or self._handle.standing() in _GONE:
            if self._writer is not None:
                self._writer.remove()
        else:
            if report.is_unseen:
                # They moved, and could not be seen: that is on record, too.
                self._stretches, self._pages = [], []
            error = self._write(is_end=is_whole)
        self.close()
        if self._writer is not None and error is not None and not self._has_frames:
            self._writer.remove()
        if error is None:
            return None
        code = DetailCode.PARTLY_NOT_RECORDED if self._has_frames else DetailCode.NOT_RECORDED
        return Detail(code, words=words_of(error)).text

    def close(self) -> None:
        """Let others restore what is on record. May be called again."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, *, is_end: bool = False) -> OSError | None:
        """Write what is not written yet; return what went wrong."""
        error = self._begin()
        if error is not None or self._writer is None:
            return error
        frame = encode_frame(self._stretches, normalise(self._pages), self._dropped, is_end=is_end)
        try:
            self._writer.append(frame)
        except OSError as failed:
            return failed
        self._has_frames = True
        self._stretches, self._pages, self._dropped = [], [], []
        return None

    def _touched(self, called: Segments, moved: RangeSet) -> list[Stretch]:
        """Return the planned ranges of pieces that some of the pages lie in."""
        owners: dict[int, None] = {}
        at = 0
        for start, end, owner in zip(called.starts, called.ends, called.owners, strict=True):
            while at < len(moved) and moved[at].end <= start:
                at += 1
            if at == len(moved):
                break
            if moved[at].start < end:
                owners[owner] = None
        return [
            Stretch(planned.range, planned.identity, planned.kind)
            for planned in map(self._planned.__getitem__, owners)
            if planned.identity is not None and planned.kind is not None
        ]

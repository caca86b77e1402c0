"""Restore: pages that an action moved and that are still out are read back, one byte a page.

Which pages those are is looked at anew before each step, since the target runs on meanwhile: a page
that it dropped must not be made again by our reading it. What came is seen by a look, not assumed.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from memtui.advise.cutting import Piece
from memtui.advise.pages_file import MovedPages
from memtui.advise.recheck import Checked, Recheck
from memtui.linux import machine
from memtui.linux.filecache import open_mapped
from memtui.linux.handle import ProcessHandle
from memtui.linux.memory_file import MemoryFile, data_within
from memtui.linux.memory_limit import MemoryLimits
from memtui.linux.pagemap import PageReader
from memtui.linux.procfs import parse_maps
from memtui.model.errors import MemtuiError
from memtui.model.pages import RawRun, resident, swapped
from memtui.model.ranges import (
    PAGE_BYTES,
    Range,
    RangeSet,
    intersect,
    normalise,
    split,
    subtract,
    total_bytes,
)
from memtui.model.reasons import Reason, reason_of_call
from memtui.model.report import Progress
from memtui.model.restore import Restored
from memtui.model.vma import ANONYMOUS_KINDS, Kind, Vma

STEP_BYTES = 1 << 20
"""How much is read between two looks at the target, at free memory and at Cancel."""

FLOOR_SHARE = 0.05
FLOOR_LEAST_BYTES = 64 << 20
"""What must stay available of the machine's memory (MemAvailable): a share of it all, and at least this.

The share holds for the limits of the target's cgroups too.
"""

_USERFAULTFD_FLAGS = frozenset({"um", "uw", "ui"})

OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Survey:
    """What is still out of what was moved. ``lost`` exists no more, ``left`` is wanted, not read (bytes)."""

    standing: RangeSet
    before: RangeSet
    already_back_bytes: int
    wanted: RangeSet
    readable: RangeSet
    lost: dict[Reason, int] = field(default_factory=dict)
    left: dict[Reason, int] = field(default_factory=dict)


class Restorer:
    """Brings back the pages of one record. ``handle`` is of the very process and program of the record."""

    def __init__(self, handle: ProcessHandle, moved: MovedPages) -> None:
        self._handle = handle
        self._moved = moved
        self._reader = PageReader(handle)
        self._recheck = Recheck(handle)
        self._identities = [item.identity for item in moved.stretches]
        self._starts = [item.range.start for item in moved.stretches]
        self._limits = MemoryLimits(handle.pid)
        self._vmas: tuple[Vma, ...] = ()
        self._stopped: Reason | None = None

    def survey(self) -> Survey:
        """Look what is still out. Touches nothing.

        Raises:
            MemtuiError: if the target is gone, or its pages may not be looked at.
        """
        handle, moved = self._handle, self._moved
        self._vmas = parse_maps(handle.read_maps(), machine.shmem_devices(handle.pid))
        checked = self._check([item.range for item in moved.stretches])
        standing = _ranges(checked.standing)
        runs = self._runs(standing)
        before = resident(runs)
        here = intersect(moved.pages, standing)
        missing = subtract(here, before)
        lost = {
            Reason.GONE: total_bytes(intersect(moved.pages, _ranges(checked.gone))),
            Reason.CHANGED: total_bytes(intersect(moved.pages, _ranges(checked.changed))),
        }
        readable, dropped, left = self._readable(missing, runs)
        lost[Reason.PAGE_GONE] = total_bytes(dropped)
        served = intersect(readable, self._served())
        left[Reason.USERFAULTFD] = total_bytes(served)
        return Survey(
            standing=standing,
            before=before,
            already_back_bytes=total_bytes(here) - total_bytes(missing),
            wanted=subtract(missing, dropped),
            readable=subtract(readable, served),
            lost={reason: count for reason, count in lost.items() if count},
            left={reason: count for reason, count in left.items() if count},
        )

    def run(self, name: str, cancelled: threading.Event, on_progress: OnProgress | None) -> Restored:
        """Bring back what can be; return what was seen.

        Raises:
            MemtuiError: if nothing could be begun: NO_ATTACH, or the target is gone.
        """
        found = self.survey()
        wanted_bytes = total_bytes(found.wanted)
        done = 0
        with MemoryFile(self._handle.pid) as memory:
            # Only now is it certain whose memory was opened.
            self._handle.read_maps()
            for step in _steps(found.readable):
                count = total_bytes(step)
                self._stopped = self._why_stop(count, cancelled)
                if self._stopped is None:
                    self._bring(memory, step, found)
                if self._stopped is not None:
                    break
                done += count
                if on_progress is not None:
                    with suppress(RuntimeError):  # a screen that is closing must not end a restore
                        on_progress(Progress(name, done, wanted_bytes, 0, holding=False))
        restored, also = self._look_after(found)
        return Restored(
            moved_bytes=total_bytes(self._moved.pages),
            already_back_bytes=found.already_back_bytes,
            wanted_bytes=wanted_bytes,
            restored_bytes=restored,
            also_back_bytes=also,
            lost=found.lost,
            left=found.left,
            stopped=self._stopped,
        )

    def _why_stop(self, next_bytes: int, cancelled: threading.Event) -> Reason | None:
        if cancelled.is_set():
            return Reason.CANCELLED
        if self._handle.is_dead():
            return Reason.EXITED
        if not memory_allows(next_bytes):
            return Reason.MEMORY_LOW
        return None if self._limits.allow(next_bytes, FLOOR_SHARE) else Reason.MEMORY_LIMIT

    def _bring(self, memory: MemoryFile, step: RangeSet, found: Survey) -> None:
        """Read one step's pages, those of them that still are what they were."""
        try:
            checked = self._check(step)
            standing = intersect(_ranges(checked.standing), step)
            runs = self._runs(standing)
            readable, dropped, left = self._readable(subtract(standing, resident(runs)), runs)
        except MemtuiError as error:
            self._stopped = error.reason
            return
        _add(found.left, Reason.GONE, total_bytes(_ranges(checked.gone)))
        _add(found.left, Reason.CHANGED, total_bytes(_ranges(checked.changed)))
        _add(found.left, Reason.PAGE_GONE, total_bytes(dropped))
        for reason, count in left.items():
            _add(found.left, reason, count)
        for part in readable:
            try:
                failed = memory.bring(part)
            except OSError as error:
                self._stopped = reason_of_call("/proc/PID/mem", error.errno or 0)
                return
            if failed is None:
                self._stopped = self._handle.lost_error().reason
                return
            _add(found.left, Reason.PAGE_UNREADABLE, failed)

    def _look_after(self, found: Survey) -> tuple[int | None, int | None]:
        """Return the bytes that were wanted and came, and those that came besides."""
        try:
            same = _ranges(self._check(found.standing).standing)
            now = intersect(resident(self._runs(same)), same)
        except MemtuiError as error:
            self._stopped = error.reason
            return None, None
        besides = subtract(subtract(now, found.before), found.wanted)
        return total_bytes(intersect(now, found.wanted)), total_bytes(besides)

    def _check(self, parts: Sequence[Range]) -> Checked:
        """Ask what stands in ascending parts of the record's stretches."""
        pieces = []
        for part in parts:
            start = part.start
            while start < part.end:
                owner = bisect_right(self._starts, start) - 1
                end = min(part.end, self._moved.stretches[owner].range.end)
                pieces.append(Piece(start, end, owner))
                start = end
        return self._recheck.check(pieces, self._identities)

    def _runs(self, within: RangeSet) -> list[RawRun]:
        runs = self._reader.raw_runs(within)
        if runs is None:
            words = "which of its pages are out cannot be seen: you may not read its pagemap"
            raise MemtuiError(Reason.NO_ATTACH, f"process {self._handle.pid}", words)
        return runs

    def _readable(
        self, missing: RangeSet, runs: Sequence[RawRun]
    ) -> tuple[RangeSet, RangeSet, dict[Reason, int]]:
        """Sort pages that are not in RAM: to be read, dropped, and the bytes left alone by reason."""
        private = intersect(missing, swapped(runs))
        readable, dropped = list(private), list[Range]()
        left: dict[Reason, int] = {}
        for vma, pages in _by_vma(self._vmas, subtract(missing, private)):
            if vma.kind in ANONYMOUS_KINDS:
                dropped += pages
                continue
            held = self._held_by_file(vma, pages)
            if held is None:
                reason = Reason.HOLES_UNKNOWN if vma.kind is Kind.SHMEM else Reason.PAGE_UNREADABLE
                _add(left, reason, total_bytes(pages))
                continue
            readable += held
            dropped += subtract(pages, held)
        return normalise(readable), normalise(dropped), left

    def _held_by_file(self, vma: Vma, pages: RangeSet) -> RangeSet | None:
        """Return which pages the file or shared memory behind a mapping has; None where unknown."""
        if vma.kind is Kind.SHMEM:
            data = data_within(self._handle.pid, vma, Range(pages[0].start, pages[-1].end))
            return None if data is None else intersect(pages, data)
        if vma.kind is not Kind.FILE:
            return None
        fd = open_mapped(self._handle.pid, vma)
        if fd is None:
            # Past the end of the file the read will fail, and nothing be made.
            return pages
        try:
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        end = vma.start + -(-(size - vma.offset) // PAGE_BYTES) * PAGE_BYTES
        return intersect(pages, (Range(vma.start, end),)) if end > vma.start else ()

    def _served(self) -> RangeSet:
        """Return where a userfaultfd serves the pages: reading there would wait for its server."""
        starts = {
            start
            for start, row in self._reader.details().items()
            if not _USERFAULTFD_FLAGS.isdisjoint(row.flags)
        }
        return normalise(vma.range for vma in self._vmas if vma.start in starts)


def memory_allows(next_bytes: int) -> bool:
    """Whether enough memory stays available when so much more is taken; not where that is unknown."""
    memory = machine.memory()
    if memory.available_bytes is None or memory.total_bytes is None:
        return False
    floor = max(FLOOR_LEAST_BYTES, int(memory.total_bytes * FLOOR_SHARE))
    return memory.available_bytes - next_bytes >= floor


def _add(into: dict[Reason, int], reason: Reason, count: int) -> None:
    if count:
        into[reason] = into.get(reason, 0) + count


def _ranges(pieces: Sequence[Piece]) -> RangeSet:
    return normalise(Range(piece.start, piece.end) for piece in pieces)


def _steps(pages: RangeSet) -> Iterator[RangeSet]:
    """Cut pages into steps of at most STEP_BYTES."""
    step: list[Range] = []
    size = 0
    for item in pages:
        for part in split(item, STEP_BYTES):
            if size + part.size_bytes > STEP_BYTES:
                yield tuple(step)
                step, size = [], 0
            step.append(part)
            size += part.size_bytes
    if step:
        yield tuple(step)


def _by_vma(vmas: Sequence[Vma], pages: RangeSet) -> Iterator[tuple[Vma, RangeSet]]:
    """Yield each VMA that holds some of the pages, with them."""
    if not pages:
        return
    at = 0
    first = max(0, bisect_right(vmas, pages[0].start, key=lambda vma: vma.start) - 1)
    for vma in islice(vmas, first, None):
        while at < len(pages) and pages[at].end <= vma.start:
            at += 1
        upto = at
        while upto < len(pages) and pages[upto].start < vma.end:
            upto += 1
        if upto > at:
            yield vma, intersect(pages[at:upto], (vma.range,))
            # The last run may reach into the next one.
            at = upto - 1
        elif upto == len(pages):
            return

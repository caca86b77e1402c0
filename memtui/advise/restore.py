"""Restore: pages that an action moved and that are still out are read back, one byte a page.

Which pages those are is looked at anew before each step, since the target runs on meanwhile: a page
that it dropped must not be made again by our reading it. What came is seen by a look, not assumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from memtui.advise.headroom import Headroom
from memtui.advise.moved_page_state import MovedPageScanner, MovedPageState, PagesByReason, note
from memtui.linux.exec_identity import Program, places_of, random_address, random_at
from memtui.linux.proc_mem import MemoryFile, SharedFile
from memtui.model.errors import MemtuiError, Unusable
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
from memtui.model.restore import LOST, Restored

if TYPE_CHECKING:
    import threading

    from memtui.advise.pages_format import MovedPages
    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.vma import Vma

STEP_BYTES = 1 << 20
"""How much is read between two looks at the target, at free memory and at Cancel."""

SERVED_EVERY_S = 0.5
"""How long a look for userfaultfd holds; it also takes no more than a tenth of the time."""

_GROUP_BYTES = 16 * PAGE_BYTES
"""What the kernel maps around a fault in shared memory (fault_around_bytes, mm/memory.c)."""

OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class StillOut:
    """What is still out of what was moved. ``lost`` exists no more (bytes), ``left`` is not to be read."""

    standing: RangeSet
    before: RangeSet
    already_back_bytes: int
    wanted: RangeSet
    readable: RangeSet
    lost: dict[Reason, int]
    left: PagesByReason = field(default_factory=dict)


class Restorer:
    """Brings back the pages of one record. ``handle`` is of the very process and program of the record."""

    def __init__(self, handle: ProcessHandle, moved: MovedPages) -> None:
        self._handle = handle
        self._moved = moved
        self._remains = MovedPageScanner(handle, moved)
        self._headroom = Headroom(handle.pid)
        self._served: RangeSet = ()
        self._look_for_servers_at = 0.0
        self._left: PagesByReason = {}
        self._vanished: PagesByReason = {}
        self._reached: list[Range] = []
        self._stopped: Reason | None = None

    def survey(self) -> StillOut:
        """Look what is still out. Touches nothing.

        Raises:
            MemtuiError: if the target is gone, or its pages may not be looked at.
        """
        pages = self._moved.pages
        self._look_for_servers()
        look = self._remains.look(pages, [item.range for item in self._moved.stretches])
        here = intersect(pages, look.standing)
        missing = subtract(here, look.resident)
        left = dict(look.left)
        note(left, Reason.USERFAULTFD, intersect(look.readable, self._served))
        return StillOut(
            standing=look.standing,
            before=look.resident,
            already_back_bytes=total_bytes(here) - total_bytes(missing),
            wanted=subtract(missing, normalise(look.vanished.get(Reason.PAGE_GONE, ()))),
            readable=subtract(look.readable, self._served),
            lost={reason: total_bytes(parts) for reason, parts in look.vanished.items()},
            left=left,
        )

    def run(self, name: str, cancelled: threading.Event, on_progress: OnProgress | None) -> Restored:
        """Bring back what can be; return what was seen.

        Raises:
            MemtuiError: if nothing could be begun: NO_ATTACH, or the target is gone.
        """
        found = self.survey()
        self._left = found.left
        # Whoever listens may cancel before anything is read.
        self._tell(on_progress, name, 0, found)
        if cancelled.is_set():
            self._stopped = Reason.CANCELLED
        else:
            self._bring_all(found, name, cancelled, on_progress)
        return self._look_after(found)

    def _bring_all(
        self, found: StillOut, name: str, cancelled: threading.Event, on_progress: OnProgress | None
    ) -> None:
        done = 0
        with MemoryFile(self._handle.pid) as memory:
            self._require_program(memory)
            for step in _steps(found.readable):
                count = total_bytes(step)
                self._stopped = self._why_stop(count, cancelled)
                if self._stopped is None:
                    self._bring(memory, step)
                if self._stopped is not None:
                    break
                self._reached += step
                done += count
                self._tell(on_progress, name, done, found)

    def _require_program(self, memory: MemoryFile) -> None:
        """Make certain whose memory was opened.

        Raises:
            MemtuiError: EXECED; PROGRAM_UNKNOWN where what told it then cannot be seen now; EXITED.
        """
        pid = self._handle.pid
        then = Program.of_text(self._moved.program)
        random = None
        if then.random:
            # Their page may be out: it comes in, since without it nothing may be read.
            address = random_address(pid)
            if address is not None and not any(item.contains(address) for item in self._served):
                random = random_at(memory, address)
        now = Program(places_of(pid), random)
        # An exec since the look shows here.
        self._handle.read_maps()
        if then.is_another(now):
            raise Unusable(Reason.EXECED, f"process {pid}")
        if not then.is_all_in(now):
            raise MemtuiError(Reason.PROGRAM_UNKNOWN, f"process {pid}")

    def _tell(self, on_progress: OnProgress | None, name: str, done: int, found: StillOut) -> None:
        if on_progress is not None:
            with suppress(RuntimeError):  # a screen that is closing must not end a restore
                on_progress(Progress(name, done, total_bytes(found.wanted), 0, holding=False))

    def _why_stop(self, next_bytes: int, cancelled: threading.Event) -> Reason | None:
        if cancelled.is_set():
            return Reason.CANCELLED
        if self._handle.is_dead():
            return Reason.EXITED
        return self._headroom.refuses(next_bytes)

    def _look_for_servers(self) -> None:
        """Look where a userfaultfd serves pages, and what lies where, now and then: smaps takes its time."""
        began = time.monotonic()
        if began < self._look_for_servers_at:
            return
        self._remains.read_layout()
        self._served = self._remains.served()
        took_s = time.monotonic() - began
        self._look_for_servers_at = began + took_s + max(SERVED_EVERY_S, 9 * took_s)

    def _bring(self, memory: MemoryFile, step: RangeSet) -> None:
        """Read one step's pages, those of them that still are what they were."""
        try:
            self._look_for_servers()
            look = self._remains.look(step)
            # What is behind a mapping cannot be opened by addresses that it no longer has.
            if look.left and self._remains.read_layout():
                look = self._remains.look(step)
        except MemtuiError as error:
            self._stopped = error.reason
            return
        self._note(look)
        note(self._left, Reason.USERFAULTFD, intersect(look.readable, self._served))
        try:
            self._stopped = self._read(memory, subtract(look.private, self._served))
            for vma, pages in look.shared:
                if self._stopped is None:
                    self._stopped = self._read_shared(memory, vma, subtract(pages, self._served))
        except OSError as error:
            self._stopped = reason_of_call("/proc/PID/mem", error.errno or 0)

    def _note(self, look: MovedPageState) -> None:
        for reason, pages in look.vanished.items():
            note(self._vanished, reason, normalise(pages))
        for reason, pages in look.left.items():
            note(self._left, reason, normalise(pages))

    def _read(self, memory: MemoryFile, pages: RangeSet) -> Reason | None:
        """Read pages by the mapping; return why that had to end, or None.

        Raises:
            OSError: as of the read.
        """
        failed = memory.bring(pages)
        if failed is None:
            return self._handle.lost_error().reason
        note(self._left, Reason.PAGE_UNREADABLE, failed)
        return None

    def _read_shared(self, memory: MemoryFile, vma: Vma, pages: RangeSet) -> Reason | None:
        """Read pages of shared memory, and make none where there is a hole by now.

        What takes time, bringing them into RAM, is done by the file, which makes no page. Only the
        moment between the look for holes and the mapping of a few pages is left.

        Raises:
            OSError: as of the read.
        """
        try:
            file = SharedFile(self._handle.pid, vma)
        except OSError:
            note(self._left, Reason.HOLES_UNKNOWN, pages)
            return None
        with file:
            failed = file.read_in(pages)
            note(self._left, Reason.PAGE_UNREADABLE, failed)
            for group in _groups(subtract(pages, failed)):
                held = file.data(group)
                note(self._vanished, Reason.PAGE_GONE, subtract(group, held))
                stop = self._read(memory, held)
                if stop is not None:
                    return stop
        return None

    def _look_after(self, found: StillOut) -> Restored:
        """Look what became of what was wanted, and what came besides."""
        try:
            self._remains.read_layout()
            look = self._remains.look(found.wanted, found.standing)
        except MemtuiError as error:
            self._stopped = error.reason
            return self._restored(found, None, None)
        self._note(MovedPageState((), (), vanished=look.vanished))
        # A page that was seen to vanish is another one if it is there again.
        same = subtract(found.wanted, normalise(_all(self._vanished)))
        now = intersect(look.resident, same)
        besides = subtract(subtract(look.resident, found.before), same)
        self._left = self._why_out(subtract(same, now), look)
        return self._restored(found, total_bytes(now), total_bytes(besides))

    def _why_out(self, out: RangeSet, look: MovedPageState) -> PagesByReason:
        """Return why pages are out that still exist, but for those that a stop left; each page once."""
        why: PagesByReason = {}
        for reasons in (self._left, look.left):
            for reason, parts in reasons.items():
                pages = intersect(normalise(parts), out)
                note(why, reason, pages)
                out = subtract(out, pages)
        # These were in RAM, or read, when their step was over.
        note(why, Reason.WENT_AGAIN, intersect(out, normalise(self._reached)))
        return why

    def _restored(self, found: StillOut, restored_bytes: int | None, also_bytes: int | None) -> Restored:
        return Restored(
            moved_bytes=total_bytes(self._moved.pages),
            already_back_bytes=found.already_back_bytes,
            wanted_bytes=total_bytes(found.wanted),
            restored_bytes=restored_bytes,
            also_back_bytes=also_bytes,
            lost=found.lost,
            left=_bytes_of(self._left) | _bytes_of(self._vanished_once()),
            stopped=self._stopped,
            program_is_certain=Program.of_text(self._moved.program).random is not None,
        )

    def _vanished_once(self) -> PagesByReason:
        """Return what vanished, each page with the first of the reasons that hold for it."""
        once: PagesByReason = {}
        counted: RangeSet = ()
        for reason in LOST:
            pages = normalise(self._vanished.get(reason, ()))
            note(once, reason, subtract(pages, counted))
            counted = normalise((*counted, *pages))
        return once


def _all(pages: PagesByReason) -> Iterator[Range]:
    return (part for parts in pages.values() for part in parts)


def _bytes_of(pages: PagesByReason) -> dict[Reason, int]:
    counts = {reason: total_bytes(normalise(parts)) for reason, parts in pages.items()}
    return {reason: count for reason, count in counts.items() if count}


def _groups(pages: RangeSet) -> Iterator[RangeSet]:
    """Cut pages at the addresses at which the kernel cuts what it maps around a fault."""
    parts = (part for item in pages for part in split(item, _GROUP_BYTES, _GROUP_BYTES))
    for _number, group in groupby(parts, key=lambda part: part.start // _GROUP_BYTES):
        yield tuple(group)


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

"""What became of pages that an action moved: in RAM again, out still, or there no more."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from memtui.advise.recheck import Checked, Recheck
from memtui.advise.segments import Segment
from memtui.linux import sysinfo
from memtui.linux.filecache import open_mapped
from memtui.linux.pagemap import PageReader
from memtui.linux.proc_mem import SharedFile
from memtui.linux.procfs import parse_maps
from memtui.model.errors import MemtuiError
from memtui.model.pages import RawRun, resident, swapped
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect, normalise, subtract, union
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.model.vma import ANONYMOUS_KINDS, USERFAULTFD_FLAGS, Vma, VmaKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memtui.advise.pages_format import MovedPages
    from memtui.linux.process_handle import ProcessHandle

PagesByReason = dict[Reason, list[Range]]


@dataclass(slots=True)
class MovedPageState:
    """What was seen of some pages, at one time.

    ``standing`` is where the mappings are those of the record, ``resident`` what of it is in RAM. Of
    the pages asked for, ``private`` can be read as they are, ``shared`` only after a look for holes,
    VMA after VMA; ``vanished`` exist no more, ``left`` are not to be read.
    """

    standing: RangeSet
    resident: RangeSet
    private: RangeSet = ()
    shared: list[tuple[Vma, RangeSet]] = field(default_factory=list)
    vanished: PagesByReason = field(default_factory=dict)
    left: PagesByReason = field(default_factory=dict)

    @property
    def readable(self) -> RangeSet:
        """All that can be read."""
        return union(self.private, (part for _vma, pages in self.shared for part in pages))


class MovedPageScanner:
    """Looks at the pages of one record. ``handle`` is of the very process and program of the record."""

    def __init__(self, handle: ProcessHandle, moved: MovedPages) -> None:
        self._handle = handle
        self._moved = moved
        self._reader = PageReader(handle)
        self._recheck = Recheck(handle)
        self._identities = [item.identity for item in moved.stretches]
        self._starts = [item.range.start for item in moved.stretches]
        self._maps_text = b""
        self._vmas: tuple[Vma, ...] = ()

    def read_layout(self) -> bool:
        """Read the map anew: it says what kind of memory lies where. Return whether it has changed.

        Raises:
            MemtuiError: if the target has exited or exec'ed.
        """
        handle = self._handle
        text = handle.read_maps()
        if text == self._maps_text:
            return False
        self._maps_text = text
        self._vmas = parse_maps(text, sysinfo.shmem_devices(handle.pid))
        return True

    def served(self) -> RangeSet:
        """Return where a userfaultfd serves the pages, or may do so: reading there would wait for its server.

        Only the flags in smaps tell, which takes its time.

        Raises:
            MemtuiError: if the target is gone, or may not be read.
        """
        return normalise(
            Range(start, start + row.size_bytes)
            for start, row in self._reader.details().items()
            if row.size_bytes and (row.flags is None or not USERFAULTFD_FLAGS.isdisjoint(row.flags))
        )

    def look(self, pages: RangeSet, spans: Sequence[Range] | None = None) -> MovedPageState:
        """Look at pages, or at ``spans`` that hold them: ascending parts of the record's stretches.

        Raises:
            MemtuiError: if the target is gone, or its pages may not be looked at.
        """
        checked = self._check(pages if spans is None else spans)
        standing = _ranges(checked.standing)
        runs = self._runs(standing)
        look = MovedPageState(standing, intersect(resident(runs), standing))
        note(look.vanished, Reason.GONE, intersect(pages, _ranges(checked.gone)))
        note(look.vanished, Reason.CHANGED, intersect(pages, _ranges(checked.changed)))
        self._sort(look, subtract(intersect(pages, standing), look.resident), runs)
        return look

    def _check(self, parts: Sequence[Range]) -> Checked:
        pieces = []
        for part in parts:
            start = part.start
            while start < part.end:
                owner = bisect_right(self._starts, start) - 1
                end = min(part.end, self._moved.stretches[owner].range.end)
                pieces.append(Segment(start, end, owner))
                start = end
        return self._recheck.check(pieces, self._identities)

    def _runs(self, within: RangeSet) -> list[RawRun]:
        runs = self._reader.raw_runs(within)
        if runs is None:
            words = Detail(DetailCode.PAGEMAP_UNREADABLE).text
            raise MemtuiError(Reason.NO_ATTACH, f"process {self._handle.pid}", words)
        return runs

    def _sort(self, look: MovedPageState, missing: RangeSet, runs: Sequence[RawRun]) -> None:
        """Sort pages that are not in RAM."""
        look.private = intersect(missing, swapped(runs))
        in_files: list[Range] = []
        for vma, pages in _by_vma(self._vmas, subtract(missing, look.private)):
            if vma.kind in ANONYMOUS_KINDS:
                note(look.vanished, Reason.PAGE_GONE, pages)
                continue
            held = self._held_by_file(vma, pages)
            if held is None:
                shared = vma.kind is VmaKind.SHMEM
                note(look.left, Reason.HOLES_UNKNOWN if shared else Reason.PAGE_UNREADABLE, pages)
                continue
            note(look.vanished, Reason.PAGE_GONE, subtract(pages, held))
            if held and vma.kind is VmaKind.SHMEM:
                look.shared.append((vma, held))
            else:
                in_files += held
        look.private = union(look.private, in_files)

    def _held_by_file(self, vma: Vma, pages: RangeSet) -> RangeSet | None:
        """Return which pages the file or shared memory behind a mapping has; None where unknown."""
        if vma.kind is VmaKind.SHMEM:
            try:
                with SharedFile(self._handle.pid, vma) as file:
                    return file.data(pages)
            except OSError:
                # It may not be opened, or its file system has no SEEK_DATA.
                return None
        if vma.kind is not VmaKind.FILE:
            return None
        try:
            mapped = open_mapped(self._handle.pid, vma)
        except TimeoutError:
            # A read of the mapping would wait for its server as well.
            return None
        if mapped is None:
            # Past the end of the file the read will fail, and nothing be made.
            return pages
        with mapped:
            size = mapped.size_bytes
        end = vma.start + -(-(size - vma.offset) // PAGE_BYTES) * PAGE_BYTES
        return intersect(pages, (Range(vma.start, end),)) if end > vma.start else ()


def note(into: PagesByReason, reason: Reason, pages: RangeSet) -> None:
    """Add pages to those of a reason."""
    if pages:
        into.setdefault(reason, []).extend(pages)


def _ranges(pieces: Sequence[Segment]) -> RangeSet:
    return normalise(Range(piece.start, piece.end) for piece in pieces)


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

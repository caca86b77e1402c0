"""Large folios: the pages that the kernel counts and moves as one. Needs root (CAP_SYS_ADMIN).

/proc/kpagecount has how often each page frame is mapped, /proc/kpageflags which of them belong
together (Documentation/admin-guide/mm/pagemap.rst).
"""

from __future__ import annotations

import os
import re
import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from memtui.linux.capabilities import CAP_SYS_ADMIN, has_capability
from memtui.linux.descriptor import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ENTRY_BYTES = 8
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FRAME = (1 << 55) - 1
_DIRTY, _HEAD, _TAIL, _PRIVATE = 1 << 4, 1 << 15, 1 << 16, 1 << 35
_SWAP_BACKED, _UNEVICTABLE, _LOCKED = 1 << 14, 1 << 18, 1 << 33
_OF_A_FILE = 1 << 63 | 1 << 61
"""In RAM, and a page of a file or of shared memory (pagemap.rst)."""
_MOST_PAGES = 512
_MOST_EDGES = 4096
_EDGE = re.compile(rb"[\x01\x02](?=\x03)|\x03(?=[\x01\x02])")
"""Where pages mapped once (classes 1 and 2) and pages mapped more often (3) meet: see pagefacts."""
_OWN_FILE = re.compile(rb"\x02+")
_ONCE = (1).to_bytes(_ENTRY_BYTES, sys.byteorder)


class FilePage(NamedTuple):
    """Of a file by one of its pages: whether it is shared memory, and whether it never leaves RAM."""

    in_shmem: bool
    unevictable: bool


class Folios:
    """The two files, open."""

    def __init__(self, counts: Descriptor, flags: Descriptor) -> None:
        self._count_file = counts
        self._flag_file = flags

    @staticmethod
    def open(pagemap_fd: int | None) -> Folios | None:
        """Open them; None where this operator may not, or the kernel has none."""
        if pagemap_fd is None or not has_capability(CAP_SYS_ADMIN):
            # Without it pagemap hides the page frames (pagemap.rst).
            return None
        try:
            counts = Descriptor(os.open("/proc/kpagecount", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None
        try:
            return Folios(counts, Descriptor(os.open("/proc/kpageflags", os.O_RDONLY | os.O_CLOEXEC)))
        except OSError:
            counts.close()
            return None

    def close(self) -> None:
        """Close them."""
        self._count_file.close()
        self._flag_file.close()

    def is_mapped_elsewhere(self, entry: bytes, pages: int) -> bool:
        """Whether any page of a huge page is mapped more than once; ``entry`` is pagemap's of its first."""
        frame = _frame(entry, 0)
        if not frame:
            # Hidden from us, or gone in between.
            return False
        counts = _read(self._count_file.fileno(), frame, pages)
        return len(counts) == pages * _ENTRY_BYTES and counts != _ONCE * pages

    def straddling(self, entries: bytes, classes: bytes | bytearray) -> Iterator[int]:
        """Yield the pages (by number) of folios of which some pages are mapped once and some more often."""
        pages = len(classes)
        done = -1
        for edge in islice(_EDGE.finditer(classes), _MOST_EDGES):
            at = edge.start()
            frame = _frame(entries, at)
            if at < done or not frame or _frame(entries, at + 1) != frame + 1:
                continue
            first, behind = self._extent(frame)
            if frame + 1 < behind:
                done = min(pages, at + behind - frame)
                for page in range(max(0, at - (frame - first)), done):
                    if _frame(entries, page) == frame + page - at:
                        yield page

    def stuck(self, entries: bytes, classes: bytes | bytearray, cuts: Sequence[int]) -> Iterator[int]:
        """Yield the pages (by number) of dirty folios of a file that are not mapped whole, and in one piece.

        The kernel would have to split them, and cannot while their buffers are dirty: they stay. A
        folio is in pieces where a page of it is missing and at ``cuts``, the pages before which a VMA,
        the range asked for or a page table begins.
        """
        for segment in islice(_OWN_FILE.finditer(classes), _MOST_EDGES):
            first, behind = segment.span()
            inside = cuts[bisect_right(cuts, first) : bisect_left(cuts, behind)]
            for page, after in ((first, 0), *((cut, 0) for cut in inside), (behind - 1, 1)):
                frame = _frame(entries, page)
                if not frame or not self._flags(frame + after) & _TAIL:
                    continue
                if self._flags(frame) & (_DIRTY | _PRIVATE) != _DIRTY | _PRIVATE:
                    continue
                head, end = self._extent(frame)
                yield from range(max(first, page - (frame - head)), min(behind, page + end - frame))

    def of_file_page(self, entry: bytes) -> FilePage | None:
        """Return what one page tells of its file; ``entry`` is pagemap's of it. None where that is hidden."""
        frame = _frame(entry, 0)
        if not frame:
            return None
        flags = self._flags(self._extent(frame)[0])
        # What someone locked (mlock) is unevictable as well, and says nothing of the file.
        return FilePage(bool(flags & _SWAP_BACKED), flags & (_UNEVICTABLE | _LOCKED) == _UNEVICTABLE)

    def _flags(self, frame: int) -> int:
        return _entry(_read(self._flag_file.fileno(), frame, 1), 0)

    def _extent(self, frame: int) -> tuple[int, int]:
        """Return the first frame of the folio around a frame, and the first behind it."""
        low = max(0, frame - _MOST_PAGES + 1)
        data = _read(self._flag_file.fileno(), low, 2 * _MOST_PAGES)
        at = frame - low
        first, last = at, at + 1
        while first > 0 and _entry(data, first) & _TAIL:
            first -= 1
        if not _entry(data, first) & _HEAD:
            return frame, frame + 1
        while last * _ENTRY_BYTES < len(data) and _entry(data, last) & _TAIL:
            last += 1
        return low + first, low + last


def file_frames(pid: int, start: int, pages: int) -> list[int] | None:
    """Return the frame of each page, 0 for what is no page of a file in RAM.

    None where pagemap may not be read, or hides the frames.
    """
    if not has_capability(CAP_SYS_ADMIN):
        return None
    try:
        fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        entries = array("Q")
        data = os.pread(fd, pages * _ENTRY_BYTES, start // _PAGE_BYTES * _ENTRY_BYTES)
        entries.frombytes(data[: len(data) // _ENTRY_BYTES * _ENTRY_BYTES])
    except OSError:
        # Gone meanwhile.
        return None
    finally:
        os.close(fd)
    return [entry & _FRAME if entry & _OF_A_FILE == _OF_A_FILE else 0 for entry in entries]


def _entry(data: bytes, at: int) -> int:
    return int.from_bytes(data[at * _ENTRY_BYTES : (at + 1) * _ENTRY_BYTES], sys.byteorder)


def _frame(entries: bytes, at: int) -> int:
    return _entry(entries, at) & _FRAME


def _read(fd: int, frame: int, count: int) -> bytes:
    try:
        return os.pread(fd, count * _ENTRY_BYTES, frame * _ENTRY_BYTES)
    except OSError:
        # Beyond the last frame: as if nothing were known.
        return b""

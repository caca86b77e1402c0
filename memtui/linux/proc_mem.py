"""/proc/PID/mem: pages of another process read back, with none of its code run; and what may be read.

Reading a page here has it faulted in (access_remote_vm(), mm/memory.c), FOLL_FORCE, so that it works
without the permission to read too, unless proc_mem.force_override= forbids it (Linux 6.12).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from memtui.linux.descriptor import Descriptor
from memtui.linux.filecache import open_mapped
from memtui.linux.procfs import error_of
from memtui.model.errors import NotPermitted
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect, normalise, total_bytes
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from memtui.model.vma import Vma

_FEW_BYTES = 4 << 20
"""Up to this much SEEK_DATA is asked page by page: SEEK_HOLE walks on to wherever the next hole is."""


class MemoryFile:
    """An open /proc/PID/mem. It belongs to the address space that stood when it was opened.

    Raises:
        MemtuiError: NO_ATTACH without the right to attach (ptrace(2), PTRACE_MODE_ATTACH_FSCREDS);
            NoSuchProcess.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._file = Descriptor(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))
        except PermissionError as error:
            raise NotPermitted(Reason.NO_ATTACH, f"process {pid}") from error
        except OSError as error:
            raise error_of(error, pid) from error

    def __enter__(self) -> MemoryFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, address: int, count: int) -> bytes | None:
        """Return what stands at an address; None where it cannot be read whole."""
        try:
            data = os.pread(self._file.fileno(), count, address)
        except OSError:
            # Not mapped, no memory for it, or past the end of a file.
            return None
        return data if len(data) == count else None

    def bring(self, pages: RangeSet) -> RangeSet | None:
        """Read one byte of each page; return the pages that could not be read.

        None where the address space is no longer there.

        Raises:
            OSError: what is neither of these (ENOMEM, say).
        """
        failed = []
        fd = self._file.fileno()
        for part in pages:
            for address in range(part.start, part.end, PAGE_BYTES):
                try:
                    if not os.pread(fd, 1, address):
                        return None
                except OSError as error:
                    if error.errno not in (errno.EIO, errno.EFAULT):
                        raise
                    # Beyond the end of a file, or forbidden: this page only.
                    failed.append(Range(address, address + PAGE_BYTES))
        return normalise(failed)


class SharedFile:
    """The shared memory behind a VMA, opened: which pages of it there are, and having them in RAM.

    Raises:
        OSError: where it may not be opened.
    """

    def __init__(self, pid: int, vma: Vma) -> None:
        file = open_mapped(pid, vma)
        if file is None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._file = file
        self._delta = vma.offset - vma.start

    def __enter__(self) -> SharedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def data(self, pages: RangeSet) -> RangeSet:
        """Return which pages there are, in RAM or in swap. A read of the mapping would make the others.

        SEEK_DATA takes swapped pages for data (mapping_seek_hole_data(), mm/filemap.c).

        Raises:
            OSError: a file system without SEEK_DATA.
        """
        if not pages:
            return ()
        delta = self._delta
        if total_bytes(pages) <= _FEW_BYTES:
            asked = (Range(part.start + delta, part.end + delta) for part in pages)
            return normalise(
                Range(at - delta, at - delta + PAGE_BYTES) for at in _data_pages(self._file.fileno(), asked)
            )
        found = _data(self._file.fileno(), pages[0].start + delta, pages[-1].end + delta)
        return intersect(pages, normalise(Range(start - delta, end - delta) for start, end in found))

    def read_in(self, pages: RangeSet) -> RangeSet:
        """Read one byte of each page by the file; return the pages that could not be read.

        Unlike a read of the mapping this makes no page where there is none: to shmem_file_read_iter()
        a hole is the zero page, and what is in swap comes into RAM (mm/shmem.c; measured on 6.18).

        Raises:
            OSError: what is not of one page (ENOMEM, say).
        """
        failed = []
        for part in pages:
            for address in range(part.start, part.end, PAGE_BYTES):
                try:
                    os.pread(self._file.fileno(), 1, address + self._delta)
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise
                    failed.append(Range(address, address + PAGE_BYTES))
        return normalise(failed)


def _data_pages(fd: int, parts: Iterable[Range]) -> Iterator[int]:
    """Yield the offset of each page that there is, in ascending parts of a file."""
    for part in parts:
        at = part.start
        while at < part.end:
            try:
                found = os.lseek(fd, at, os.SEEK_DATA) // PAGE_BYTES * PAGE_BYTES
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            if found == at:
                yield at
            at = max(found, at + PAGE_BYTES)


def _data(fd: int, at: int, end: int) -> Iterator[tuple[int, int]]:
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        if start >= end:
            return
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start // PAGE_BYTES * PAGE_BYTES, -(-at // PAGE_BYTES) * PAGE_BYTES

"""/proc/PID/mem: pages of another process read back, with none of its code run; and what may be read.

Reading a page here has it faulted in (access_remote_vm(), mm/memory.c), FOLL_FORCE, so that it works
without the permission to read too, unless proc_mem.force_override= forbids it (Linux 6.12).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from types import TracebackType

from memtui.linux.filecache import open_mapped
from memtui.linux.procfs import error_of, read_process_file
from memtui.model.errors import MemtuiError, NotPermitted
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect, normalise
from memtui.model.reasons import Reason
from memtui.model.vma import Vma


class MemoryFile:
    """An open /proc/PID/mem. It belongs to the address space that stood when it was opened.

    Raises:
        MemtuiError: NO_ATTACH without the right to attach (ptrace(2), PTRACE_MODE_ATTACH_FSCREDS);
            NoSuchProcess.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError as error:
            raise NotPermitted(Reason.NO_ATTACH, f"process {pid}") from error
        except OSError as error:
            raise error_of(error, pid) from error

    def __enter__(self) -> MemoryFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def bring(self, part: Range) -> int | None:
        """Read one byte of each page; return the bytes of pages that could not be read.

        None where the address space is no longer there.

        Raises:
            OSError: what is neither of these (ENOMEM, say).
        """
        failed = 0
        fd = self._fd
        for address in range(part.start, part.end, PAGE_BYTES):
            try:
                if not os.pread(fd, 1, address):
                    return None
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EFAULT):
                    raise
                # Beyond the end of a file, or forbidden: this page only.
                failed += PAGE_BYTES
        return failed


def data_within(pid: int, vma: Vma, part: Range) -> RangeSet | None:
    """Return the parts of a shared memory's stretch where there are pages, in RAM or in swap.

    A hole would be allocated by a read. None where it cannot be known: the file behind the mapping
    may not be opened. SEEK_DATA takes swapped pages for data (mapping_seek_hole_data(), mm/filemap.c).
    """
    fd = open_mapped(pid, vma)
    if fd is None:
        return None
    try:
        first = vma.offset + part.start - vma.start
        found = [
            Range(start - first + part.start, end - first + part.start)
            for start, end in _data(fd, first, first + part.size_bytes)
        ]
    except OSError:
        # A file system without SEEK_DATA: not known.
        return None
    finally:
        os.close(fd)
    return intersect(normalise(found), (part,))


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


def program_of(pid: int) -> str:
    """Return what tells the program a process runs from the next one that it becomes by exec.

    That is where its code, stack and heap begin (fields 26, 28 and 47 of /proc/PID/stat), which
    address space layout randomisation sees to; where it is off, or may not be seen, all look alike.
    """
    try:
        fields = read_process_file(pid, "stat").rpartition(b") ")[2].split()
        return " ".join(fields[number - 3].decode("ascii") for number in (26, 28, 47))
    except (MemtuiError, IndexError):
        # It has gone, as its handle tells too; or a kernel of other fields.
        return ""

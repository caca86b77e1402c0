"""Typed system calls. Each raises OSError with the call's name as its file name."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from memtui.linux import abi
from memtui.linux.abi import ffi, libc
from memtui.model.pages import FILE, HUGE, PRESENT, SWAPPED, WRITTEN, ZERO, RawRun
from memtui.model.ranges import AddressColumns

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from memtui.linux.descriptor import Descriptor

_HAS_GLIBC_WRAPPER = hasattr(libc, "process_madvise")


def _failed(call: str) -> OSError:
    number = ffi.errno
    return OSError(number, os.strerror(number), call)


def process_madvise(pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
    """Advise ``elements`` (start, end) of another process; return the bytes that the kernel walked.

    That is no effect: see docs/kernel-facts.md 2.1. A short return means that an element failed;
    if the first fails, the call raises.

    Raises:
        OSError: EACCES without ptrace read access, EPERM without CAP_SYS_NICE, ESRCH for a process
            that is gone, EINVAL, ENOMEM, EFAULT for a bad element, ENOSYS.
    """
    vector = ffi.from_buffer("struct iovec[]", _iovec(elements)) if len(elements) else ffi.NULL
    if _HAS_GLIBC_WRAPPER:
        result = libc.process_madvise(pidfd, vector, len(elements), advice, flags)
    else:
        result = libc.syscall(
            abi.SYS_PROCESS_MADVISE,
            ffi.cast("long", pidfd),
            vector,
            ffi.cast("size_t", len(elements)),
            ffi.cast("long", advice),
            ffi.cast("unsigned long", flags),
        )
    if result < 0:
        raise _failed("process_madvise")
    return int(result)


def _iovec(elements: Sequence[tuple[int, int]]) -> bytes | array[int]:
    """Return elements as an array of struct iovec: a pointer and a size_t, each an unsigned long."""
    if isinstance(elements, AddressColumns):
        return elements.pairs
    flat = [part for start, end in elements for part in (start, end - start)]
    return struct.pack(f"@{len(flat)}N", *flat)


_REGIONS = 4096
_SCAN_MASK = PRESENT | SWAPPED | ZERO
_RETURN_MASK = _SCAN_MASK | WRITTEN | FILE | HUGE
_GUARD = 1 << 8


class PageScanner:
    """PAGEMAP_SCAN on one open /proc/PID/pagemap, with a buffer that is used again and again.

    Not for several threads at once.
    """

    def __init__(self, pagemap: Descriptor) -> None:
        self._file = pagemap
        self._regions = ffi.new("struct page_region[]", _REGIONS)
        self._arg = ffi.new("struct pm_scan_arg *")
        self._arg.size = ffi.sizeof("struct pm_scan_arg")
        self._arg.vec = int(ffi.cast("uintptr_t", self._regions))
        self._arg.vec_len = _REGIONS
        self._arg.category_anyof_mask = PRESENT | SWAPPED
        self._arg.return_mask = _RETURN_MASK
        # Guard regions (MADV_GUARD_INSTALL, Linux 6.13) count as swapped, and hold nothing: without them.
        self._arg.category_mask = self._arg.category_inverted = _GUARD

    def scan(self, start: int, end: int, max_pages: int) -> tuple[list[RawRun], bool]:
        """Return the runs of one ioctl, and whether it came to its end.

        It stops early when the buffer is full or ``max_pages`` were found; go on behind the last
        run. The kernel's walk_end is no test for the end: it can lie behind what was walked.

        Raises:
            OSError: ENOTTY before Linux 6.7, EFAULT for an end above TASK_SIZE.
        """
        raw, finished = self.scan_raw(start, end, max_pages)
        return list(_REGION.iter_unpack(raw)), finished

    def scan_raw(self, start: int, end: int, max_pages: int) -> tuple[bytes, bool]:
        """Return the regions of one ioctl as the kernel wrote them (start, end, state), and as :meth:`scan`.

        Raises:
            OSError: as :meth:`scan`.
        """
        self._arg.start, self._arg.end, self._arg.max_pages = start, end, max_pages
        found = self._ask()
        if found < 0 and ffi.errno == errno.EINVAL and self._arg.category_mask:
            # Before Linux 6.15 there is no category for them.
            self._arg.category_mask = self._arg.category_inverted = 0
            found = self._ask()
        if found < 0:
            raise _failed("PAGEMAP_SCAN")
        raw = bytes(ffi.buffer(self._regions, found * 24))
        # max_pages pages were found only if the regions say so: count them only where that can be.
        full = found == _REGIONS or (found > 0 and self._is_full(raw, max_pages))
        return raw, not full

    @staticmethod
    def _is_full(raw: bytes, max_pages: int) -> bool:
        first: int = struct.unpack_from("=Q", raw)[0]
        last: int = struct.unpack_from("=Q", raw, len(raw) - 16)[0]
        if not max_pages or last - first < max_pages * _PAGE:
            return False
        found: int = sum(end - start for start, end, _state in struct.iter_unpack("=QQQ", raw))
        return found >= max_pages * _PAGE

    def _ask(self) -> int:
        return int(libc.ioctl(self._file.fileno(), ffi.cast("unsigned long", abi.PAGEMAP_SCAN), self._arg))


_PAGE = os.sysconf("SC_PAGE_SIZE")
_REGION = struct.Struct("=QQQ")


class QueriedVma(NamedTuple):
    """What PROCMAP_QUERY tells of a VMA; ``perms``, ``device`` and ``name`` as /proc/PID/maps has them."""

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    name: str


class MapQuery:
    """PROCMAP_QUERY on one open /proc/PID/maps. Not for several threads at once."""

    _NAME_BYTES = 4096

    def __init__(self, maps: Descriptor) -> None:
        self._file = maps
        self._name = ffi.new("char[]", self._NAME_BYTES)
        self._arg = ffi.new("struct procmap_query *")

    def at_or_after(self, address: int) -> QueriedVma | None:
        """Return the VMA that covers ``address``, else the next one, else None.

        Raises:
            OSError: ENOTTY before Linux 6.11; ESRCH when the process has exited or exec'ed.
        """
        arg = self._arg
        arg.size = ffi.sizeof("struct procmap_query")
        arg.query_flags = abi.PROCMAP_COVERING_OR_NEXT
        arg.query_addr = address
        arg.vma_name_addr = int(ffi.cast("uintptr_t", self._name))
        arg.vma_name_size = self._NAME_BYTES
        arg.build_id_size = 0
        arg.build_id_addr = 0
        if libc.ioctl(self._file.fileno(), ffi.cast("unsigned long", abi.PROCMAP_QUERY), arg) < 0:
            if ffi.errno == errno.ENOENT:
                return None
            raise _failed("PROCMAP_QUERY")
        raw = ffi.buffer(self._name, max(0, arg.vma_name_size - 1))[:] if arg.vma_name_size else b""
        # maps escapes a newline and nothing else (seq_path(m, path, "\n")); the query does not.
        name = raw.replace(b"\n", b"\\012").decode("utf-8", "surrogateescape")
        flags = arg.vma_flags
        perms = (
            ("r" if flags & 1 else "-")
            + ("w" if flags & 2 else "-")
            + ("x" if flags & 4 else "-")
            + ("s" if flags & 8 else "p")
        )
        device = f"{arg.dev_major:02x}:{arg.dev_minor:02x}"
        return QueriedVma(
            int(arg.vma_start), int(arg.vma_end), perms, int(arg.vma_offset), device, int(arg.inode), name
        )


def cachestat(fd: int, offset: int, length: int) -> int:
    """Return how many bytes of an open file's stretch are in the page cache (cachestat(2), Linux 6.5).

    Raises:
        OSError: ENOSYS, EOPNOTSUPP for hugetlbfs, EPERM.
    """
    stretch = ffi.new("struct cachestat_range *", (offset, length))
    answer = ffi.new("struct cachestat *")
    result = libc.syscall(
        abi.SYS_CACHESTAT,
        ffi.cast("unsigned int", fd),
        stretch,
        answer,
        ffi.cast("unsigned int", 0),
    )
    if result < 0:
        raise _failed("cachestat")
    return int(answer.nr_cache) * _PAGE


def _ptrace(request: int, tid: int, data: int, call: str) -> None:
    if libc.ptrace(request, tid, ffi.NULL, ffi.cast("void *", data)) < 0:
        raise _failed(call)


def ptrace_seize(tid: int) -> None:
    """Trace a thread without stopping it. The state belongs to the calling OS thread (ptrace(2)).

    Raises:
        OSError: EPERM (no right, traced already, a kernel thread), ESRCH.
    """
    _ptrace(abi.PTRACE_SEIZE, tid, 0, "PTRACE_SEIZE")


def ptrace_interrupt(tid: int) -> None:
    """Stop a seized thread; wait for it with waitpid and abi.WALL.

    Raises:
        OSError: ESRCH, EIO.
    """
    _ptrace(abi.PTRACE_INTERRUPT, tid, 0, "PTRACE_INTERRUPT")


def ptrace_detach(tid: int, signal_number: int = 0) -> None:
    """Let a stopped thread run on, handing it ``signal_number`` if not 0.

    Raises:
        OSError: ESRCH when it is gone, or not stopped.
    """
    _ptrace(abi.PTRACE_DETACH, tid, signal_number, "PTRACE_DETACH")


def mlockall() -> None:
    """Keep this process in RAM, now and later.

    Raises:
        OSError: EPERM, ENOMEM beyond RLIMIT_MEMLOCK.
    """
    if libc.mlockall(abi.MCL_CURRENT | abi.MCL_FUTURE) < 0:
        raise _failed("mlockall")

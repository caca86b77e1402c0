"""How much of a mapped file is in the page cache: cachestat(2) on the file behind a VMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.linux import syscalls
from memtui.linux.descriptor import Descriptor
from memtui.linux.file_look import Wanted
from memtui.linux.file_looker import device_of_memory, look_at
from memtui.linux.sysinfo import file_systems
from memtui.model.pages import CacheFacts
from memtui.model.ranges import PAGE_BYTES, Range

if TYPE_CHECKING:
    from types import TracebackType

    from memtui.model.vma import Vma


def cached_bytes(pid: int, vma: Vma, part: Range) -> int | None:
    """Return how many bytes of a part of a file's VMA are in the page cache; None where unknown.

    The file is reached through /proc/PID/map_files, which needs CAP_SYS_ADMIN or
    CAP_CHECKPOINT_RESTORE (proc_pid_map_files(5)), or else by its name. Of a file on an overlay it stays
    unknown: its pages belong to the file of a layer, and cachestat(2) sees none (measured on Linux 6.18).
    """
    try:
        opened = open_mapped(pid, vma)
        if opened is None:
            return None
        with opened:
            return _cached(pid, vma, opened.fileno(), vma.offset + part.start - vma.start, part.size_bytes)
    except OSError:
        # ENOSYS before Linux 6.5, EOPNOTSUPP for hugetlbfs, a server that does not answer: unknown.
        return None


def cache_facts(pid: int, vma: Vma, of: Vma) -> CacheFacts | None:
    """Return how much of a file stands behind ``vma``, a part of the VMA ``of``; None where unknown.

    The last page of a file counts as a whole one. Of a file on an overlay it is not known.
    """
    try:
        opened = open_mapped(pid, of)
        if opened is None:
            return None
        with opened:
            in_file = max(0, min(vma.size_bytes, opened.size_bytes - vma.offset))
            # To cachestat(2) a length of 0 is all that follows.
            cached = _cached(pid, of, opened.fileno(), vma.offset, in_file) if in_file else 0
    except OSError:
        return None
    if cached is None:
        return None
    return CacheFacts(-(-in_file // PAGE_BYTES) * PAGE_BYTES, cached)


def _cached(pid: int, vma: Vma, fd: int, offset: int, count_bytes: int) -> int | None:
    cached = syscalls.cachestat(fd, offset, count_bytes)
    if cached or not vma.device.startswith("00:") or vma.device == device_of_memory():
        return cached
    # What no mount shows may be an overlay too.
    return None if file_systems(pid).get(vma.device, "overlay") == "overlay" else 0


class MappedFile(Descriptor):
    """The open file behind a VMA, ``size_bytes`` large when it was opened. Close it."""

    __slots__ = ("size_bytes",)

    def __init__(self, number: int, size_bytes: int) -> None:
        super().__init__(number)
        self.size_bytes = size_bytes

    def __enter__(self) -> MappedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_mapped(pid: int, vma: Vma) -> MappedFile | None:
    """Open the regular file, or the shared memory, behind a VMA; None where that cannot be done.

    See :func:`cached_bytes` for the ways to it.

    Raises:
        TimeoutError: its file system does not answer (a network or FUSE file system without its server).
    """
    ways = (f"/proc/{pid}/map_files/{vma.start:x}-{vma.end:x}", f"/proc/{pid}/root{vma.name}")
    seen = look_at(Wanted(pid, vma.inode, vma.device, ways, to_open=True), without_a_walk=True)
    return None if seen is None or seen.fd is None else MappedFile(seen.fd, seen.size_bytes)

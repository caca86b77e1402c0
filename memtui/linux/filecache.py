"""How much of a mapped file is in the page cache: cachestat(2) on the file behind a VMA."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from memtui.linux import syscalls
from memtui.linux.machine import file_systems
from memtui.model.pages import CacheFacts
from memtui.model.ranges import PAGE_BYTES, Range

if TYPE_CHECKING:
    from memtui.model.vma import Vma


def cached_bytes(pid: int, vma: Vma, part: Range) -> int | None:
    """Return how many bytes of a part of a file's VMA are in the page cache; None where unknown.

    The file is reached through /proc/PID/map_files, which needs CAP_SYS_ADMIN or
    CAP_CHECKPOINT_RESTORE (proc_pid_map_files(5)), or else by its name. Of a file on an overlay it stays
    unknown: its pages belong to the file of a layer, and cachestat(2) sees none (measured on Linux 6.18).
    """
    fd = open_mapped(pid, vma)
    if fd is None:
        return None
    try:
        return _cached(pid, vma, fd, vma.offset + part.start - vma.start, part.size_bytes)
    except OSError:
        # ENOSYS before Linux 6.5, EOPNOTSUPP for hugetlbfs: unknown.
        return None
    finally:
        os.close(fd)


def cache_facts(pid: int, vma: Vma, of: Vma) -> CacheFacts | None:
    """Return how much of a file stands behind ``vma``, a part of the VMA ``of``; None where unknown.

    The last page of a file counts as a whole one. Of a file on an overlay it is not known.
    """
    fd = open_mapped(pid, of)
    if fd is None:
        return None
    try:
        in_file = max(0, min(vma.size_bytes, os.fstat(fd).st_size - vma.offset))
        # To cachestat(2) a length of 0 is all that follows.
        cached = _cached(pid, of, fd, vma.offset, in_file) if in_file else 0
    except OSError:
        return None
    finally:
        os.close(fd)
    if cached is None:
        return None
    return CacheFacts(-(-in_file // PAGE_BYTES) * PAGE_BYTES, cached)


def _cached(pid: int, vma: Vma, fd: int, offset: int, count_bytes: int) -> int | None:
    cached = syscalls.cachestat(fd, offset, count_bytes)
    if cached or not vma.device.startswith("00:"):
        return cached
    # What no mount shows may be an overlay too.
    return None if file_systems(pid).get(vma.device, "overlay") == "overlay" else 0


def open_mapped(pid: int, vma: Vma) -> int | None:
    """Open the regular file, or the shared memory, behind a VMA; None where that cannot be done.

    See :func:`cached_bytes` for the ways to it. The caller closes it.
    """
    for path in (f"/proc/{pid}/map_files/{vma.start:x}-{vma.end:x}", f"/proc/{pid}/root{vma.name}"):
        try:
            fd = _open_regular(path, vma.inode)
        except (OSError, ValueError):
            # Not ours to open, or no longer there under this name: the next way, or unknown.
            continue
        if fd is not None:
            return fd
    return None


def _open_regular(path: str, inode: int) -> int | None:
    """Open a regular file of this inode, or return None. Opening a device could act on it."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_ino != inode:
            return None
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)

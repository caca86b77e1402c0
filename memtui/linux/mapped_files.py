"""What neither maps nor smaps tells of a mapped file: that it is shared memory, or never leaves RAM.

Shared memory by another name is a tmpfs that no mount shows (after ``umount -l``), or the upper layer of an
overlay: its pages go to swap. Files on ramfs and System V memory under SHM_LOCK are unevictable, with no
``lo`` in VmFlags (shmem_lock(), mm/shmem.c).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memtui.linux.folios import FilePage, Folios
from memtui.linux.procfs import read_file
from memtui.linux.sysinfo import file_systems
from memtui.model.pages import FILE, PRESENT
from memtui.model.vma import Vma, VmaDetails, VmaKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memtui.linux.pagemap import PageReader
    from memtui.linux.process_handle import ProcessHandle
    from memtui.linux.vma_table import MapTable

_SHM_LOCKED = 0o2000
"""In the mode of System V memory (include/linux/shm.h)."""
_MAY_BE_SHMEM = ("", "overlay")


def with_file_facts(
    handle: ProcessHandle, reader: PageReader, table: MapTable, details: Mapping[int, VmaDetails]
) -> Iterator[tuple[int, VmaDetails]]:
    """Yield the details, by start address, to which there is something to add.

    Raises:
        MemtuiError: if the process has gone.
    """
    places = table.on_virtual_devices()
    if not places:
        return
    pages = Folios.open(handle.pagemap_fd)
    try:
        files = _Files(handle, reader, pages)
        for at in places:
            vma = table[at]
            row = details.get(vma.start)
            if row is None or vma.kind not in (VmaKind.FILE, VmaKind.SHMEM):
                continue
            found = files.facts(vma, row)
            if found.in_shmem or found.unevictable:
                yield vma.start, row._replace(in_shmem=found.in_shmem, unevictable=found.unevictable)
    finally:
        if pages is not None:
            pages.close()


class _Files:
    """Looks at the files of one process, each once."""

    def __init__(self, handle: ProcessHandle, reader: PageReader, pages: Folios | None) -> None:
        self._handle = handle
        self._reader = reader
        self._pages = pages
        self._types = file_systems(handle.pid)
        self._locked = _locked_segments(handle.pid)
        self._seen: dict[tuple[str, int], FilePage] = {}

    def facts(self, vma: Vma, row: VmaDetails) -> FilePage:
        """Return what is known of the file behind a VMA."""
        if vma.kind is VmaKind.SHMEM:
            if not vma.name.startswith("/SYSV"):
                return FilePage(in_shmem=False, unevictable=False)
            if self._locked is not None:
                return FilePage(in_shmem=False, unevictable=vma.inode in self._locked)
            return self._by_page(vma)
        kind = self._types.get(vma.device, "")
        if kind == "ramfs":
            return FilePage(in_shmem=False, unevictable=True)
        if kind not in _MAY_BE_SHMEM:
            return FilePage(in_shmem=False, unevictable=False)
        found = self._by_page(vma)
        # What is shared and has swap is no file of a disk: its own pages go back to the file.
        return found._replace(in_shmem=found.in_shmem or (vma.is_shared and row.swap_bytes > 0))

    def _by_page(self, vma: Vma) -> FilePage:
        key = vma.device, vma.inode
        found = self._seen.get(key)
        if found is None or not (found.in_shmem or found.unevictable):
            # Of another mapping of it nothing may have been in RAM.
            found = self._seen[key] = self._first_page(vma) or FilePage(in_shmem=False, unevictable=False)
        return found

    def _first_page(self, vma: Vma) -> FilePage | None:
        """Look at the first page of the file that is mapped in; None where there is none, or it is hidden."""
        fd, pages = self._handle.pagemap_fd, self._pages
        runs = None if pages is None else self._reader.each_run((vma.range,))
        if fd is None or pages is None or runs is None:
            return None
        for start, _end, state in runs:
            if state & (FILE | PRESENT) == FILE | PRESENT and vma.start <= start < vma.end:
                return pages.of_file_page(os.pread(fd, 8, start // os.sysconf("SC_PAGE_SIZE") * 8))
        return None


def _locked_segments(pid: int) -> frozenset[int] | None:
    """Return which System V segments of a process are locked, by number: to maps their inodes.

    None where its IPC namespace is not ours, whose segments alone are listed (proc_sysvipc(5)).
    """
    try:
        ours, theirs = os.stat("/proc/self/ns/ipc"), os.stat(f"/proc/{pid}/ns/ipc")
        if ours.st_ino != theirs.st_ino:
            return None
        lines = read_file("/proc/sysvipc/shm").split(b"\n")[1:]
    except OSError:
        # It may not be seen, or the kernel has no System V IPC.
        return None
    fields = [line.split(None, 3) for line in lines if line]
    return frozenset(int(number) for _key, number, mode, _rest in fields if int(mode, 8) & _SHM_LOCKED)

"""Which processes map a file: a look through the maps of all of them, when it is asked for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from memtui.linux.procfs import read_process_file, read_stat
from memtui.model.errors import MemtuiError, NotPermitted
from memtui.model.reasons import Reason
from memtui.model.restore import Mapper, Mappers

if TYPE_CHECKING:
    from memtui.model.vma import Vma


def mappers_of(vma: Vma, but: int, cancelled: threading.Event | None = None) -> Mappers:
    """Return the processes, other than ``but``, that map the same file or shared memory.

    A file is known by device and inode, as maps shows them; private memory has none, and no mappers.

    Raises:
        MemtuiError: CANCELLED, before the next process, after ``cancelled`` was set.
    """
    found: list[Mapper] = []
    unreadable = 0
    if not vma.inode:
        return Mappers((), 0)
    device, inode = vma.device.encode("ascii"), str(vma.inode).encode("ascii")
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if cancelled is not None and cancelled.is_set():
            raise MemtuiError(Reason.CANCELLED)
        if pid == but:
            continue
        try:
            if _maps(read_process_file(pid, "maps"), device, inode):
                found.append(Mapper(pid, read_stat(pid).name))
        except NotPermitted:
            unreadable += 1
        except MemtuiError:
            # It has exited meanwhile.
            continue
    return Mappers(tuple(found), unreadable)


def _maps(text: bytes, device: bytes, inode: bytes) -> bool:
    """Whether a map has a line with this device and inode in their places: a name may hold them too."""
    wanted = b" " + device + b" " + inode
    at = text.find(wanted)
    while at >= 0:
        start = text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        if text[start : end if end >= 0 else len(text)].split(None, 5)[3:5] == [device, inode]:
            return True
        at = text.find(wanted, at + 1)
    return False

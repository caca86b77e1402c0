"""Which memory of a process is pinned for I/O: the kernel neither pages it out nor moves it.

VmPin in /proc/PID/status has how much io_uring, RDMA and vfio pinned (proc_pid_status(5)); where it lies
only io_uring tells, in its fdinfo (io_uring_show_fdinfo(), io_uring/fdinfo.c).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from memtui.linux.procfs import kib_to_bytes, parse_colon_lines, read_file, read_process_file
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, normalise, total_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

_RING = "anon_inode:[io_uring]"
_HUGE_BYTES = 2 << 20


class Pinned(NamedTuple):
    """What is pinned: ``ranges`` of which it is known, and ``elsewhere_bytes`` of which it is not."""

    ranges: RangeSet = ()
    elsewhere_bytes: int = 0


def pinned_memory(pid: int) -> Pinned:
    """Return what is pinned of a process.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    status = parse_colon_lines(read_process_file(pid, "status"))
    pinned = kib_to_bytes(status.get("VmPin")) or 0
    if not pinned:
        return Pinned()
    known = normalise(_registered(pid))
    # The kernel counts whole folios.
    around = normalise(_rounded(part, _HUGE_BYTES) for part in known)
    return Pinned(known, max(0, pinned - total_bytes(around)))


def _rounded(part: Range, to_bytes: int) -> Range:
    return Range(part.start // to_bytes * to_bytes, -(-part.end // to_bytes) * to_bytes)


def _registered(pid: int) -> Iterator[Range]:
    """Yield the buffers that a process registered with its io_urings."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        # It may not be looked into, or has gone: what is pinned lies anywhere.
        return
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == _RING:
                yield from _buffers(read_file(f"/proc/{pid}/fdinfo/{name}"))
        except OSError:
            # Closed meanwhile.
            continue


def _buffers(text: bytes) -> Iterator[Range]:
    """Yield the buffers in the fdinfo of an io_uring: lines such as ``0: 0x7fd601dd7000/2097152``."""
    _, _, rest = text.partition(b"UserBufs:")
    for line in rest.split(b"\n")[1:]:
        number, _, place = line.strip().partition(b": 0x")
        address, slash, count = place.partition(b"/")
        if not slash or not number.isdigit():
            return
        start = int(address, 16)
        if count.isdigit() and int(count):
            yield _rounded(Range(start, start + int(count)), PAGE_BYTES)

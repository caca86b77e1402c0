"""Memory by its addresses: mmap, madvise, mlock and prctl through ctypes.

Python's mmap module cannot say where a mapping lies, and the allocator must stay away from it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_BYTES = mmap.PAGESIZE

PROT_NONE = 0
PROT_READ = mmap.PROT_READ
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE

_MAP_FIXED = 0x800 if os.uname().machine.startswith("parisc") else 0x10
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = ctypes.c_ulong(-1).value

_REMOTE_ADVICES = frozenset({3, 20, 21, 25})
"""WILLNEED, COLD, PAGEOUT, COLLAPSE: what process_madvise(2) takes for another process."""
_IOV_MAX = 1024

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_libc.mmap.restype = ctypes.c_void_p
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)

_MAP_FAILED = ctypes.c_void_p(-1).value


def _raise(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), call)


def _mmap(address: int | None, size_bytes: int, protection: int, flags: int, fd: int = -1) -> int:
    found = _libc.mmap(address, size_bytes, protection, flags, fd, 0)
    if found is None or found == _MAP_FAILED:
        _raise("mmap")
    return int(found)


def reserve(size_bytes: int) -> int:
    """Take a stretch of addresses that nothing may touch, and return its start.

    Raises:
        OSError: ENOMEM.
    """
    return _mmap(None, size_bytes, PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def place(address: int, size_bytes: int, fd: int = -1, shared: bool = False, writable: bool = True) -> None:
    """Map memory, or an open file from its beginning, at ``address`` in a reserved stretch.

    Raises:
        OSError: ENOMEM, EACCES.
    """
    flags = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | _MAP_FIXED
    if fd < 0:
        flags |= mmap.MAP_ANONYMOUS
    _mmap(address, size_bytes, READ_WRITE if writable else PROT_READ, flags, fd)


def make_read_only(address: int, size_bytes: int) -> None:
    """Take away the right to write.

    Raises:
        OSError: ENOMEM, where the kernel allows no more VMAs (vm.max_map_count).
    """
    if _libc.mprotect(address, size_bytes, PROT_READ) < 0:
        _raise("mprotect")


def lock(address: int, size_bytes: int) -> bool:
    """Keep memory in RAM; return whether RLIMIT_MEMLOCK and the kernel allowed it."""
    return bool(_libc.mlock(address, size_bytes) == 0)


def view(address: int, size_bytes: int) -> memoryview:
    """Return memory as bytes, in place."""
    return memoryview((ctypes.c_ubyte * size_bytes).from_address(address)).cast("B")


def advise_self(elements: Sequence[tuple[int, int]], advice: int) -> tuple[int, str | None]:
    """Advise our own memory as process_madvise(2) would that of another process.

    Elements (start, end) are taken in order up to the first that fails. Returns the bytes of those
    before it, and its errno as a symbol, or None. Only the four advices that a process may be given
    from outside are taken, all of which leave the content alone.
    """
    if advice not in _REMOTE_ADVICES or len(elements) > _IOV_MAX:
        return 0, "EINVAL"
    advised = 0
    for start, end in elements:
        if not 0 <= start <= end < 1 << 64:
            return advised, "EINVAL"
        # An element of no length is fine wherever it lies; plain madvise would look at its alignment.
        if start < end and _libc.madvise(start, end - start, advice) < 0:
            number = ctypes.get_errno()
            return advised, errno.errorcode.get(number, str(number))
        advised += end - start
    return advised, None


def set_name(name: str) -> None:
    """Set the name that ps shows, of at most 15 bytes (PR_SET_NAME, prctl(2))."""
    buffer = ctypes.create_string_buffer(name.encode("ascii"))
    _libc.prctl(_PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send a signal when the thread that forked us ends (PR_SET_PDEATHSIG, prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def allow_any_tracer() -> bool:
    """Let any process of our user trace us, where Yama stands in the way; return whether it does."""
    return bool(_libc.prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0) == 0)

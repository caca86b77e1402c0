"""Which program a process runs: what tells it from the next one that it becomes by exec."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from memtui.linux.proc_mem import MemoryFile
from memtui.linux.procfs import read_process_file
from memtui.model.errors import MemtuiError
from memtui.model.ranges import PAGE_BYTES

AT_RANDOM = 25
"""The entry of the auxiliary vector that says where 16 random bytes lie (getauxval(3))."""

_RANDOM_BYTES = 16
_PRESENT = 1 << 63
_UNKNOWN = "?"
_HIDDEN = "1 0 0"
"""What stat shows to those who may not see these fields (do_task_stat(), fs/proc/array.c)."""


class Program(NamedTuple):
    """What tells a program from the next; None is what could not be seen.

    ``places`` is where its code, stack and heap begin (fields 26, 28 and 47 of /proc/PID/stat), which
    address space layout randomisation sees to: where that is off, all look alike. ``random`` is a
    digest of the bytes that the kernel gave it at its start, which never are alike. The bytes themselves
    are no one's business: its stack protector is made of them.
    """

    places: str | None
    random: str | None

    @classmethod
    def of_text(cls, text: str) -> Program:
        """Return what :attr:`text` was made of."""
        places, _, random = text.partition("/")
        return cls(_known(places), _known(random))

    @property
    def text(self) -> str:
        """The same as text, for a record."""
        return f"{self.places or _UNKNOWN}/{self.random or _UNKNOWN}"

    def is_another(self, now: Program) -> bool:
        """Whether what is known of both differs."""
        both = ((self.places, now.places), (self.random, now.random))
        return any(then and here and then != here for then, here in both)

    def is_all_in(self, now: Program) -> bool:
        """Whether what was known can be seen now too: without it nobody can tell that it is the same."""
        pairs = ((self.places, now.places), (self.random, now.random))
        return all(here or not then for then, here in pairs)


def _known(text: str) -> str | None:
    return None if text in ("", _UNKNOWN, _HIDDEN) else text


def program_of(pid: int, pagemap_fd: int | None) -> Program:
    """Return which program a process runs, as far as it can be seen with nothing brought into RAM.

    The random bytes are read only where their page is in RAM, which ``pagemap_fd`` tells, and need
    the right to attach (ptrace(2), PTRACE_MODE_ATTACH_FSCREDS).
    """
    address = random_address(pid)
    random = None
    if address is not None and pagemap_fd is not None and _is_in_ram(pagemap_fd, address):
        try:
            with MemoryFile(pid) as memory:
                random = random_at(memory, address)
        except MemtuiError:
            # It may not be read, or the process has gone, as its handle tells too.
            random = None
    return Program(places_of(pid), random)


def places_of(pid: int) -> str | None:
    """Return where the code, the stack and the heap of a process begin; None where unknown."""
    try:
        fields = read_process_file(pid, "stat").rpartition(b") ")[2].split()
        return _known(" ".join(fields[number - 3].decode("ascii") for number in (26, 28, 47)))
    except (MemtuiError, IndexError):
        # It has gone, as its handle tells too; or a kernel of other fields.
        return None


def random_address(pid: int) -> int | None:
    """Return where the kernel put the random bytes of a process; None where that is unknown."""
    try:
        data = read_process_file(pid, "auxv")
    except MemtuiError:
        return None
    # Pairs of words of the process: 64 bits, or 32 of a process in compatibility mode.
    for words in ("=QQ", "=II"):
        size = struct.calcsize(words)
        pairs = struct.iter_unpack(words, data[: len(data) // size * size])
        address = next((value for kind, value in pairs if kind == AT_RANDOM), 0)
        if address:
            return int(address)
    return None


def random_at(memory: MemoryFile, address: int) -> str | None:
    """Read the random bytes, which brings their page into RAM; return their digest.

    None where they cannot be read, or tell nothing: some run-time systems wipe them out once they have
    used them (that of Go, say).
    """
    # OpenSSL comes with it, which takes a while: only records need it.
    import hashlib

    data = memory.read(address, _RANDOM_BYTES)
    return hashlib.sha256(data).hexdigest()[:32] if data is not None and any(data) else None


def _is_in_ram(pagemap_fd: int, address: int) -> bool:
    first, last = address // PAGE_BYTES, (address + _RANDOM_BYTES - 1) // PAGE_BYTES
    try:
        data = os.pread(pagemap_fd, 8 * (last + 1 - first), 8 * first)
    except OSError:
        # Beyond its address space, or the process has gone.
        return False
    return len(data) == 8 * (last + 1 - first) and all(
        entry & _PRESENT for (entry,) in struct.iter_unpack("=Q", data)
    )

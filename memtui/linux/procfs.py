"""/proc/PID: bytes in, model values out, in one pass and with no regular expression."""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

from memtui.linux.user_namespace import in_user_namespace
from memtui.model.errors import MemtuiError, NoSuchProcess, NotPermitted
from memtui.model.reasons import Reason, reason_of_call
from memtui.model.vma import Vma, VmaDetails, VmaKind, kind_of

PF_KTHREAD = 0x00200000
"""The flag of a kernel thread in field 9 of stat (include/linux/sched.h)."""

PF_EXITING = 0x4
PF_SIGNALED = 0x400
"""Flags of a task that ends: set when it begins to, and before, when a signal kills it."""

_CHUNK_BYTES = 1 << 16


def error_of(error: OSError, pid: int) -> MemtuiError:
    """Return the typed error for what opening or reading a file of a process raised."""
    subject = f"process {pid}"
    if error.errno in (errno.ENOENT, errno.ESRCH):
        if not has_proc():
            return MemtuiError(Reason.NO_PROC)
        return NoSuchProcess(Reason.NO_SUCH_PROCESS, subject)
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(_why_not_readable(), subject)
    reason = reason_of_call(str(error.filename), error.errno or 0)
    return MemtuiError(reason, subject, f"{error.strerror} ({error.filename})")


def has_proc() -> bool:
    """Whether /proc is mounted: without it, that a process is not to be seen says nothing of it."""
    return os.path.exists("/proc/self/stat")


def _why_not_readable() -> Reason:
    if os.geteuid():
        return Reason.NOT_READABLE
    # The superuser is refused by what holds more capabilities (ptrace(2), access mode checking), and one of a
    # user namespace by what lives outside.
    return Reason.USER_NAMESPACE if in_user_namespace() else Reason.MORE_CAPABLE


def read_fd(fd: int, last: bytes = b"") -> bytes:
    """Return the whole of an open file of /proc, from its beginning.

    Where it is the same as ``last``, that very object is returned, and nothing is kept or copied.

    Raises:
        OSError: as read(2).
    """
    # pread, so that two threads with one open file do not move each other's place.
    parts: list[bytes] = []
    at = 0
    same = bool(last)
    while part := os.pread(fd, _CHUNK_BYTES, at):
        if same and not last.startswith(part, at):
            same, parts = False, [last[:at]]
        if not same:
            parts.append(part)
        at += len(part)
    if same:
        return last if at == len(last) else last[:at]
    return b"".join(parts)


def read_file(path: str) -> bytes:
    """Return the whole of a file of /proc or /sys.

    Raises:
        OSError: as open(2) and read(2).
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_fd(fd)
    finally:
        os.close(fd)


def read_process_file(pid: int, name: str) -> bytes:
    """Return the whole of /proc/PID/name.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    try:
        return read_file(f"/proc/{pid}/{name}")
    except OSError as error:
        raise error_of(error, pid) from error


def decode(raw: bytes) -> str:
    """Return text of the system as str, undecodable bytes as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


class MapLines:
    """Makes VMAs of lines of /proc/PID/maps (proc_pid_maps(5)). Works out each kind but once."""

    def __init__(self, shmem_devices: frozenset[str]) -> None:
        self._devices = shmem_devices
        self._kinds: dict[tuple[str, str, str, bool], VmaKind] = {}

    def vma(self, line: str) -> Vma:
        """Return the VMA of one line."""
        fields = line.split(None, 5)
        start, _, end = fields[0].partition("-")
        perms, device, inode = fields[1], fields[3], int(fields[4])
        name = fields[5] if len(fields) == 6 else ""
        key = (name, device, perms, inode != 0)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = kind_of(name, device, inode, perms, self._devices)
        return Vma(int(start, 16), int(end, 16), perms, int(fields[2], 16), device, inode, name, kind)


def parse_maps(data: bytes, shmem_devices: frozenset[str]) -> tuple[Vma, ...]:
    """Return the VMAs of /proc/PID/maps, ascending."""
    lines = MapLines(shmem_devices)
    return tuple([lines.vma(line) for line in decode(data).split("\n") if line])


_SMAPS_FIELDS = {
    b"Rss": 0,
    b"Pss": 1,
    b"Shared_Clean": 2,
    b"Shared_Dirty": 2,
    b"Referenced": 3,
    b"Anonymous": 4,
    b"AnonHugePages": 5,
    b"ShmemPmdMapped": 5,
    b"FilePmdMapped": 5,
    b"Swap": 6,
    b"Locked": 7,
    b"Size": 8,
    b"LazyFree": 9,
    b"KSM": 10,
    b"Shared_Hugetlb": 11,
    b"Private_Hugetlb": 11,
}
_SUMS = 12
_NEXT_RECORD = re.compile(rb"\n(?=[0-9a-f])")
"""Where a record of smaps ends: its fields begin with a capital, the next record with an address.

Newlines in the names of files are escaped.
"""


class SmapsReader:
    """Takes /proc/PID/smaps (proc_pid_smaps(5)) part by part, and makes details by start address.

    Records that say the same of their VMAs share one value: tens of thousands of VMAs are mostly alike.
    """

    def __init__(self) -> None:
        self.details: dict[int, VmaDetails] = {}
        self._known: dict[bytes, VmaDetails] = {}
        self._flag_sets: dict[bytes, tuple[str, ...]] = {}
        self._has_flags: bool | None = None
        self._rest = b""

    def take(self, part: bytes) -> None:
        """Take the next part. What is cut off in the middle waits for the rest, or for :meth:`end`."""
        data = self._rest + part if self._rest else part
        if self._has_flags is None:
            # All records have the same shape. One that is cut off tells nothing yet.
            if (found := _NEXT_RECORD.search(data)) is None:
                self._rest = data
                return
            self._has_flags = b"\nVmFlags:" in data[: found.start()]
        if self._has_flags:
            self._take_by_flags(data)
        else:
            self._take_by_addresses(data)

    def end(self) -> None:
        """Take what is left: there is no more. A record that is cut off is dropped."""
        self._rest, last = b"", self._rest
        if self._has_flags is None:
            self._has_flags = b"\nVmFlags:" in last
        if self._has_flags:
            self._take_by_flags(last)
        elif last.endswith(b"\n"):
            self._take_record(last[:-1])

    def _take_by_flags(self, data: bytes) -> None:
        """Take records by their last line, which is quicker than by the first."""
        details, known = self.details, self._known
        find = data.find
        at = 0
        # At the start of a line only: a file may be called VmFlags:, and newlines in names are escaped.
        while (last := find(b"\nVmFlags:", at)) >= 0 and (end := find(b"\n", last + 1)) >= 0:
            first = find(b"\n", at)
            body = data[first + 1 : end]
            found = known.get(body)
            if found is None:
                found = known[body] = self._details(body)
            details[int(data[at : find(b"-", at)], 16)] = found
            at = end + 1
        self._rest = data[at:]

    def _take_by_addresses(self, data: bytes) -> None:
        """Take records that have no VmFlags: not every kernel writes that line."""
        *records, self._rest = _NEXT_RECORD.split(data)
        for record in records:
            self._take_record(record)

    def _take_record(self, record: bytes) -> None:
        first, _, body = record.partition(b"\n")
        self.details[int(first[: first.index(b"-")], 16)] = self._details(body)

    def _details(self, body: bytes) -> VmaDetails:
        """Return what the lines below the first one say. The last of them is VmFlags, if there is one."""
        lines = body.split(b"\n")
        flag_line = lines.pop() if self._has_flags else None
        sums = [0] * _SUMS
        for line in lines:
            key, _, value = line.partition(b":")
            place = _SMAPS_FIELDS.get(key)
            if place is not None:
                sums[place] += int(value[:-3]) * 1024
        rss, pss, shared, referenced, anonymous, huge, swap, locked, size, lazy_free, merged, hugetlb = sums
        return VmaDetails(
            None if flag_line is None else self._flags(flag_line),
            *(rss, pss, shared, referenced, anonymous, huge, swap, locked, size, lazy_free, merged, hugetlb),
        )

    def _flags(self, line: bytes) -> tuple[str, ...]:
        flags = self._flag_sets.get(line)
        if flags is None:
            flags = self._flag_sets[line] = tuple(line[8:].decode("ascii", "replace").split())
        return flags


def read_smaps(pid: int) -> dict[int, VmaDetails]:
    """Return the details of a process by start address. Never holds the whole text: it is large.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    reader = SmapsReader()
    try:
        fd = os.open(f"/proc/{pid}/smaps", os.O_RDONLY | os.O_CLOEXEC)
        try:
            at = 0
            while part := os.pread(fd, _CHUNK_BYTES, at):
                at += len(part)
                reader.take(part)
            reader.end()
        finally:
            os.close(fd)
    except OSError as error:
        raise error_of(error, pid) from error
    return reader.details


class Stat(NamedTuple):
    """What memtui needs of /proc/PID/stat (proc_pid_stat(5)); ``name`` is raw."""

    name: str
    state: str
    parent: int
    process_group: int
    session: int
    tty_number: int
    foreground_group: int
    flags: int
    minor_faults: int
    major_faults: int
    threads: int
    start_time: int
    size_bytes: int
    rss_pages: int

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it is the kernel's own."""
        return bool(self.flags & PF_KTHREAD)

    @property
    def is_ending(self) -> bool:
        """Whether it has begun to exit, or has been killed; its pidfd tells of it only at the end."""
        return bool(self.flags & (PF_EXITING | PF_SIGNALED)) or self.state in "ZX"


def parse_stat(data: bytes) -> Stat:
    """Return what is needed of /proc/PID/stat. The name may hold anything, blanks and brackets too."""
    opened, closed = data.index(b"("), data.rindex(b")")
    rest = data[closed + 2 :].split()
    return Stat(
        name=decode(data[opened + 1 : closed]),
        state=rest[0].decode("ascii", "replace"),
        parent=int(rest[1]),
        process_group=int(rest[2]),
        session=int(rest[3]),
        tty_number=int(rest[4]),
        foreground_group=int(rest[5]),
        flags=int(rest[6]),
        minor_faults=int(rest[7]),
        major_faults=int(rest[9]),
        threads=int(rest[17]),
        start_time=int(rest[19]),
        size_bytes=int(rest[20]),
        rss_pages=int(rest[21]),
    )


def read_stat(pid: int) -> Stat:
    """Return /proc/PID/stat.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted (hidepid).
    """
    return parse_stat(read_process_file(pid, "stat"))


def parse_colon_lines(data: bytes) -> dict[str, str]:
    """Return ``key: value`` lines, as /proc/PID/status and /proc/meminfo have them."""
    pairs: dict[str, str] = {}
    for line in decode(data).split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            pairs[key] = value.strip()
    return pairs


def kib_to_bytes(value: str | None) -> int | None:
    """Return a value such as ``412 kB`` in bytes; None stays None, and is what any other text gives."""
    number = (value or "").partition(" ")[0]
    return int(number) * 1024 if number.isdecimal() else None


def thread_ids(pid: int) -> list[int]:
    """Return the threads of a process.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError as error:
        raise error_of(error, pid) from error

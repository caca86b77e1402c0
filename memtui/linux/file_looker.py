"""Looks at mapped files that cannot hang us: a process of its own does what may wait for a dead server.

Local file systems are looked at directly. What a network or FUSE file system answers too late is not
known, and its device is left alone for a while: one look that hangs costs a second, and not one a plan.
"""

from __future__ import annotations

import array
import atexit
import errno
import json
import os
import select
import socket
import subprocess
import threading
import time
from contextlib import suppress
from functools import cache

from memtui.isolated import isolated_command
from memtui.linux.file_look import Seen, Wanted, look
from memtui.linux.sysinfo import file_systems

ANSWERS_WITHIN_S = 1.0
_LEFT_ALONE_S = 30.0
_MOUNTS_AGE_S = 1.0
_MAX_BYTES = 1 << 12

_LOCAL = """
    bcachefs binfmt_misc bpf btrfs cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs erofs exfat
    ext2 ext3 ext4 f2fs fusectl hugetlbfs iso9660 jfs mqueue nilfs2 ntfs3 overlay proc pstore ramfs reiserfs
    rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs tracefs ubifs udf vfat xfs zfs
"""
LOCAL = frozenset(_LOCAL.split())
"""File systems that ask no server: what cannot be read from their disk is an error, and soon."""


class _Mounts:
    """The file systems that a process and we see, by device, as of a moment ago."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, dict[str, str]]] = {}

    def kinds(self, pid: int) -> dict[str, str]:
        """Return the type of the file system on each device: see ``machine.file_systems``."""
        now = time.monotonic()
        known = self._known.get(pid)
        if known is None or now - known[0] > _MOUNTS_AGE_S:
            self._known = {key: value for key, value in self._known.items() if now - value[0] < _MOUNTS_AGE_S}
            known = self._known[pid] = now, file_systems(pid)
        return known[1]


class _Looker:
    """The process that looks, started when it is first needed, and given up when it hangs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._given_up: list[subprocess.Popen[bytes]] = []
        self._hung: dict[str, float] = {}

    def ask(self, wanted: Wanted) -> Seen | None:
        """Look at a file; None where that cannot be done.

        Raises:
            TimeoutError: its file system did not answer.
        """
        with self._lock:
            if time.monotonic() < self._hung.get(wanted.device, 0.0):
                raise _late(wanted)
            try:
                return self._ask(wanted)
            except TimeoutError:
                self._hung[wanted.device] = time.monotonic() + _LEFT_ALONE_S
                self.give_up()
                raise
            except (OSError, ValueError):
                # It cannot be started, has died, or answered what is no answer: nothing is known.
                self.give_up()
                return None

    def _ask(self, wanted: Wanted) -> Seen | None:
        connection = self._connection or self._start()
        connection.send(json.dumps(wanted).encode("ascii"))
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        if not poller.poll(ANSWERS_WITHIN_S * 1000):
            raise _late(wanted)
        data, passed, _flags, _address = connection.recvmsg(
            _MAX_BYTES, socket.CMSG_SPACE(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            raise ConnectionError(errno.EPIPE, os.strerror(errno.EPIPE))
        numbers = array.array("i")
        for _level, _kind, part in passed:
            numbers.frombytes(part[: len(part) // numbers.itemsize * numbers.itemsize])
        answer = json.loads(data)
        if answer is None:
            return None
        size_bytes, may_write = answer
        return Seen(size_bytes, may_write, numbers[0] if numbers else None)

    def _start(self) -> socket.socket:
        self._given_up = [process for process in self._given_up if process.poll() is None]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*isolated_command("memtui.linux.file_look"), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    cwd="/",
                )
            except OSError:
                ours.close()
                raise
        self._connection = ours
        return ours

    def give_up(self) -> None:
        """Let it go. One that hangs in the kernel ends when its file system answers, or is unmounted."""
        connection, self._connection = self._connection, None
        process, self._process = self._process, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            if process.poll() is None:
                self._given_up.append(process)


def _late(wanted: Wanted) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), wanted.ways[-1])


_MOUNTS = _Mounts()
_LOOKER = _Looker()
atexit.register(_LOOKER.give_up)


def look_at(wanted: Wanted, *, without_a_walk: bool = False) -> Seen | None:
    """Look at a file, in time; ``without_a_walk`` its first way leads there past all names (map_files).

    Raises:
        TimeoutError: its file system did not answer.
    """
    kinds = _MOUNTS.kinds(wanted.pid)
    if kinds and LOCAL.issuperset(kinds.values()):
        return look(wanted)
    is_local = kinds.get(wanted.device) in LOCAL or wanted.device == device_of_memory()
    if without_a_walk and is_local:
        seen = look(wanted._replace(ways=wanted.ways[:1]))
        if seen is not None:
            return seen
    return _LOOKER.ask(wanted)


@cache
def device_of_memory() -> str | None:
    """Return the device of memfd and System V shared memory, which is mounted nowhere; None if unknown."""
    try:
        fd = os.memfd_create("memtui")
    except OSError:
        return None
    try:
        number = os.fstat(fd).st_dev
        return f"{os.major(number):02x}:{os.minor(number):02x}"
    finally:
        os.close(fd)

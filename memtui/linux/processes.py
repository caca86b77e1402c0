"""The process list: what the kernel counts of each process, and who it is."""

from __future__ import annotations

import os
import pwd
import time
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from memtui.linux import sysinfo
from memtui.linux.procfs import Stat, decode, has_proc, parse_stat
from memtui.model.errors import MemtuiError
from memtui.model.process import Process, ProcessId
from memtui.model.reasons import Reason

_STATUS_EVERY = 16
"""At every so many-th pass a process's status is read even if its stat tells of no change.

Counters of the kernel may lag by some pages a CPU (lib/percpu_counter.c).
"""
WHO_WITHIN_S = 4.5
"""How old a command line and a cgroup may become, if the list is read at least as often."""
_USERS_WITHIN_S = 60.0
_STAT_BYTES = 4096
_MOST_BYTES = 1 << 14


class _Memory(NamedTuple):
    """What status says; bytes, None where it does not."""

    rss_bytes: int | None
    swap_bytes: int | None
    anon_bytes: int | None
    file_bytes: int | None
    shmem_bytes: int | None
    hugetlb_bytes: int | None


_MEMORY_KEYS = (b"\nVmRSS:", b"\nVmSwap:", b"\nRssAnon:", b"\nRssFile:", b"\nRssShmem:", b"\nHugetlbPages:")
_NONE = _Memory(0, 0, 0, 0, 0, 0)
_UNKNOWN = _Memory(None, None, None, None, None, None)


_Who = tuple["bytes | None", "bytes | None"]


@dataclass(slots=True)
class _Row:
    """What was read of a process: its stat as the kernel wrote it, and what that said of its memory.

    ``who`` is its command line and its cgroup as the kernel wrote them, read last at ``who_at``.
    """

    raw: bytes
    uid: int
    counts: tuple[int, int, int, int]
    memory: _Memory
    process: Process
    who: _Who
    who_at: float


class ProcessList:
    """Reads all processes again and again, and of each only what may have changed.

    The user is looked at in each pass: the folder of a process is its owner's, whatever it lets others read
    (task_dump_owner(), fs/proc/base.c). Nothing tells that a command line or a cgroup has changed: they are
    read again process after process, so that each has had its turn within WHO_WITHIN_S.
    """

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}
        self._users: dict[int, str] = {}
        self._users_at = 0.0
        self._number = 0
        self._now = time.monotonic() - WHO_WITHIN_S

    def read(self) -> list[Process]:
        """Return all processes that can be seen, by pid. One that vanishes meanwhile is left out.

        One of which nothing has changed is the same object as the last time.

        Raises:
            MemtuiError: NO_PROC.
        """
        if not has_proc():
            raise MemtuiError(Reason.NO_PROC)
        now = time.monotonic()
        step, self._now = now - self._now, now
        self._number += 1
        # The next pass will be as far away as the last one.
        turns, too_old = max(1, int(WHO_WITHIN_S / max(step, 0.01))), now - WHO_WITHIN_S + step
        if now - self._users_at > _USERS_WITHIN_S:
            self._users, self._users_at = {}, now
        rows: dict[int, _Row] = {}
        for pid in psutil.pids():
            seen = _look(pid)
            if seen is None:
                # Gone between the listing and the reading, or hidden (hidepid): not in the list.
                continue
            raw, uid = seen
            row, turn = self._rows.get(pid), pid + self._number
            due = turn % _STATUS_EVERY == 0
            if row is None or row.raw != raw or row.uid != uid or due:
                row = self._row(pid, raw, uid, row, due)
            if row.who_at < now and (turn % turns == 0 or row.who_at < too_old):
                self._read_who_again(row)
            rows[pid] = row
        self._rows = rows
        return [row.process for row in rows.values()]

    def _row(self, pid: int, raw: bytes, uid: int, last: _Row | None, due: bool) -> _Row:
        stat = parse_stat(raw)
        if last is not None and last.process.id.start_time != stat.start_time:
            # The pid is another's now.
            last = None
        leader_exited = stat.state == "Z" and stat.threads > 1
        # Memory comes by a fault, goes out of RSS, and out of swap by an unmapping. What else changes swap
        # (MADV_DONTNEED of swapped memory) is seen when it is due.
        counts = (stat.rss_pages, stat.size_bytes, stat.minor_faults, stat.major_faults)
        if last is not None and last.counts == counts and not due and not leader_exited:
            memory = last.memory
        else:
            memory = _memory_of(pid, stat, leader_exited)
        if last is not None and last.process.name == stat.name:
            command, cgroup, who, who_at = last.process.command, last.process.cgroup, last.who, last.who_at
        else:
            # An exec changes the command line, and nearly always the name with it.
            who, who_at = _who(pid, leader_exited), self._now
            command, cgroup = _command_of(who[0]), _cgroup_of(who[1])
        process = Process(
            id=ProcessId(pid, stat.start_time, sysinfo.boot_id()),
            name=stat.name,
            user=self._user(uid),
            state=stat.state,
            rss_bytes=memory.rss_bytes,
            swap_bytes=memory.swap_bytes,
            major_faults=stat.major_faults,
            command=command,
            cgroup=cgroup,
            is_kernel_thread=stat.is_kernel_thread,
            parent_pid=stat.parent,
            anon_bytes=memory.anon_bytes,
            file_bytes=memory.file_bytes,
            shmem_bytes=memory.shmem_bytes,
            hugetlb_bytes=memory.hugetlb_bytes,
            leader_exited=leader_exited,
        )
        kept = process if last is None or last.process != process else last.process
        return _Row(raw, uid, counts, memory, kept, who, who_at)

    def _read_who_again(self, row: _Row) -> None:
        row.who_at, was = self._now, row.process
        if was.is_kernel_thread:
            return
        who = _who(was.pid, was.leader_exited)
        if who == row.who:
            return
        row.who = who
        # A zombie has no command line: it keeps the last that was seen.
        command = _command_of(who[0]) if was.has_memory else was.command
        row.process = was._replace(command=command, cgroup=_cgroup_of(who[1]))

    def _user(self, uid: int) -> str:
        name = self._users.get(uid)
        if name is None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except KeyError:
                name = str(uid)
            self._users[uid] = name
        return name


def _look(pid: int) -> tuple[bytes, int] | None:
    """Return /proc/PID/stat, which one read(2) gives whole, and the effective uid; None if hidden."""
    folder = f"/proc/{pid}"
    try:
        uid = os.stat(folder).st_uid
        fd = os.open(f"{folder}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        raw = os.read(fd, _STAT_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)
    return (raw, uid) if raw else None


def _memory_of(pid: int, stat: Stat, leader_exited: bool) -> _Memory:
    """Return what is in RAM and in swap. A zombie and a kernel thread have none: that is a real zero."""
    if leader_exited:
        return _memory_of_other_threads(pid)
    if stat.is_kernel_thread or stat.state in "ZX":
        return _NONE
    return _status_memory(f"/proc/{pid}/status") or _UNKNOWN


def _memory_of_other_threads(pid: int) -> _Memory:
    """Return what a process has whose first thread has ended: any thread that runs on tells of all."""
    for folder in _threads(pid):
        memory = _status_memory(f"{folder}/status")
        if memory is not None and memory.rss_bytes is not None:
            return memory
    return _UNKNOWN


def _threads(pid: int) -> list[str]:
    try:
        return [f"/proc/{pid}/task/{name}" for name in os.listdir(f"/proc/{pid}/task") if name != str(pid)]
    except OSError:
        return []


def _status_memory(path: str) -> _Memory | None:
    # All lines of it would take longer than the kernel takes to write them. A newline in a name is escaped.
    data = _read(path)
    if data is None:
        return None
    found: list[int | None] = []
    for key in _MEMORY_KEYS:
        at = data.find(key)
        found.append(None if at < 0 else int(data[at + len(key) : data.index(b" kB", at)]) * 1024)
    return _Memory._make(found)


def _who(pid: int, leader_exited: bool) -> _Who:
    """Return command line and cgroup as the kernel writes them; None for what we may not know."""
    if leader_exited:
        command = next(filter(None, (_read(f"{folder}/cmdline") for folder in _threads(pid))), None)
    else:
        command = _read(f"/proc/{pid}/cmdline")
    return command, _read(f"/proc/{pid}/cgroup")


def _read(path: str) -> bytes | None:
    """Return a file that one read(2) gives whole, or its beginning: nobody reads a longer command line."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # Gone, or not ours to look at: what was not learnt stays unknown.
        return None
    try:
        return os.read(fd, _MOST_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)


def _command_of(raw: bytes | None) -> str | None:
    return decode(raw.rstrip(b"\0").replace(b"\0", b" ")) or None if raw else None


_HIERARCHIES = ("", "memory", "name=systemd")
"""Those that tell of the memory of a process, or of its unit: v2, and of v1 these two."""


def _cgroup_of(raw: bytes | None) -> str | None:
    """Return the cgroup of a process (cgroups(7)).

    It is that of v2, or of the first v1 hierarchy that says more than that it is the root: on a machine
    with both, v2 need not be in use.
    """
    if raw is None:
        return None
    paths = [line.split(":", 2)[1:] for line in decode(raw).split("\n") if line.count(":") >= 2]
    known = {controller: path for controllers, path in paths for controller in controllers.split(",")}
    found = [known[name] for name in _HIERARCHIES if name in known]
    found += sorted((path for _, path in paths), key=len, reverse=True)
    return next((path for path in found if path != "/"), "/" if found else None)

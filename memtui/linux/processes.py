"""The process list: who is who from psutil, once a process; the live numbers from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from memtui.linux import machine
from memtui.linux.procfs import (
    Stat,
    decode,
    has_proc,
    kib_to_bytes,
    parse_colon_lines,
    parse_stat,
    read_process_file,
)
from memtui.model.errors import MemtuiError
from memtui.model.process import Process, ProcessId
from memtui.model.reasons import Reason

_STATUS_EVERY = 16
"""At every so many-th pass a process's status is read even if its stat tells of no change.

Counters of the kernel may lag by some pages a CPU (lib/percpu_counter.c).
"""
_STAT_BYTES = 4096
_Who = tuple["str | None", "str | None", "str | None"]


@dataclass(slots=True)
class _Row:
    """What was read of a process: its stat as the kernel wrote it, and what that said of its memory."""

    raw: bytes
    memory: tuple[int, int, int]
    process: Process


class ProcessList:
    """Reads all processes again and again: who they are but once, their memory where it has changed."""

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}
        self._who: dict[tuple[int, int, str], _Who] = {}
        self._pass = 0

    def read(self) -> list[Process]:
        """Return all processes that can be seen, by pid. One that vanishes meanwhile is left out.

        One of which nothing has changed is the same object as the last time.

        Raises:
            MemtuiError: NO_PROC.
        """
        if not has_proc():
            raise MemtuiError(Reason.NO_PROC)
        self._pass += 1
        rows: dict[int, _Row] = {}
        for pid in psutil.pids():
            row = self._rows.get(pid)
            raw = _read_stat(pid)
            if raw is None:
                # Gone between the listing and the reading, or hidden (hidepid): not in the list.
                continue
            due = (pid + self._pass) % _STATUS_EVERY == 0
            if row is None or row.raw != raw or due:
                row = self._row(pid, raw, row, due)
            rows[pid] = row
        self._rows = rows
        if len(self._who) > len(rows):
            there = {_key(row.process) for row in rows.values()}
            self._who = {key: who for key, who in self._who.items() if key in there}
        return [row.process for row in rows.values()]

    def _row(self, pid: int, raw: bytes, last: _Row | None, due: bool) -> _Row:
        stat = parse_stat(raw)
        # Memory comes by a fault and goes out of RSS; nothing else changes what is in swap.
        memory = (stat.rss_pages, stat.minor_faults, stat.major_faults)
        same = last is not None and last.process.id.start_time == stat.start_time and last.memory == memory
        if last is not None and same and not due:
            rss, swap = last.process.rss_bytes, last.process.swap_bytes
        else:
            rss, swap = _memory_of(pid, stat)
        # An exec changes the command line, and nearly always the name with it.
        key = (pid, stat.start_time, stat.name)
        if key not in self._who:
            self._who[key] = _who(pid)
        user, command, cgroup = self._who[key]
        process = Process(
            id=ProcessId(pid, stat.start_time, machine.boot_id()),
            name=stat.name,
            user=user,
            state=stat.state,
            rss_bytes=rss,
            swap_bytes=swap,
            major_faults=stat.major_faults,
            command=command,
            cgroup=cgroup,
            is_kernel_thread=stat.is_kernel_thread,
            parent_pid=stat.parent,
        )
        return _Row(raw, memory, process if last is None or last.process != process else last.process)


def _key(process: Process) -> tuple[int, int, str]:
    return process.pid, process.id.start_time, process.name


def _read_stat(pid: int) -> bytes | None:
    """Return /proc/PID/stat, which one read(2) gives whole; None where it cannot be had."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, _STAT_BYTES) or None
    except OSError:
        return None
    finally:
        os.close(fd)


def _memory_of(pid: int, stat: Stat) -> tuple[int | None, int | None]:
    """Return RSS and swap. A zombie and a kernel thread have none: that is a real zero."""
    if stat.is_kernel_thread or stat.state in "ZX":
        return 0, 0
    try:
        status = parse_colon_lines(read_process_file(pid, "status"))
    except MemtuiError:
        return None, None
    return kib_to_bytes(status.get("VmRSS")), kib_to_bytes(status.get("VmSwap"))


def _who(pid: int) -> tuple[str | None, str | None, str | None]:
    """Return user, command line and cgroup; None for what we may not know."""
    user = command = cgroup = None
    try:
        process = psutil.Process(pid)
        user = process.username()
        command = " ".join(process.cmdline()) or None
    except psutil.Error:
        # Gone, or not ours to look at: what was not learnt stays unknown.
        user = user or None
    try:
        cgroup = _unified_cgroup(decode(read_process_file(pid, "cgroup")))
    except MemtuiError:
        cgroup = None
    return user, command, cgroup


def _unified_cgroup(text: str) -> str | None:
    """Return the path in the v2 hierarchy, or else the longest one (cgroups(7))."""
    paths = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    for number, _controllers, path in paths:
        if number == "0":
            return path
    return max((path for _, _, path in paths), key=len, default=None)

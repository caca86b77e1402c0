"""The process list: who is who from psutil, once a process; the live numbers from /proc."""

from __future__ import annotations

import psutil

from memtui.linux import machine
from memtui.linux.procfs import (
    Stat,
    decode,
    kib_to_bytes,
    parse_colon_lines,
    parse_stat,
    read_process_file,
)
from memtui.model.errors import MemtuiError
from memtui.model.process import Process, ProcessId


class ProcessList:
    """Reads all processes again and again, and asks for what seldom changes only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, str], tuple[str | None, str | None, str | None]] = {}

    def read(self) -> list[Process]:
        """Return all processes that can be seen, by pid. One that vanishes meanwhile is left out."""
        found: list[Process] = []
        alive: set[tuple[int, int, str]] = set()
        for pid in psutil.pids():
            try:
                stat = parse_stat(read_process_file(pid, "stat"))
            except MemtuiError:
                # Gone between the listing and the reading, or hidden (hidepid): not in the list.
                continue
            alive.add((pid, stat.start_time, stat.name))
            found.append(self._process(pid, stat))
        self._known = {key: value for key, value in self._known.items() if key in alive}
        return found

    def _process(self, pid: int, stat: Stat) -> Process:
        # An exec changes the command line, and nearly always the name with it.
        key = (pid, stat.start_time, stat.name)
        if key not in self._known:
            self._known[key] = _who(pid)
        user, command, cgroup = self._known[key]
        rss, swap = _memory_of(pid, stat)
        return Process(
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
        )


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

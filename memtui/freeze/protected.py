"""Whom never to freeze: what the operator would need to thaw it, and what the machine lives by."""

from __future__ import annotations

import os
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from memtui.freeze.threads import frozen_by_others_v1
from memtui.linux.procfs import Stat, parse_colon_lines, read_file, read_stat
from memtui.model.errors import MemtuiError, NoSuchProcess

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memtui.model.process import ProcessId

NAMES = (
    "sshd*",
    "tmux*",
    "screen",
    "SCREEN",
    "mosh-server",
    "systemd*",
    "(sd-*",
    "dbus*",
    "*getty",
)
"""Names of processes (field 2 of stat) that are frozen only where the operator insists."""

_PTMX = frozenset({"/dev/ptmx", "/dev/pts/ptmx"})
_PTS_MAJORS = range(136, 144)


def refuse_reason(
    process: ProcessId, *, own_pids: Iterable[int] = (), allow_protected: bool = False
) -> str | None:
    """Return why a process is never frozen, in words, or None if it may be.

    ``own_pids`` are further processes of ours (the guard). ``allow_protected`` lets through what is
    refused by its name alone; the rest cannot be overridden. The words hold no text of the system
    but a process name, which is raw. A process that is gone is not refused: holding it will tell.
    """
    pid = process.pid
    if pid == 1:
        return "process 1 (init) is never frozen"
    if pid == os.getpid() or pid in own_pids:
        return f"process {pid} is memtui itself and is never frozen"
    try:
        stat = read_stat(pid)
    except NoSuchProcess:
        return None
    except MemtuiError as error:
        return f"process {pid} cannot be looked at, and is not frozen unseen: {error}"
    if stat.is_kernel_thread:
        return f"process {pid} ({stat.name}) is a kernel thread and is never frozen"
    if pid in ancestors():
        return f"process {pid} ({stat.name}) is an ancestor of memtui and is never frozen"
    frozen = frozen_by_others_v1(pid)
    if frozen is not None:
        return f"process {pid} ({stat.name}) is frozen by its cgroup already ({frozen}; docker pause, say)"
    held = our_terminals() & _masters_held(pid)
    if held:
        return f"process {pid} ({stat.name}) holds our terminal /dev/pts/{min(held)} and is never frozen"
    return None if allow_protected else _refused_by_name(pid, stat)


def _refused_by_name(pid: int, stat: Stat) -> str | None:
    for pattern in NAMES:
        if fnmatchcase(stat.name, pattern):
            return (
                f"process {pid} ({stat.name}) is never frozen, going by its name ({pattern}); "
                "--allow-protected insists"
            )
    return None


def ancestors() -> frozenset[int]:
    """Return our parent, its parent and so on."""
    found: set[int] = set()
    pid = os.getppid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            pid = read_stat(pid).parent
        except MemtuiError:
            # Gone, and we have another parent by now; or hidden from us (hidepid) with all above it.
            break
    return frozenset(found)


def our_terminals() -> frozenset[int]:
    """Return the numbers (/dev/pts/N) of our controlling terminal and of those on fds 0 to 2."""
    devices: set[int] = set()
    with suppress(MemtuiError):  # our own stat is always there but in a chroot without /proc
        number = read_stat(os.getpid()).tty_number
        # The kernel's own packing (new_encode_dev): 12 bits of major between two parts of the minor.
        devices.add(os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00))
    for fd in (0, 1, 2):
        with suppress(OSError):  # closed
            if os.isatty(fd):
                devices.add(os.fstat(fd).st_rdev)
    return frozenset(
        (os.major(device) - _PTS_MAJORS.start << 8) + os.minor(device)
        for device in devices
        if os.major(device) in _PTS_MAJORS
    )


def _masters_held(pid: int) -> frozenset[int]:
    """Return the numbers of the terminals whose master side a process has open, as far as can be seen."""
    found: set[int] = set()
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        # Whose files we may not list we may not trace either.
        return frozenset()
    for fd in fds:
        with suppress(OSError, ValueError):  # closed in between
            if os.readlink(f"/proc/{pid}/fd/{fd}") in _PTMX:
                info = parse_colon_lines(read_file(f"/proc/{pid}/fdinfo/{fd}"))
                found.add(int(info["tty-index"]))
    return frozenset(found)

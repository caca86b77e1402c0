"""The pid and time namespaces we run in, and whether the mounted /proc shows the processes of ours.

A pid means one process in each pid namespace, and field 22 of /proc/PID/stat is shifted by the boot time
offset of the *reader's* time namespace (timens_add_boottime_ns(), fs/proc/array.c; measured on 6.18).
"""

from __future__ import annotations

import os
from enum import Enum

from memtui.linux.procfs import parse_colon_lines, read_file

NO_NAMESPACE = "none"
"""What stands for a namespace on a kernel that has none of its kind."""


class ProcView(Enum):
    """Whose processes /proc shows."""

    OURS = "ours"
    FOREIGN = "foreign"
    MISSING = "missing"


def pid_namespace() -> str | None:
    """Return our pid namespace (``pid:[4026531836]``, pid_namespaces(7)); None where unknown."""
    return _namespace("pid")


def time_namespace() -> str | None:
    """Return our time namespace (``time:[4026531834]``, time_namespaces(7)); None where unknown."""
    return _namespace("time")


def _namespace(kind: str) -> str | None:
    try:
        return os.readlink(f"/proc/self/ns/{kind}")
    except FileNotFoundError:
        return NO_NAMESPACE if os.path.isdir("/proc/self/ns") else None
    except OSError:
        return None


def proc_view() -> ProcView:
    """Return whether a pid in /proc is the pid that a system call of ours takes.

    NSpid has our pid in each namespace from that of the mounted /proc down to ours (task_state(),
    fs/proc/array.c): one number, if the two are the same. A namespace below ours does not show us at all.
    """
    try:
        status = parse_colon_lines(read_file("/proc/self/status"))
    except OSError:
        return ProcView.FOREIGN if os.path.exists("/proc/uptime") else ProcView.MISSING
    # Without pid namespaces (CONFIG_PID_NS) there is no such line.
    known = status.get("NSpid", status.get("Pid", "")).split()
    return ProcView.OURS if known == [str(os.getpid())] else ProcView.FOREIGN


def children_are_elsewhere() -> bool:
    """Whether what we start gets its pids in another namespace than ours (``unshare --pid`` without fork)."""
    try:
        return os.readlink("/proc/self/ns/pid_for_children") != os.readlink("/proc/self/ns/pid")
    except FileNotFoundError:
        # Either no kernel with namespaces, or a namespace that has no process yet.
        return os.path.lexists("/proc/self/ns/pid_for_children")
    except OSError:
        return False

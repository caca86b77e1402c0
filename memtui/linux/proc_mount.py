"""How /proc is mounted: whether it hides the processes of others."""

from __future__ import annotations

import os

from memtui.linux.capabilities import CAP_SYS_PTRACE, has_capability
from memtui.linux.procfs import decode, read_file

_LEVELS = {
    "1": "noaccess",
    "noaccess": "noaccess",
    "2": "invisible",
    "invisible": "invisible",
    "4": "ptraceable",
    "ptraceable": "ptraceable",
}
"""The values of hidepid= as they were written before Linux 5.8, and since (proc(5))."""


def hidepid() -> str | None:
    """Return how /proc hides the processes of others from us; None where it does not, or that cannot be seen.

    With ``noaccess`` their pids can be listed, and nothing of them be read; else not even that.
    Not from who holds CAP_SYS_PTRACE or is in the group of gid= (has_pid_permissions(), fs/proc/base.c).
    """
    options = _options()
    level = _LEVELS.get(options.get("hidepid", ""))
    if level is None or has_capability(CAP_SYS_PTRACE):
        return None
    group = options.get("gid", "0")
    in_group = group.isdecimal() and int(group) in {os.getegid(), *os.getgroups()}
    return None if in_group and level != "ptraceable" else level


def _options() -> dict[str, str]:
    """Return the options of what is mounted on /proc last."""
    found: dict[str, str] = {}
    try:
        text = decode(read_file("/proc/self/mountinfo"))
    except OSError:
        return found
    for line in text.split("\n"):
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and fields[4] == "/proc" and after.startswith("proc "):
            parts = (item.partition("=") for item in after.split(" ")[-1].split(","))
            found = {name: value for name, _, value in parts}
    return found

"""How much memory the cgroups of a process still let it take, under version 2 and under version 1.

What we fault in for another process is charged to its groups: where they are at their limit the
kernel kills a process of theirs, and that is the one we meant to help (measured on 6.18).
"""

from __future__ import annotations

from dataclasses import dataclass

from memtui.linux.cgroups import group_at, mounts
from memtui.linux.procfs import decode, parse_colon_lines, read_file, read_process_file
from memtui.model.errors import MemtuiError

_NO_LIMIT_BYTES = 1 << 62
"""What version 1 writes where there is no limit is LONG_MAX less a part of a page."""


@dataclass(frozen=True, slots=True)
class _Files:
    limit: str
    usage: str
    cache: str


_V2 = _Files("memory.max", "memory.current", "inactive_file")
_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


class MemoryLimits:
    """The limits of a process's groups, of its own and those above, as far as we see.

    ``are_known`` is False where it stands in a group that we do not see.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """

    def __init__(self, pid: int) -> None:
        path, self._files = _path_of(pid)
        try:
            folders = _folders(path, None if self._files is _V2 else "memory")
        except OSError:
            # No mountinfo to be read: not known.
            folders = None
        self.are_known = folders is not None
        self._folders = folders or []

    def allow(self, more_bytes: int, share: float) -> bool:
        """Whether so much more may be taken and ``share`` of every limit stay free; not where unknown.

        Cache of files that has not been used for long counts as free: it goes without harm.
        """
        try:
            rooms = [self._room(folder) for folder in self._folders]
        except (OSError, ValueError, MemtuiError):
            return False
        found = [room for room in rooms if room is not None]
        return self.are_known and all(free - more_bytes >= limit * share for limit, free in found)

    def _room(self, folder: str) -> tuple[int, int] | None:
        """Return the limit of a group and what is free of it; None where it has none."""
        files = self._files
        try:
            limit = decode(read_file(f"{folder}/{files.limit}")).strip()
        except FileNotFoundError:
            # The root, or a group without the memory controller.
            return None
        if limit == "max" or int(limit) >= _NO_LIMIT_BYTES:
            return None
        usage = int(read_file(f"{folder}/{files.usage}"))
        stat = parse_colon_lines(read_file(f"{folder}/memory.stat").replace(b" ", b":"))
        return int(limit), int(limit) - usage + int(stat.get(files.cache, "0"))


def _path_of(pid: int) -> tuple[str, _Files]:
    """Return the path of a process's memory group; version 1 has the say where it has the controller."""
    unified = "/"
    for line in decode(read_process_file(pid, "cgroup")).split("\n"):
        _number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            return path, _V1
        if line.startswith("0::"):
            unified = path
    return unified, _V2


def _folders(path: str, controller: str | None) -> list[str] | None:
    """Return the folders of a group and of those above it; None where no mount of ours shows it."""
    group = group_at(path, mounts(controller))
    if group is not None:
        return [above.folder for above in group.upwards()]
    return [] if path == "/" else None

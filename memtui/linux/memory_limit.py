"""The memory cgroups of a process: how much they still let it take, and how often they were out of memory.

What we fault in for another process is charged to its groups: where they are at their limit the
kernel kills a process of theirs, and that is the one we meant to help (measured on 6.18).
"""

from __future__ import annotations

from dataclasses import dataclass

from memtui.linux.cgroup import group_at, mounts
from memtui.linux.procfs import decode, parse_colon_lines, read_file, read_process_file
from memtui.model.errors import MemtuiError

_NO_LIMIT_BYTES = 1 << 62
"""What version 1 writes where there is no limit is LONG_MAX less a part of a page."""


@dataclass(frozen=True, slots=True)
class _Files:
    limits: tuple[str, ...]
    usage: str
    cache: str
    events: str


# Above memory.high its processes are slowed down and reclaimed from: as good as a limit for what we bring.
_V2 = _Files(("memory.max", "memory.high"), "memory.current", "inactive_file", "memory.events")
_V1 = _Files(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control")


class MemoryLimits:
    """The limits of a process's groups, of its own and those above, as far as we see.

    ``are_known`` is False where it stands in a group that we do not see.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """

    def __init__(self, pid: int) -> None:
        self._files, folders = _groups_of(pid)
        self.are_known = folders is not None
        self._folders = folders or []

    def allow(self, more_bytes: int, share: float) -> bool:
        """Whether so much more may be taken and ``share`` of every limit stay free; not where unknown."""
        return more_bytes <= self.room_bytes(share)

    def room_bytes(self, share: float) -> int:
        """Return how much more may be taken so that ``share`` of every limit stays free; 0 where unknown.

        Cache of files that has not been used for long counts as free: it goes without harm.
        """
        if not self.are_known:
            return 0
        try:
            rooms = [self._room(folder, share) for folder in self._folders]
        except (OSError, ValueError, MemtuiError):
            return 0
        return max(0, min(rooms, default=_NO_LIMIT_BYTES))

    def _room(self, folder: str, share: float) -> int:
        limits = [limit for name in self._files.limits if (limit := _limit(f"{folder}/{name}")) is not None]
        if not limits:
            return _NO_LIMIT_BYTES
        usage = int(read_file(f"{folder}/{self._files.usage}"))
        stat = parse_colon_lines(read_file(f"{folder}/memory.stat").replace(b" ", b":"))
        limit = min(limits)
        return int(limit * (1 - share)) - usage + int(stat.get(self._files.cache, "0"))


class OomKills:
    """Counts what the OOM killer ends in the memory cgroups of a process, its own and those above.

    Version 2 counts in a group what dies in those below too; version 1 only what stood in it.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._files, folders = _groups_of(pid)
        except MemtuiError:
            # It is gone, or not to be looked at: nothing is counted.
            folders = None
        self._before = {folder: self._count(folder) for folder in folders or []}

    def since(self) -> int | None:
        """Return how many were killed since this was made; None where no count is to be seen."""
        risen = [
            now - was
            for folder, was in self._before.items()
            if was is not None and (now := self._count(folder)) is not None
        ]
        return max(risen, default=None)

    def _count(self, folder: str) -> int | None:
        try:
            lines = parse_colon_lines(read_file(f"{folder}/{self._files.events}").replace(b" ", b":"))
            return int(lines["oom_kill"])
        except (OSError, KeyError, ValueError):
            # The root has no such file under version 2; before Linux 4.13 it has no such line.
            return None


def _limit(path: str) -> int | None:
    """Return a limit; None where there is none."""
    try:
        text = decode(read_file(path)).strip()
    except FileNotFoundError:
        # The root, or a group without the memory controller.
        return None
    return None if text == "max" or int(text) >= _NO_LIMIT_BYTES else int(text)


def _groups_of(pid: int) -> tuple[_Files, list[str] | None]:
    """Return the folders of the memory groups of a process, its own first; None where we do not see them.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    path, files = _path_of(pid)
    try:
        return files, _folders(path, None if files is _V2 else "memory")
    except OSError:
        # No mountinfo to be read: not known.
        return files, None


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

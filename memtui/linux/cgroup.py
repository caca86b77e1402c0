"""Control groups, version 2: where a process stands, and the few files of a group that memtui uses.

Facts from Documentation/admin-guide/cgroup-v2.rst and kernel/cgroup/ (Linux 6.18). The version 2
hierarchy is found by /proc/self/mountinfo, so that hosts on which both versions are mounted do too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memtui.linux.procfs import decode, parse_colon_lines, read_file, read_process_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of a hierarchy: which part of it (``root``), and where (``point``)."""

    root: str
    point: str


def mounts(controller: str | None = None) -> list[Mount]:
    """Return where the version 2 hierarchy is mounted, as we see it (proc_pid_mountinfo(5)).

    With ``controller``, where the version 1 hierarchy is that has it.
    """
    found = []
    for line in decode(read_file("/proc/self/mountinfo")).split("\n"):
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if controller is None:
            wanted = after.startswith("cgroup2 ")
        else:
            wanted = after.startswith("cgroup ") and controller in after.split(" ")[-1].split(",")
        if wanted and len(fields) >= 5:
            found.append(Mount(_unescaped(fields[3]), _unescaped(fields[4])))
    return found


def _unescaped(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)


def path_of(pid: int, tid: int | None = None) -> str | None:
    """Return the version 2 path of a process, or of one thread of it; None if it has none.

    It is seen from the root of our own cgroup namespace, and begins with ``/..`` outside of that.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    data = read_process_file(pid, "cgroup" if tid is None else f"task/{tid}/cgroup")
    for line in decode(data).split("\n"):
        if line.startswith("0::"):
            return line[3:]
    return None


def group_at(path: str, known: list[Mount] | None = None) -> Group | None:
    """Return the group of a version 2 path; None where no mount of ours shows it."""
    if path == "/.." or path.startswith("/../"):
        return None
    for mount in mounts() if known is None else known:
        root = "" if mount.root == "/" else mount.root
        if path == mount.root or path.startswith(root + "/"):
            folder = mount.point.rstrip("/") + path[len(root) :].rstrip("/")
            if os.path.exists(folder + "/cgroup.procs"):
                return Group(folder, mount.point)
    return None


def may_be_frozen_without(pid: int) -> bool:
    """Whether a freeze of one of our own groups, which are not the root, would leave a process running.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    ours, theirs = _freezer_paths(os.getpid()), _freezer_paths(pid)
    is_within = _is_initial_namespace()
    for hierarchy, path in ours.items():
        other = theirs.get(hierarchy)
        below = "/" if path == "/" else path + "/"
        if path == "/" and is_within:
            continue
        if other is None or not (other == path or other.startswith(below)) or other.startswith("/.."):
            return True
    return False


def _freezer_paths(pid: int) -> dict[str, str]:
    """Return the paths of a process in the hierarchies that can freeze it: version 2, version 1's freezer."""
    found = {}
    for line in decode(read_process_file(pid, "cgroup")).split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (number, controllers) == ("0", "") or "freezer" in controllers.split(","):
            found[controllers] = path
    return found


def _is_initial_namespace() -> bool:
    """Whether our cgroup namespace is the first one (PROC_CGROUP_INIT_INO, include/linux/proc_ns.h)."""
    try:
        return os.readlink("/proc/self/ns/cgroup") == "cgroup:[4026531835]"
    except OSError:
        return False


def frozen_by_v1(pid: int) -> str | None:
    """Return the group of the version 1 freezer by which a process is frozen; None if by none.

    Its folder, or its path in the hierarchy where we do not see that. `docker pause` under version 1 does
    that; its threads wait in state D, in __refrigerator (Documentation/admin-guide/cgroup-v1).

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    lines = decode(read_process_file(pid, "cgroup")).split("\n")
    fields = (line.split(":", 2) for line in lines)
    path = next((each[2] for each in fields if len(each) == 3 and "freezer" in each[1].split(",")), None)
    if path is None:
        return None
    for mount in mounts("freezer"):
        root = "" if mount.root == "/" else mount.root
        if path == mount.root or path.startswith(root + "/"):
            return _freezing_above(mount.point.rstrip("/") + path[len(root) :].rstrip("/"), mount.point)
    return path if _is_in_refrigerator(pid) else None


def _freezing_above(folder: str, top: str) -> str | None:
    while len(folder) > len(top):
        try:
            if read_file(f"{folder}/freezer.self_freezing").strip() == b"1":
                return folder
        except OSError:
            # Removed meanwhile.
            return None
        folder = os.path.dirname(folder)
    return None


def _is_in_refrigerator(pid: int) -> bool:
    try:
        return read_file(f"/proc/{pid}/wchan") == b"__refrigerator"
    except OSError:
        return False


def swap_rooms(pid: int) -> dict[str, int]:
    """Return how much more swap the groups of a process may use, itself and those above, by folder.

    Groups without a limit are not in it, nor what we cannot see. Under version 1 it is empty.

    Raises:
        MemtuiError: NoSuchProcess, NotPermitted.
    """
    path = path_of(pid)
    try:
        group = group_at(path) if path is not None else None
    except OSError:
        # No mountinfo to be read: as if there were no cgroups.
        group = None
    if group is None:
        return {}
    rooms = {above.folder: above.swap_room_bytes() for above in group.upwards()}
    return {folder: room for folder, room in rooms.items() if room is not None}


@dataclass(frozen=True, slots=True)
class Group:
    """A control group, by its folder. Every method may raise OSError where nothing else is said."""

    folder: str
    top: str
    """The mount point."""

    @property
    def is_top(self) -> bool:
        """Whether it is the highest group that we can see."""
        return self.folder.rstrip("/") == self.top.rstrip("/")

    def kind(self) -> str:
        """Return cgroup.type: ``domain``, ``threaded``, ...; the root has none and is a domain."""
        return self._text("cgroup.type") or "domain"

    def is_frozen(self) -> bool:
        """Whether everything in it stands still (``frozen`` of cgroup.events)."""
        return parse_colon_lines(self._read("cgroup.events").replace(b" ", b":")).get("frozen") == "1"

    def is_populated(self) -> bool:
        """Whether any live process stands in it or below (``populated`` of cgroup.events)."""
        return parse_colon_lines(self._read("cgroup.events").replace(b" ", b":")).get("populated") == "1"

    def frozen_by(self) -> str | None:
        """Return the folder of the group whose cgroup.freeze holds this one, itself or one above."""
        for group in self.upwards():
            if group._text("cgroup.freeze") == "1":
                return group.folder
        return None

    def set_freeze(self, frozen: bool) -> None:
        """Have everything in it stand still, or run on."""
        self._write("cgroup.freeze", "1" if frozen else "0")

    def pids(self) -> list[int]:
        """Return the processes in it; not one whose first thread has exited."""
        return [int(pid) for pid in self._read("cgroup.procs").split()]

    def take_in(self, pid: int) -> None:
        """Move a process into it, all its threads.

        Raises:
            OSError: ESRCH, EACCES, EPERM, EOPNOTSUPP for a threaded one, EBUSY.
        """
        self._write("cgroup.procs", str(pid))

    def may_be_written(self) -> bool:
        """Whether we may make a group in it and move processes between the two."""
        return all(os.access(path, os.W_OK, effective_ids=True) for path in (self.folder, self._at("procs")))

    def child(self, name: str) -> Group:
        """Return a group below it, which need not be there."""
        return Group(f"{self.folder.rstrip('/')}/{name}", self.top)

    def exists(self) -> bool:
        """Whether it is there."""
        return os.path.isdir(self.folder)

    def make(self) -> None:
        """Make it.

        Raises:
            OSError: FileExistsError; EAGAIN beyond cgroup.max.descendants or cgroup.max.depth; EACCES.
        """
        os.mkdir(self.folder)

    def remove(self) -> None:
        """Remove it.

        Raises:
            OSError: EBUSY while a process stands in it.
        """
        os.rmdir(self.folder)

    def swap_room_bytes(self) -> int | None:
        """Return how much more swap it may use (memory.swap.max less memory.swap.current).

        None where there is no limit, or no memory controller of version 2 to set one.
        """
        try:
            limit = decode(self._read("memory.swap.max")).strip()
            return None if limit == "max" else max(0, int(limit) - int(self._read("memory.swap.current")))
        except (OSError, ValueError):
            # No such file in the root, under version 1, or without swap accounting.
            return None

    def upwards(self) -> Iterator[Group]:
        """Yield it, and the groups above as far as we can see."""
        folder = self.folder.rstrip("/")
        while folder and len(folder) >= len(self.top.rstrip("/")):
            yield Group(folder, self.top)
            folder = os.path.dirname(folder)

    def _at(self, what: str) -> str:
        return f"{self.folder}/cgroup.{what}"

    def _read(self, name: str) -> bytes:
        return read_file(f"{self.folder}/{name}")

    def _text(self, name: str) -> str | None:
        try:
            return decode(self._read(name)).strip()
        except FileNotFoundError:
            # The root has neither a type nor a freezer.
            return None

    def _write(self, name: str, value: str) -> None:
        fd = os.open(f"{self.folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode("ascii"))
        finally:
            os.close(fd)

"""A look at a mapped file by its name: whether it is that file, how large, and what we may do with it.

On a network or FUSE file system whose server is gone every step here may wait for good, and not even
SIGKILL need end it (request_wait_answer(), fs/fuse/dev.c). ``file_looker`` runs :func:`main` in a process
of its own for those.
"""

from __future__ import annotations

import array
import json
import os
import socket
import stat
from typing import NamedTuple

_MAX_BYTES = 1 << 16


class Wanted(NamedTuple):
    """A file: by inode and device (``major:minor`` in hexadecimal, as in maps), and ways to it.

    The mounts that ``pid`` sees tell devices. With ``to_open`` it is opened to be read.
    """

    pid: int
    inode: int
    device: str
    ways: tuple[str, ...]
    to_open: bool


class Seen(NamedTuple):
    """What was seen of it. ``may_write``: whether we own it or may write it. ``fd`` is None if not opened."""

    size_bytes: int
    may_write: bool
    fd: int | None


def look(wanted: Wanted) -> Seen | None:
    """Look at the first way that leads to a regular file, the very one that is wanted; None if none does."""
    for way in wanted.ways:
        try:
            seen = _look_at(way, wanted)
        except (OSError, ValueError):
            # Not ours to open, or no longer there under this name: the next way, or unknown.
            continue
        if seen is not None:
            return seen
    return None


def _look_at(way: str, wanted: Wanted) -> Seen | None:
    # Opening a device could act on it: so first a place, and what it is.
    place = os.open(way, os.O_PATH | os.O_CLOEXEC)
    try:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_ino != wanted.inode:
            return None
        if _device(found.st_dev) != wanted.device and not _is_on(place, wanted, way):
            return None
        again = f"/proc/self/fd/{place}"
        if wanted.to_open:
            return Seen(found.st_size, False, os.open(again, os.O_RDONLY | os.O_CLOEXEC))
        ours = found.st_uid == os.geteuid()
        return Seen(found.st_size, ours or os.access(again, os.W_OK, effective_ids=True), None)
    finally:
        os.close(place)


def _device(number: int) -> str:
    return f"{os.major(number):02x}:{os.minor(number):02x}"


def _is_on(place: int, wanted: Wanted, way: str) -> bool:
    """Whether a file stands on the device that maps shows for it.

    maps shows the device of the file system (show_map_vma(), fs/proc/task_mmu.c). To stat(2) that of
    btrfs is one a subvolume, and of overlayfs may be that of a layer: there the mount tells. One that is in
    no list of mounts is internal to the kernel (a layer of overlayfs); then it is the file only where the
    kernel itself leads to it.
    """
    mount_id = _mount_of(place)
    for who in (wanted.pid, "self"):
        device = _devices_of_mounts(who).get(mount_id)
        if device is not None:
            return device == wanted.device
    return way.startswith(f"/proc/{wanted.pid}/map_files/")


def _mount_of(place: int) -> str:
    with open(f"/proc/self/fdinfo/{place}", encoding="ascii") as file:
        return next((line.split()[1] for line in file if line.startswith("mnt_id:")), "")


def _devices_of_mounts(who: int | str) -> dict[str, str]:
    """Return the devices of the mounts that a process sees, as maps has them, by the mounts' ids."""
    found: dict[str, str] = {}
    try:
        with open(f"/proc/{who}/mountinfo", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        # It has gone, or hides them: then ours tell.
        return found
    for line in lines:
        fields = line.split(b" ", 3)
        if len(fields) > 3:
            major, _, minor = fields[2].partition(b":")
            found[fields[0].decode("ascii")] = f"{int(major):02x}:{int(minor):02x}"
    return found


def main(arguments: list[str]) -> int:
    """Answer on the socket of this number until it is closed: one look a message."""
    with socket.socket(fileno=int(arguments[0])) as connection:
        while question := connection.recv(_MAX_BYTES):
            pid, inode, device, ways, to_open = json.loads(question)
            seen = look(Wanted(pid, inode, device, tuple(ways), to_open))
            answer = json.dumps(None if seen is None else [seen.size_bytes, seen.may_write]).encode("ascii")
            if seen is None or seen.fd is None:
                connection.send(answer)
            else:
                passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [seen.fd]))]
                connection.sendmsg([answer], passed)
                os.close(seen.fd)
    return 0

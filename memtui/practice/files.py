"""The files of a practice process: where they may lie, whose they are, and which are left over.

Each is held under flock(2) by the process that made it for as long as it lives, so that a file which
can be locked is one that a killed process left behind.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
FALLBACK = Path("/var/tmp")
"""Where the mapped file goes when the state directory lies in memory."""

PREFIX = "memtui-practice-"


def label_path(state_dir: Path, pid: int) -> Path:
    """Return where a practice process says what is what."""
    return state_dir / f"practice-{pid}.json"


def is_in_memory(directory: Path) -> bool:
    """Whether a directory lies on a file system without a disk behind it (proc_pid_mountinfo(5))."""
    device = directory.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").split("\n"):
        mounted, _, source = line.partition(" - ")
        fields = mounted.split(" ")
        if len(fields) > 2 and fields[2] == number:
            return source.split(" ", 1)[0] in _IN_MEMORY
    return False


def claim(path: Path) -> int:
    """Create a file for us alone, and return it open and locked. Keep it open: the lock is its life.

    Raises:
        OSError: as open(2).
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd
        except BaseException:
            os.close(fd)
            raise
        # Another start took it for a leftover in the moment between its making and its lock.
        os.close(fd)


def sweep(state_dir: Path) -> list[Path]:
    """Remove what killed practice processes of this user left behind; return what was removed."""
    removed = []
    places = (
        *state_dir.glob("practice-*.json*"),
        *state_dir.glob(f"{PREFIX}*"),
        *FALLBACK.glob(f"{PREFIX}*"),
    )
    for path in dict.fromkeys(places):
        if _is_left_over(path):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_left_over(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # Gone meanwhile, a link, or not ours to read: not ours to remove either.
        return False
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Locked, so its process lives; or a file system without locks, where nobody can tell.
        return False
    finally:
        os.close(fd)
    return True

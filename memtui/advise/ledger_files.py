"""The files of the ledger: the one that grows, and the older ones that it was renamed to.

A line is appended in one write under flock(2). Who finds the file too long renames it first, under the
same lock: LEDGER is the newest, LEDGER.1 the one before, and so on. A renamed file is still the file that
a late writer has open, so that no line is lost, and the names only ever move up, so that who opens them
from the newest on misses none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from memtui.freeze.journal import prepare_folder, sync_folder
from memtui.model.reasons import Detail, DetailCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 16 << 20
"""How long a file may grow."""
OLD_FILES = 4
"""How many older files are kept."""

_LOCK_WAIT_S = 2.0
_LOCK_POLL_S = 0.002
_ATTEMPTS = 100


class LedgerFiles:
    """The files of one ledger. ``has_dropped`` tells that an append of ours dropped the oldest of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.has_dropped = False

    def old_path(self, number: int) -> Path:
        """Return the path of an older file: 1 is the one before the newest."""
        return self.path.with_name(f"{self.path.name}.{number}")

    def append(self, line: bytes, *, to_disk: bool) -> None:
        """Append a line that ends in a newline; with ``to_disk`` wait until it is on disk.

        Raises:
            OSError: it cannot be written, or the folder or the file is not ours alone to write.
        """
        prepare_folder(self.path.parent)
        with self._taken(len(line)) as (fd, is_locked):
            is_new = os.fstat(fd).st_size == 0
            whole = b"\n" + line if _ends_torn(fd) else line
            if os.write(fd, whole) != len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if is_locked:
                # A disk may take its time, and others have lines of their own.
                fcntl.flock(fd, fcntl.LOCK_UN)
            if to_disk:
                os.fsync(fd)
                if is_new:
                    _sync_folder(self.path.parent)

    @contextmanager
    def _taken(self, more_bytes: int) -> Iterator[tuple[int, bool]]:
        """Open the newest file, with room in it, and lock it; whether that could be is told, too.

        Where it cannot be locked (a file system without locks; who holds it stands still) the line is
        appended all the same, which loses none: only nothing is renamed.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        for attempt in range(_ATTEMPTS):
            fd = os.open(self.path, flags, 0o600)
            try:
                found = os.fstat(fd)
                _require_ours(found, self.path)
                is_locked = _lock(fd)
                if is_locked and attempt < _ATTEMPTS - 1:
                    if not self._is_newest(fd):
                        # It was renamed while we waited for it.
                        continue
                    size = os.fstat(fd).st_size
                    if size and size + more_bytes > MOST_BYTES:
                        self._rename_all()
                        continue
                yield fd, is_locked
                return
            finally:
                os.close(fd)

    def _is_newest(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _rename_all(self) -> None:
        """Make room for a new file, under the lock of the newest.

        A kill in the middle leaves a gap among the names: then they move up to the gap, and none is dropped.
        """
        last = next(
            (number for number in range(1, OLD_FILES) if not self.old_path(number).exists()), OLD_FILES
        )
        if last == OLD_FILES and self.old_path(last).exists():
            self.has_dropped = True
        for number in range(last, 1, -1):
            os.replace(self.old_path(number - 1), self.old_path(number))
        os.replace(self.path, self.old_path(1))

    @contextmanager
    def opened(self) -> Iterator[list[int]]:
        """Open all files there are to read them, the newest first.

        Raises:
            OSError: one of them may not be read.
        """
        with ExitStack() as close:
            fds: list[int] = []
            known: set[tuple[int, int]] = set()
            for path in (self.path, *map(self.old_path, range(1, OLD_FILES + 1))):
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                close.callback(os.close, fd)
                found = os.fstat(fd)
                # One that was renamed meanwhile is met again under its next name.
                if (found.st_dev, found.st_ino) not in known:
                    known.add((found.st_dev, found.st_ino))
                    fds.append(fd)
            yield fds


class Follower:
    """Reads what was appended since it was made, or last asked. Not for several threads."""

    def __init__(self, files: LedgerFiles) -> None:
        self._files = files
        self._file, self._at = self._newest()

    def _newest(self) -> tuple[tuple[int, int] | None, int]:
        try:
            found = os.stat(self._files.path)
        except OSError:
            return None, 0
        return (found.st_dev, found.st_ino), found.st_size

    def new_lines(self) -> list[bytes]:
        """Return the lines that are new, without their ends, oldest first.

        Raises:
            OSError: a file may not be read.
        """
        if self._newest() == (self._file, self._at):
            return []
        lines: list[bytes] = []
        with self._files.opened() as fds:
            for fd in fds:
                found = os.fstat(fd)
                is_known = (found.st_dev, found.st_ino) == self._file
                first = self._at if is_known else 0
                text = os.pread(fd, max(0, found.st_size - first), first)
                whole = text[: text.rfind(b"\n") + 1]
                lines[:0] = whole.split(b"\n")[:-1]
                if fd == fds[0]:
                    file, at = (found.st_dev, found.st_ino), first + len(whole)
                if is_known:
                    break
            if fds:
                self._file, self._at = file, at
        return lines


def _require_ours(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(errno.EPERM, Detail(DetailCode.FILE_NOT_OURS).text, str(path))


def _lock(fd: int) -> bool:
    """Lock a file, waiting a while for who has it; return whether that could be."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_POLL_S)
        except OSError:
            # A file system without locks.
            return False
        else:
            return True


def _ends_torn(fd: int) -> bool:
    """Whether the last line has no end, so that the next one would be lost with it."""
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on disk too."""
    try:
        sync_folder(folder)
    except OSError as error:
        # Not every file system can do that; the line itself is on disk.
        if error.errno != errno.EINVAL:
            raise

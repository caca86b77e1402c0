"""The journal: what a guard holds in a way that outlives it, so that the next start can let it go.

One file a guard, locked (flock(2)) by the guard that writes it as long as it lives. It holds a line
for each process that is held right now, or could not be set back as it was, and is empty otherwise.
A kill loses nothing of what was written; that the file is on disk before the first hold is only for
its name, since after a crash of the machine nothing is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from memtui.freeze.method import FreezeError
from memtui.model.errors import MemtuiError
from memtui.model.methods import Freeze
from memtui.model.reasons import Reason

_SUFFIX = ".journal"
_MAX_BYTES = 1 << 20
_ATTEMPTS = 20
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A process that is held. Folders are those of cgroups, empty for SIGSTOP.

    ``was_stopped`` tells that somebody else had stopped it before, which is not ours to end. A
    ``bystander`` is not held: it may stop itself because its child is, and then is continued after it.
    """

    boot_id: str
    pid: int
    start_time: int
    method: str
    was_stopped: bool = False
    home: str = ""
    group: str = ""
    bystander: bool = False


class Journal:
    """The journal of this guard. ``folder`` None is that there is none, and nothing can be recorded."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._fd = -1
        self._entries: list[Entry] = []

    @property
    def path(self) -> Path | None:
        """Its file; None before the first entry."""
        return self._path

    def add(self, entry: Entry) -> None:
        """Record a process, before it is touched.

        Raises:
            FreezeError: FREEZE_NO_JOURNAL.
        """
        try:
            if self._fd < 0 or not os.fstat(self._fd).st_nlink:
                # None yet, or somebody removed it: nobody would find what stands in it.
                self._open()
            self._write((entry,))
        except OSError as error:
            detail = f"{Reason.FREEZE_NO_JOURNAL.text}: {error.strerror} ({error.filename or self._path})"
            raise FreezeError(Reason.FREEZE_NO_JOURNAL, "", detail) from error
        self._entries.append(entry)

    def drop(self, entry: Entry) -> None:
        """Forget a process, once it is as it was before."""
        if entry not in self._entries:
            return
        self._entries.remove(entry)
        os.ftruncate(self._fd, 0)
        self._write(self._entries)

    def close(self) -> None:
        """Remove the file if nothing stands in it, and an empty folder. The lock goes with our end."""
        if self._path is not None and not self._entries:
            self._path.unlink(missing_ok=True)
            remove_if_empty(self._path.parent)

    def _open(self) -> None:
        if self._folder is None:
            raise OSError(0, "none was named", "journal")
        for attempt in range(_ATTEMPTS):
            path = self._folder / f"{os.getpid()}-{attempt}{_SUFFIX}"
            try:
                prepare_folder(self._folder)
                fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except (FileExistsError, FileNotFoundError) as error:
                if isinstance(error, FileExistsError) and not os.path.exists(path):
                    # Not the file but a part of the way is there, and is no folder.
                    raise
                # There is one of a dead guard that had our pid; or the folder was just removed as empty.
                continue
            if _locked(fd) and os.fstat(fd).st_nlink:
                break
            # Who replays journals was quicker, and took the file for that of a dead guard.
            os.close(fd)
        else:
            raise OSError(0, "no file could be locked", str(self._folder))
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path = fd, path
        os.fsync(fd)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, entries: tuple[Entry, ...] | list[Entry]) -> None:
        data = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries).encode("ascii")
        if data and os.write(self._fd, data) != len(data):
            raise OSError(28, "no space left", str(self._path))


def prepare_folder(folder: Path) -> None:
    """Make the folder of the journals, which nobody else may write.

    Raises:
        OSError: it cannot be made, or others may write in it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(1, "the folder is another user's, or others may write in it", str(folder))


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of the journals if there is none in it."""
    with suppress(OSError):  # there is one, or somebody else was quicker
        folder.rmdir()


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_soon(fd: int) -> bool:
    """Lock a journal that somebody may be looking at just now."""
    for _ in range(_LOOKS):
        if _locked(fd):
            return True
        time.sleep(0.002)
    return False


@dataclass(frozen=True, slots=True)
class Found:
    """A journal as it was found. ``torn_lines`` is how many of its lines could not be read."""

    path: Path
    entries: tuple[Entry, ...]
    torn_lines: int


def paths(folder: Path) -> list[Path]:
    """Return the journals in a folder; none where there is no folder.

    Raises:
        MemtuiError: FREEZE_NO_JOURNAL where it may not be read, or is not ours.
    """
    try:
        if not folder.is_dir():
            return []
        prepare_folder(folder)
        return sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIX))
    except OSError as error:
        detail = f"the journals of what is held cannot be read: {error.strerror} ({folder})"
        raise MemtuiError(Reason.FREEZE_NO_JOURNAL, "", detail) from error


@contextmanager
def taken(path: Path) -> Iterator[Found | None]:
    """Take the journal of a dead guard, and keep it locked; None if its guard lives, or it is gone.

    Raises:
        OSError: it may not be read.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        if not _locked_soon(fd) or not os.fstat(fd).st_nlink:
            yield None
        else:
            yield _parse(path, os.pread(fd, _MAX_BYTES, 0))
    finally:
        os.close(fd)


def is_held_by_the_living(entry: Entry, mine: Path) -> bool:
    """Whether a living guard holds the same process, as its journal has it; ``mine`` is left out."""
    for path in paths(mine.parent):
        if path != mine:
            with open_living(path) as found:
                if any(
                    (each.pid, each.start_time) == (entry.pid, entry.start_time) and not each.bystander
                    for each in found.entries
                ):
                    return True
    return False


@contextmanager
def open_living(path: Path) -> Iterator[Found]:
    """Read a journal whose guard lives; of a dead one, or one that is gone, nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield Found(path, (), 0)
        return
    try:
        lives = not _locked(fd)
        yield _parse(path, os.pread(fd, _MAX_BYTES, 0)) if lives else Found(path, (), 0)
    finally:
        os.close(fd)


def _parse(path: Path, data: bytes) -> Found:
    entries, torn = [], 0
    for line in data.split(b"\n"):
        if line:
            entry = _entry(line)
            if entry is None:
                torn += 1
            else:
                entries.append(entry)
    return Found(path, tuple(entries), torn)


_TYPES = {"str": str, "int": int, "bool": bool}


def _entry(line: bytes) -> Entry | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.keys() != {field.name for field in fields(Entry)}:
        return None
    if any(type(content[field.name]) is not _TYPES[str(field.type)] for field in fields(Entry)):
        return None
    known = {Freeze.SIGSTOP.value, Freeze.CGROUP.value}
    return Entry(**content) if content["method"] in known and content["pid"] > 0 else None

"""The journal: what a guard holds in a way that outlives it, so that the next start can let it go.

One file a guard, locked (flock(2)) by the guard that writes it as long as it lives. It holds a line
for each process that is held right now, or could not be set back as it was, and is empty otherwise.
A kill loses nothing of what was written; that the file is on disk before the first hold is only for
its name, since after a crash of the machine nothing is held. Every change of it is one step: a line is
appended, the file is emptied, or another one with what remains takes its place.

A line names where its numbers count: the boot, the machine (a user's folder may lie on a disk that many
share), and the pid and time namespaces.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from memtui.freeze.method import FreezeError
from memtui.linux import sysinfo
from memtui.linux.namespaces import pid_namespace, time_namespace
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SUFFIX = ".journal"
BAD_SUFFIX = ".unreadable"
"""Behind the name of a journal that could not be read as a whole, and is kept aside."""

_MAX_BYTES = 1 << 20
_ATTEMPTS = 1000
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
    machine: str = field(default_factory=sysinfo.machine_id)
    pid_namespace: str = field(default_factory=lambda: pid_namespace() or "")
    time_namespace: str = field(default_factory=lambda: time_namespace() or "")
    """Where ``pid`` and ``start_time`` count; empty where that is not known, as in lines of old."""


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
                self._replace((*self._entries, entry), durable=True)
            else:
                _append(self._fd, (entry,))
        except OSError as error:
            detail = f"{Reason.FREEZE_NO_JOURNAL.text}: {error.strerror} ({error.filename or self._path})"
            raise FreezeError(Reason.FREEZE_NO_JOURNAL, "", detail) from error
        self._entries.append(entry)

    def drop(self, entry: Entry) -> None:
        """Forget a process, once it is as it was before."""
        if entry not in self._entries:
            return
        self._entries.remove(entry)
        # Where the disk is full or gone the entry stays: whoever replays it finds the process free.
        with suppress(OSError):
            if self._entries:
                self._replace(self._entries)
            else:
                os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Remove the file if nothing stands in it, and an empty folder. The lock goes with our end."""
        if self._path is not None and not self._entries:
            self._path.unlink(missing_ok=True)
            remove_if_empty(self._path.parent)

    def _replace(self, entries: Sequence[Entry], *, durable: bool = False) -> None:
        """Begin another file with these entries, locked, before the last one goes."""
        if self._folder is None:
            raise OSError(0, "none was named", "journal")
        fd, path = _create(self._folder)
        try:
            _append(fd, entries)
            if durable:
                os.fsync(fd)
                sync_folder(self._folder)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(fd)
            raise
        # Where somebody removed it the new file may bear its name.
        if self._path is not None and self._path != path:
            self._path.unlink(missing_ok=True)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path = fd, path


def _create(folder: Path) -> tuple[int, Path]:
    """Make a new, empty journal in a folder, and lock it. A name is only for being another one."""
    for attempt in range(_ATTEMPTS):
        path = folder / f"{os.getpid()}-{attempt}{_SUFFIX}"
        try:
            prepare_folder(folder)
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except (FileExistsError, FileNotFoundError) as error:
            if isinstance(error, FileExistsError) and not os.path.lexists(path):
                # Not the file but a part of the way is there, and is no folder.
                raise
            # There is one of a dead guard that had our pid; or the folder was just removed as empty.
            continue
        if _locked_soon(fd) and os.fstat(fd).st_nlink:
            return fd, path
        # Who replays journals was quicker, and took the file for that of a dead guard.
        os.close(fd)
    raise OSError(0, "no file could be locked", str(folder))


def sync_folder(folder: Path) -> None:
    """Have the names of new files in a folder on disk.

    Raises:
        OSError: EINVAL where the file system cannot do that; EIO, ...
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _append(fd: int, entries: Sequence[Entry]) -> None:
    """Write entries behind what stands there: all of them, or none.

    Raises:
        OSError: ENOSPC, EIO, ...
    """
    _append_lines(fd, [json.dumps(asdict(entry)).encode("ascii") for entry in entries])


def _append_lines(fd: int, lines: Sequence[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    before = os.fstat(fd).st_size
    try:
        if os.write(fd, data) == len(data):
            return
    except OSError:
        os.ftruncate(fd, before)
        raise
    # The next line would be joined to what was cut off, and neither could be read.
    os.ftruncate(fd, before)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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


def _locked(fd: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
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


class Line(NamedTuple):
    """A line of a journal. It has no ``entry`` where another version wrote it in a form that is not ours."""

    raw: bytes
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Found:
    """A journal as it was found. ``torn_lines`` is how many of its lines could not be read."""

    path: Path
    lines: tuple[Line, ...] = ()
    torn_lines: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What it says is held, as far as that is understood."""
        return tuple(line.entry for line in self.lines if line.entry is not None)


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


def settle(found: Found, left: Sequence[Line]) -> None:
    """Let only the lines that are ``left`` stay of a journal that is taken; torn ones are kept aside.

    Raises:
        OSError: it cannot be written; then all of it stays.
    """
    if len(left) == len(found.lines) and left and not found.torn_lines:
        return
    if left:
        fd, path = _create(found.path.parent)
        try:
            _append_lines(fd, [line.raw for line in left])
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
    if found.torn_lines:
        found.path.replace(found.path.with_name(found.path.name + BAD_SUFFIX))
    else:
        found.path.unlink(missing_ok=True)


def is_held_by_the_living(entry: Entry, mine: Path) -> bool:
    """Whether a living guard holds the same process, as its journal has it; ``mine`` is left out."""
    wanted = (entry.pid, entry.start_time)
    return any(
        (each.pid, each.start_time) == wanted and not each.bystander
        for path in paths(mine.parent)
        if path != mine
        for each in read(path, of_the_living=True).entries
    )


def read(path: Path, *, of_the_living: bool = False) -> Found:
    """Read the journal of a dead guard, or of a living one, and touch nothing; else it is empty.

    The lock is taken for a moment, and shared: a guard or a replay that wants it meanwhile tries again.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return Found(path)
    try:
        lives = not _locked(fd, fcntl.LOCK_SH)
        return _parse(path, os.pread(fd, _MAX_BYTES, 0)) if lives is of_the_living else Found(path)
    except OSError:
        return Found(path)
    finally:
        os.close(fd)


def _parse(path: Path, data: bytes) -> Found:
    lines, torn = [], 0
    for raw in data.split(b"\n"):
        if raw:
            content = _content(raw)
            if content is None:
                torn += 1
            else:
                lines.append(Line(raw, _entry(content)))
    return Found(path, tuple(lines), torn)


_TYPES = {"str": str, "int": int, "bool": bool}
_SINCE = {"bystander": False, "machine": "", "pid_namespace": "", "time_namespace": ""}
"""What lines of older versions do not have."""


def _content(raw: bytes) -> dict[str, object] | None:
    """Return what any version writes of a process; None for what is torn, or never was a line of ours."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    content = {**_SINCE, **content}
    if any(type(content.get(each.name)) is not _TYPES[str(each.type)] for each in fields(Entry)):
        return None
    return content if 0 < content["pid"] < 1 << 31 else None


def _entry(content: dict[str, object]) -> Entry | None:
    known = {Freeze.SIGSTOP.value, Freeze.CGROUP.value}
    if content["method"] not in known or content.keys() != {each.name for each in fields(Entry)}:
        return None
    return Entry(**content)  # type: ignore[arg-type]

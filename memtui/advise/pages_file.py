"""The record of the pages that an action moved: one file an action and target, beside the ledger.

It grows hold by hold, so that whatever kills us in the middle of a plan costs one hold at most. It is of use
only while the process lives, so that it need not outlive a crash of the machine: nothing is fsynced. A kill
loses nothing that was written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
import zlib
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from memtui.advise.pages_format import (
    MOST_FRAMES_BYTES,
    MOST_HEADER_BYTES,
    MovedPages,
    decode,
    encode_header,
    process_of,
)
from memtui.freeze.journal import prepare_folder
from memtui.linux.procfs import read_stat
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.reasons import Detail, DetailCode, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from memtui.model.process import ProcessId

MOST_FILES = 1000
MOST_BYTES = 64 << 20
"""What the folder may hold of records that are of no use any more; the oldest go first."""
MOST_LOOKED_AT = 2000
"""How many records beyond these bounds are looked at in one sweep."""

_SUFFIX = ".pages"
_LOCK_ATTEMPTS = 5
_LOCK_POLL_S = 0.01


class PagesWriter:
    """Writes one record, frame by frame. It is locked until it is closed: the action still runs.

    Raises:
        OSError: if it cannot be begun.
    """

    def __init__(self, path: Path, process: ProcessId, program: str) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._size = 0
        try:
            self._lock()
            self.append(encode_header(process, program))
        except OSError:
            self.remove()
            raise

    def _lock(self) -> None:
        """Lock it, so that it is known to be written; who only looks holds the lock for a moment."""
        for _ in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_LOCK_POLL_S)
            except OSError:
                # A file system without locks.
                return

    def append(self, data: bytes) -> None:
        """Write a frame.

        Raises:
            OSError: if it cannot be written; then nothing of it is.
        """
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        if written != len(data):
            # The disk is full: what is cut off here would hide all that comes later.
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._size += written

    def remove(self) -> None:
        """Remove the record: there is nothing in it."""
        self.close()
        with suppress(OSError):  # who sweeps the folder may have been quicker
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others restore it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PageRecords:
    """The folder of these files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = False

    def begin(self, report_id: str, process: ProcessId, program: str) -> PagesWriter:
        """Begin the record of an action on one target.

        Raises:
            OSError: if it cannot be written, or the folder is not ours alone to write.
        """
        prepare_folder(self._folder.parent)
        prepare_folder(self._folder)
        return PagesWriter(self._path(report_id), process, program)

    def sweep(self, boot_id: str, known: Callable[[], set[str]] | None = None) -> str | None:
        """Remove what is of no use any more, in the boot ``boot_id``.

        ``known`` returns the ids of all that the ledger knows of: records of others go.
        """
        try:
            self._sweep(boot_id, known)
        except FileNotFoundError:
            # There is no folder: nothing was ever kept.
            return None
        except (OSError, MemtuiError) as error:
            return words_of(error) if isinstance(error, OSError) else error.words
        return None

    def read(self, report_id: str) -> MovedPages | None:
        """Return a record; None where there is none, or it cannot be read as one.

        Raises:
            MemtuiError: PAGES_UNKNOWN, where others may have written it.
        """
        try:
            fd = os.open(self._path(report_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with open(fd, "rb") as file:
                self._require_ours(os.fstat(fd))
                return decode(file.readline(MOST_HEADER_BYTES), file.read(MOST_FRAMES_BYTES))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, zlib.error, struct.error):
            # Missing, cut off, or not ours: all of them mean that the pages are not known.
            return None

    def _require_ours(self, found: os.stat_result) -> None:
        """Make certain that nobody else may have written a record.

        Raises:
            MemtuiError: PAGES_UNKNOWN.
        """
        for each in (found, self._folder.lstat(), self._folder.parent.lstat()):
            if each.st_uid != os.geteuid() or each.st_mode & 0o022:
                detail = Detail(DetailCode.RECORD_NOT_OURS, words=str(self._folder))
                raise MemtuiError(Reason.PAGES_UNKNOWN, "", detail.text)

    @contextmanager
    def held_for_restore(self, report_id: str) -> Iterator[None]:
        """Have every other memtui know meanwhile that what comes back is brought back.

        What cannot be known of, as of a record that is gone, is restored all the same.

        Raises:
            MemtuiError: ACTION_RUNS, where the action is not over.
        """
        with ExitStack() as locks:
            try:
                locks.enter_context(self._locked(report_id, fcntl.LOCK_SH))
            except BlockingIOError:
                raise MemtuiError(Reason.ACTION_RUNS) from None
            except (OSError, ValueError):
                pass
            yield

    def is_held_for_restore(self, report_id: str) -> bool:
        """Whether somebody restores it just now."""
        return self._is_locked(report_id, fcntl.LOCK_EX)

    def is_written(self, report_id: str) -> bool:
        """Whether its action still runs."""
        return self._is_locked(report_id, fcntl.LOCK_SH)

    def _is_locked(self, report_id: str, how: int) -> bool:
        try:
            with self._locked(report_id, how):
                return False
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            # There is no record, and so nobody who could hold it.
            return False

    @contextmanager
    def _locked(self, report_id: str, how: int) -> Iterator[None]:
        """Lock a record; who only asks whether it is locked holds it for a moment.

        Raises:
            BlockingIOError: somebody has it locked, for longer than a moment.
        """
        fd = os.open(self._path(report_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for attempt in range(_LOCK_ATTEMPTS):
                try:
                    fcntl.flock(fd, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == _LOCK_ATTEMPTS - 1:
                        raise
                    time.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(fd)

    def _path(self, report_id: str) -> Path:
        if not report_id or not all(char.isalnum() or char in "-." for char in report_id):
            raise ValueError("not the id of a report")
        return self._folder / f"{report_id}{_SUFFIX}"

    def _sweep(self, boot_id: str, known: Callable[[], set[str]] | None) -> None:
        """Remove records of other boots, once, and those that the ledger does not know.

        Then the oldest until the rest is within bounds, but none that could still be restored.
        """
        files = sorted(self._sizes(), reverse=True)
        if not self._swept:
            self._swept = True
            files = [file for file in files if not self._is_of_before(file[1], boot_id)]
        if known is not None:
            # The files were listed first: an action is in the ledger before its record is begun.
            ids = known()
            for report_id in {path.name.removesuffix(_SUFFIX) for _age, path, _size in files} - ids:
                if not self.is_written(report_id):
                    (self._folder / f"{report_id}{_SUFFIX}").unlink(missing_ok=True)
        total = looked_at = 0
        for number, (_age, path, size) in enumerate(files):
            total += size
            if number and (number >= MOST_FILES or total > MOST_BYTES) and looked_at < MOST_LOOKED_AT:
                looked_at += 1
                if not _is_restorable(path, boot_id):
                    path.unlink(missing_ok=True)

    def _is_of_before(self, path: Path, boot_id: str) -> bool:
        """Remove a record of another boot, or of a memtui that wrote it in two steps; tell whether it was."""
        process = _process_of(path)
        # Of one that is empty the header is about to be written.
        is_now = not _size_of(path) if process is None else process.boot_id == boot_id
        if path.suffix == _SUFFIX and is_now:
            return False
        path.unlink(missing_ok=True)
        return True

    def _sizes(self) -> Iterator[tuple[int, Path, int]]:
        for path in self._folder.iterdir():
            if path.suffix in (_SUFFIX, ".new"):
                # Another memtui may have removed it.
                with suppress(FileNotFoundError):
                    found = path.lstat()
                    yield found.st_mtime_ns, path, found.st_size


def words_of(error: OSError) -> str:
    """Return an error in words, with the file that it is about."""
    return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)


def _process_of(path: Path) -> ProcessId | None:
    """Return whose pages a record is about; None where that cannot be read."""
    try:
        with path.open("rb") as file:
            return process_of(file.readline(MOST_HEADER_BYTES))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_restorable(path: Path, boot_id: str) -> bool:
    """Whether the process of a record still lives, as far as it can be known."""
    process = _process_of(path)
    if process is None or process.boot_id != boot_id:
        return False
    try:
        return read_stat(process.pid).start_time == process.start_time
    except NoSuchProcess:
        return False
    except MemtuiError:
        return True

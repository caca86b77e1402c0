"""The record of the pages that an action moved: one file an action and target, beside the ledger.

A line of JSON says whose pages they are and which mappings they lay in; behind it stand the runs of
pages, as differences, compressed. It is of use only while the process lives, so that it need not
outlive a crash of the machine: nothing is fsynced.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.linux import machine
from memtui.model.process import ProcessId, Standing
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect, normalise
from memtui.model.vma import Kind, VmaIdentity

if TYPE_CHECKING:
    from memtui.linux.handle import ProcessHandle
    from memtui.model.report import TargetReport

MOST_FILES = 1000
MOST_BYTES = 64 << 20
"""What the folder may hold; the oldest go first."""

_SUFFIX = ".pages"
_FORMAT = 1
_MOST_HEADER_BYTES = 64 << 20
_MOST_RUNS_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Stretch:
    """A planned range that pages left: what was mapped there then."""

    range: Range
    identity: VmaIdentity
    kind: Kind


@dataclass(frozen=True, slots=True)
class MovedPages:
    """Which pages an action moved, of which process; no pages where that could not be seen.

    ``program`` tells one program of a process from the next that it became by exec.
    """

    process: ProcessId
    program: str
    stretches: tuple[Stretch, ...]
    pages: RangeSet


def moved_of(report: TargetReport, handle: ProcessHandle) -> MovedPages | None:
    """Return what a report says has moved; None where nothing has, or where the target is gone."""
    if not report.moved_bytes and not report.moved_pages:
        return None
    if not report.moved_pages:
        return MovedPages(handle.process, "", (), ())
    program = handle.program().text
    if handle.standing() is not Standing.ALIVE:
        return None
    stretches = tuple(
        Stretch(planned.range, planned.identity, planned.kind)
        for planned in (item.planned for item in report.ranges)
        if planned.identity is not None and planned.kind is not None
    )
    return MovedPages(handle.process, program, _with_pages(stretches, report.moved_pages), report.moved_pages)


def _with_pages(stretches: Sequence[Stretch], pages: RangeSet) -> tuple[Stretch, ...]:
    ordered = sorted(stretches, key=lambda item: item.range)
    touched = intersect(normalise(item.range for item in ordered), pages)
    found = []
    at = 0
    for item in ordered:
        while at < len(touched) and touched[at].end <= item.range.start:
            at += 1
        if at < len(touched) and touched[at].start < item.range.end:
            found.append(item)
    return tuple(found)


class PageRecords:
    """The folder of these files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = False

    def keep(self, report: TargetReport, handle: ProcessHandle) -> str | None:
        """Write the record of a report's pages, if any; return what went wrong, in words."""
        moved = moved_of(report, handle)
        if moved is None:
            return None
        try:
            self.write(report.id, moved)
        except OSError as error:
            return f"what it moved cannot be restored later: {_words_of(error)}"
        return None

    def write(self, report_id: str, moved: MovedPages) -> None:
        """Write one record, whole or not at all.

        Raises:
            OSError: if it cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(report_id)
        half = path.with_suffix(".new")
        fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(_encode(moved))
            os.replace(half, path)
        except OSError:
            half.unlink(missing_ok=True)
            raise

    def sweep(self, boot_id: str) -> str | None:
        """Remove what is too old, in the boot ``boot_id``; return what went wrong, in words."""
        try:
            self._sweep(boot_id)
        except FileNotFoundError:
            # There is no folder: nothing was ever kept.
            return None
        except OSError as error:
            return f"old records of moved pages cannot be removed: {_words_of(error)}"
        return None

    def read(self, report_id: str) -> MovedPages | None:
        """Return a record; None where there is none, or it cannot be read as one."""
        try:
            fd = os.open(self._path(report_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with open(fd, "rb") as file:
                return _decode(file.readline(_MOST_HEADER_BYTES), file.read(_MOST_RUNS_BYTES))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, zlib.error, struct.error):
            # Missing, cut off, or not ours: all of them mean that the pages are not known.
            return None

    @contextmanager
    def held_for_restore(self, report_id: str) -> Iterator[None]:
        """Have every other memtui know meanwhile that what comes back is brought back.

        What cannot be known of, as of a record that is gone, is restored all the same.
        """
        with ExitStack() as locks:
            with suppress(OSError, ValueError):
                locks.enter_context(self._locked(report_id, fcntl.LOCK_SH))
            yield

    def is_held_for_restore(self, report_id: str) -> bool:
        """Whether somebody restores it just now."""
        try:
            with self._locked(report_id, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return False
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            # There is no record, and so nothing to restore.
            return False

    @contextmanager
    def _locked(self, report_id: str, how: int) -> Iterator[None]:
        fd = os.open(self._path(report_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    def _path(self, report_id: str) -> Path:
        if not report_id or not all(char.isalnum() or char in "-." for char in report_id):
            raise ValueError("not the id of a report")
        return self._folder / f"{report_id}{_SUFFIX}"

    def _sweep(self, boot_id: str) -> None:
        """Remove records of other boots, once, and then the oldest until the rest is within bounds."""
        files = sorted(self._sizes(), reverse=True)
        if not self._swept:
            self._swept = True
            for _age, path, _size in files:
                if _boot_of(path) != boot_id:
                    path.unlink(missing_ok=True)
        total = 0
        for number, (_age, path, size) in enumerate(files):
            total += size
            if number and (number >= MOST_FILES or total > MOST_BYTES):
                path.unlink(missing_ok=True)

    def _sizes(self) -> Iterator[tuple[int, Path, int]]:
        for path in self._folder.iterdir():
            if path.suffix in (_SUFFIX, ".new"):
                # Another memtui may have removed it.
                with suppress(FileNotFoundError):
                    found = path.lstat()
                    yield found.st_mtime_ns, path, found.st_size


def _words_of(error: OSError) -> str:
    return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)


def _boot_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline(_MOST_HEADER_BYTES))["process"][2])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        # A half-written one of a memtui that writes just now: it is left to the next sweep.
        return machine.boot_id() if path.suffix == ".new" else None


def _encode(moved: MovedPages) -> bytes:
    header = {
        "format": _FORMAT,
        "page_bytes": PAGE_BYTES,
        "process": [moved.process.pid, moved.process.start_time, moved.process.boot_id],
        "program": moved.program,
        "stretches": [
            [item.range.start, item.range.end, item.kind.value, *item.identity] for item in moved.stretches
        ],
    }
    numbers: list[int] = []
    at = 0
    for run in moved.pages:
        start, end = run.start // PAGE_BYTES, run.end // PAGE_BYTES
        numbers += (start - at, end - start)
        at = end
    packed = zlib.compress(struct.pack(f"<{len(numbers)}Q", *numbers), 1)
    return json.dumps(header, separators=(",", ":")).encode("ascii") + b"\n" + packed


def _decode(line: bytes, packed: bytes) -> MovedPages:
    header = json.loads(line)
    if header["format"] != _FORMAT or header["page_bytes"] != PAGE_BYTES:
        raise ValueError("of another format")
    opened = zlib.decompressobj()
    data = opened.decompress(packed, _MOST_RUNS_BYTES)
    if not opened.eof:
        raise ValueError("cut off")
    numbers = struct.unpack(f"<{len(data) // 8}Q", data)
    pages = []
    at = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        at += gap
        pages.append(Range(at * PAGE_BYTES, (at + length) * PAGE_BYTES))
        at += length
    pid, start_time, boot_id = header["process"]
    stretches = tuple(
        Stretch(Range(start, end), VmaIdentity(name, perms, device, inode, delta), Kind(kind))
        for start, end, kind, name, perms, device, inode, delta in header["stretches"]
    )
    process = ProcessId(int(pid), int(start_time), str(boot_id))
    return MovedPages(process, str(header["program"]), stretches, normalise(pages))

"""The ledger: an event log, one JSON line an event, each in one write, mode 0600.

``start`` is on disk before the first call; an action with a start and no ``done`` was interrupted.
``back`` and ``restored`` may follow at any time. A line that cannot be read is skipped and counted,
never fatal. It can grow long: what is asked for most, its end, is read from the end. Its older part
stands in files of its own: see ``ledger_files``.
"""

from __future__ import annotations

import itertools
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.advise.ledger_files import Follower, LedgerFiles
from memtui.advise.pages_file import PageRecords
from memtui.json_line import json_line
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.model.values import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_FILE = "ledger.jsonl"
_BLOCK_BYTES = 1 << 18
_PLAIN_KEYS = tuple(b'{"event":"%b","id":"' % kind for kind in (b"start", b"done", b"back", b"restored"))


def now() -> str:
    """Return the time as records have it: RFC 3339 in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))


def new_action_id() -> str:
    """Return the id of a new action: the second in UTC, and a number.

    Numbers follow one another, so that this process gives no id twice. They begin anywhere among 2**32, so
    that another process, which may write the same ledger in the same second, gives others.
    """
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{next(_numbers) % 2**32:08x}"


def operator() -> dict[str, object]:
    """Return who we are: uid, login uid and audit session, the user behind sudo, terminal, SSH connection."""
    return {
        "uid": os.getuid(),
        "login_uid": _audit_number("loginuid"),
        "audit_session": _audit_number("sessionid"),
        "sudo_user": os.environ.get("SUDO_USER"),
        "tty": _tty(),
        "ssh_connection": os.environ.get("SSH_CONNECTION"),
    }


def is_same_operator(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether two records of who acted are of one operator: of one audit session where both have one.

    Where one has none: of the same uid, user behind sudo and terminal.
    """
    sessions = (one.get("audit_session"), other.get("audit_session"))
    if None not in sessions:
        return sessions[0] == sessions[1]
    return one.get("tty") is not None and all(
        one.get(name) == other.get(name) for name in ("uid", "sudo_user", "tty")
    )


def _audit_number(name: str) -> int | None:
    """Return a number that the audit subsystem keeps of a login; None where it is not set."""
    try:
        value = int(Path(f"/proc/self/{name}").read_text("ascii"))
    except (OSError, ValueError):
        return None
    # Unset is (uid_t)-1.
    return None if value == 0xFFFFFFFF else value


def _tty() -> str | None:
    for fd in (0, 1, 2):
        try:
            return os.ttyname(fd)
        except OSError:
            continue
    return None


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the ledger: its kind and its fields."""

    kind: str
    fields: Mapping[str, object]

    def text(self, name: str) -> str:
        """Return a field that must be text; empty if it is not."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int | None:
        """Return a field that must be a number of bytes; None if it is not."""
        return number(self.fields.get(name))

    def mapping(self, name: str) -> dict[str, object]:
        """Return a field that must be an object; empty if it is not."""
        value = self.fields.get(name)
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the ledger, oldest event first. ``is_whole`` is False where older lines were left out."""

    events: list[Event]
    torn_lines: int
    is_whole: bool


class Ledger:
    """The record of one operator on one machine. ``pages`` are the pages that its actions moved.

    ``read_bytes`` counts what was read of the file.
    """

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / _FILE
        self.pages = PageRecords(state_dir / "pages")
        self.read_bytes = 0
        self._files = LedgerFiles(self.path)

    def write(self, kind: str, fields: Mapping[str, object], *, to_disk: bool = False) -> None:
        """Append one event; with ``to_disk`` wait until it is on disk.

        Raises:
            MemtuiError: if it cannot be written.
        """
        line = (json_line({"event": kind, **fields}) + "\n").encode("ascii")
        try:
            self._files.append(line, to_disk=to_disk)
        except OSError as error:
            detail = f"{Reason.LEDGER_UNWRITABLE.text}: {error.strerror} ({error.filename or self.path})"
            raise MemtuiError(Reason.LEDGER_UNWRITABLE, "", detail) from error

    def follow(self) -> Callable[[], list[Event]]:
        """Return a function that returns the events that were appended since it was called last.

        It raises OSError where the ledger may not be read. Not for several threads.
        """
        follower = Follower(self._files)
        return lambda: [event for line in follower.new_lines() if (event := _event(line)) is not None]

    def sweep_pages(self, boot_id: str) -> str | None:
        """Remove records of pages that nobody can restore any more; return the system's words if it fails."""
        known = self._ids if self._files.has_dropped else None
        failed = self.pages.sweep(boot_id, known)
        if failed is None and known is not None:
            self._files.has_dropped = False
        return failed

    def _ids(self) -> set[str]:
        """Return the ids of all that the ledger knows of.

        Raises:
            MemtuiError: if the file is there and may not be read.
        """
        with self._open() as fds:
            keys = {_key_of(line) for _fd, _at, line in self._lines(fds)}
        return {key.decode("ascii", "replace") for key in keys if key is not None}

    def read(self) -> tuple[list[Event], int]:
        """Return all events, oldest first, and how many lines could not be read.

        Raises:
            MemtuiError: if the file is there and may not be read.
        """
        part = self.tail(None)
        return part.events, part.torn_lines

    def tail(self, starts: int | None) -> Part:
        """Return the events from the last ``starts`` starts on; all for None. Reads from the end.

        Raises:
            MemtuiError: if the file is there and may not be read.
        """
        events: list[Event] = []
        torn = found = 0
        for line in self._lines_backwards():
            if found == starts:
                events.reverse()
                return Part(events, torn, is_whole=False)
            event = _event(line)
            if event is None:
                torn += 1
            else:
                events.append(event)
                found += event.kind == "start"
        events.reverse()
        return Part(events, torn, is_whole=True)

    def find(self, wanted: str) -> list[Action]:
        """Return an action's targets by its id, or one of them by its own; empty if it is not there.

        Reads from the end, no further than it must.

        Raises:
            MemtuiError: if the file is there and may not be read.
        """
        if not wanted or not wanted.isascii():
            return []
        needle = f'"id":"{wanted}'.encode()
        events: list[Event] = []
        for line in self._lines_backwards():
            event = _event(line) if needle in line else None
            key = "" if event is None else event.text("id")
            if event is None or (key != wanted and not key.startswith(f"{wanted}.")):
                continue
            events.append(event)
            if event.kind == "start" and key in (wanted, f"{wanted}.1"):
                break
        return list(actions(reversed(events)))

    def stream(self, tell_torn: Callable[[int], None] | None = None) -> Iterator[Action]:
        """Yield all actions, oldest first, with no more in memory than where their lines stand.

        Lines that cannot be read are left out; ``tell_torn`` is called with their number at the end.

        Raises:
            MemtuiError: if the file is there and may not be read.
        """
        places: dict[bytes, list[tuple[int, int, int]]] = {}
        torn = 0
        with self._open() as fds:
            for fd, at, line in self._lines(fds):
                key = _key_of(line)
                if key is None:
                    torn += 1
                else:
                    places.setdefault(key, []).append((fd, at, len(line)))
            for spots in places.values():
                events = [_event(os.pread(fd, length, at)) for fd, at, length in spots]
                torn += events.count(None)
                yield from actions(event for event in events if event is not None)
        if tell_torn is not None:
            tell_torn(torn)

    @contextmanager
    def _open(self) -> Iterator[list[int]]:
        """Open the files of the ledger, the newest first; none where there is none yet.

        Raises:
            MemtuiError: if one may not be read, also while it is read.
        """
        try:
            with self._files.opened() as fds:
                yield fds
        except OSError as error:
            words = f"{error.strerror} ({error.filename or self.path})"
            detail = Detail(DetailCode.LEDGER_UNREADABLE, words=words)
            raise MemtuiError(Reason.LEDGER_UNWRITABLE, "", detail.text) from error

    def _lines(self, fds: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield each line that is not empty, with its file and its place there, the oldest first."""
        for fd in reversed(fds):
            rest = b""
            at = 0
            while block := os.pread(fd, _BLOCK_BYTES, at + len(rest)):
                self.read_bytes += len(block)
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    if line:
                        yield fd, at, line
                    at += len(line) + 1
            if rest:
                yield fd, at, rest

    def _lines_backwards(self) -> Iterator[bytes]:
        """Yield each line that is not empty, the last first."""
        with self._open() as fds:
            for fd in fds:
                yield from self._lines_of_backwards(fd)

    def _lines_of_backwards(self, fd: int) -> Iterator[bytes]:
        at = os.fstat(fd).st_size
        # The end of the line that the next block ends in: its parts, the last first.
        ends: list[bytes] = []
        while at > 0:
            count = min(_BLOCK_BYTES, at)
            at -= count
            head, *lines = os.pread(fd, count, at).split(b"\n")
            self.read_bytes += count
            if not lines:
                ends.append(head)
                continue
            lines[-1] += b"".join(reversed(ends))
            ends = [head]
            yield from filter(None, reversed(lines))
        yield from filter(None, [b"".join(reversed(ends))])


def _event(line: bytes) -> Event | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return None
    if not isinstance(fields.get("id"), str):
        return None
    return Event(fields.pop("event"), fields)


def _key_of(line: bytes) -> bytes | None:
    """Return the id of an event; None for a line that is none. Quick for lines as they are written."""
    for plain in _PLAIN_KEYS:
        if line.startswith(plain):
            end = line.find(b'"', len(plain))
            return line[len(plain) : end] if end >= 0 else None
    event = _event(line)
    return None if event is None else event.text("id").encode("ascii", "backslashreplace")


@dataclass(slots=True)
class Action:
    """One target of one action: its start, and what else the ledger says of it."""

    start: Event
    done: Event | None = None
    back: list[Event] = field(default_factory=list)
    restored: list[Event] = field(default_factory=list)

    @property
    def restored_bytes(self) -> int | None:
        """How much restores brought back in all; None if there was none, or nobody saw."""
        seen = [number for event in self.restored if (number := event.number("restored_bytes")) is not None]
        return sum(seen) if seen else None


def actions(events: Iterable[Event], *, is_whole: bool = True) -> Iterator[Action]:
    """Join events to actions, in the order of their starts.

    Without ``is_whole`` older lines were left out, and what has its start among them is, too.
    """
    found: dict[str, Action] = {}
    for event in events:
        key = event.text("id")
        if event.kind == "start":
            found.setdefault(key, Action(event))
        elif event.kind == "done":
            # Its start may be among the lines that could not be read.
            action = found.setdefault(key, Action(event)) if is_whole else found.get(key)
            if action is not None:
                action.done = event
        elif key in found and event.kind == "back":
            found[key].back.append(event)
        elif key in found and event.kind == "restored":
            found[key].restored.append(event)
    yield from found.values()

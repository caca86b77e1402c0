"""The ledger: an event log, one JSON line an event, each in one write, mode 0600.

``start`` is on disk before the first call; an action with a start and no ``done`` was interrupted.
A line that cannot be read is skipped and counted, never fatal.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from memtui.model import wire
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

_FILE = "ledger.jsonl"


def operator() -> dict[str, object]:
    """Return who we are: uid, login uid, the user behind sudo, terminal and SSH connection."""
    return {
        "uid": os.getuid(),
        "login_uid": _login_uid(),
        "sudo_user": os.environ.get("SUDO_USER"),
        "tty": _tty(),
        "ssh_connection": os.environ.get("SSH_CONNECTION"),
    }


def _login_uid() -> int | None:
    try:
        value = int(Path("/proc/self/loginuid").read_text("ascii"))
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
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def mapping(self, name: str) -> dict[str, object]:
        """Return a field that must be an object; empty if it is not."""
        value = self.fields.get(name)
        return value if isinstance(value, dict) else {}


class Ledger:
    """The record of one operator on one machine."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / _FILE

    def write(self, kind: str, fields: Mapping[str, object], *, to_disk: bool = False) -> None:
        """Append one event; with ``to_disk`` wait until it is on disk.

        Raises:
            MemtuiError: if it cannot be written.
        """
        line = (wire.line({"event": kind, **fields}) + "\n").encode("ascii")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self.path, flags, 0o600)
            try:
                # One write, so that two programs' lines do not mix (O_APPEND is atomic for files).
                whole = b"\n" + line if _ends_torn(fd) else line
                if os.write(fd, whole) != len(whole):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                if to_disk:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            detail = f"{Reason.LEDGER_UNWRITABLE.text}: {error.strerror} ({self.path})"
            raise MemtuiError(Reason.LEDGER_UNWRITABLE, "", detail) from error

    def read(self) -> tuple[list[Event], int]:
        """Return all events, oldest first, and how many lines could not be read.

        Raises:
            MemtuiError: if the file is there and may not be read.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            detail = f"the ledger cannot be read: {error.strerror} ({self.path})"
            raise MemtuiError(Reason.LEDGER_UNWRITABLE, "", detail) from error
        events: list[Event] = []
        torn = 0
        for line in data.split(b"\n"):
            if line:
                event = _event(line)
                if event is None:
                    torn += 1
                else:
                    events.append(event)
        return events, torn


def _ends_torn(fd: int) -> bool:
    """Whether the last line has no end, so that the next one would be lost with it."""
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


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


@dataclass(slots=True)
class Action:
    """One target of one action: its start, and what else the ledger says of it."""

    start: Event
    done: Event | None = None


def actions(events: list[Event]) -> Iterator[Action]:
    """Join events to actions, in the order of their starts."""
    found: dict[str, Action] = {}
    for event in events:
        key = event.text("id")
        if event.kind == "start":
            found.setdefault(key, Action(event))
        elif event.kind == "done":
            action = found.setdefault(key, Action(event))
            action.done = event
    yield from found.values()

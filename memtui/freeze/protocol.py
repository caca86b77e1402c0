"""What engine and guard say to each other: one JSON object a packet, over AF_UNIX SOCK_SEQPACKET.

A pidfd goes along with :class:`HoldRequest` (SCM_RIGHTS). Both sides are of one version, since the
engine starts the guard from its own files; ``version`` in :class:`Ready` makes sure of it.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Union

VERSION: Final = 2
MAX_PACKET_BYTES: Final = 16384
_MAX_TEXT: Final = 512
_MAX_FDS: Final = 4
_ROOM_FOR_FDS: Final = socket.CMSG_LEN(_MAX_FDS * array("i").itemsize)


class ProtocolError(Exception):
    """The other side said something that is not of this protocol."""


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Engine to guard, with the pidfd: hold this process. The guard answers Held or Refused.

    ``deadline_ms`` counts from the first thread that is touched to the end of the hold, whatever
    happens; ``timeout_ms`` is the time within which every thread must have stopped.
    """

    id: int
    pid: int
    start_time: int
    method: str
    deadline_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """Engine to guard: let go. The guard answers ReleasedReply."""

    id: int


@dataclass(frozen=True, slots=True)
class PanicRequest:
    """Engine to guard, on the second connection: let go of everything, now. There is no answer."""


@dataclass(frozen=True, slots=True)
class BystandersRequest:
    """Engine to guard, when nothing is held: who stopped because of a hold? The guard answers
    BystandersReply, within the second in which somebody still may.
    """


@dataclass(frozen=True, slots=True)
class BystandersReply:
    """Guard to engine: who stopped because of a hold and what was done, in words; empty for nobody."""

    words: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Guard to engine, once: everything is imported, requests may come."""

    version: int
    pid: int


@dataclass(frozen=True, slots=True)
class Held:
    """Guard to engine: every thread stands still. ``stopping_ms`` is what that took."""

    id: int
    threads: int
    stopping_ms: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Guard to engine: it is not held, and what was stopped of it has been let go.

    ``final`` tells that some thread can only be let go by the guard's end: it ends right after this.
    """

    id: int
    reason: str
    detail: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class ReleasedReply:
    """Guard to engine: the hold is over. ``why`` it ended early, if ``held_throughout`` is false."""

    id: int
    held_throughout: bool
    held_ms: float
    why: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """Guard to engine, on the second connection, in tests only: it stands at a stopping point."""

    at: str


@dataclass(frozen=True, slots=True)
class Dying:
    """Guard to engine: its last word, when it fails for a reason of its own."""

    detail: str


# Union[...] and no bar: it is evaluated at run time, and isinstance wants the classes.
Message = Union[  # noqa: UP007
    HoldRequest,
    ReleaseRequest,
    PanicRequest,
    BystandersRequest,
    BystandersReply,
    Ready,
    Held,
    Refused,
    ReleasedReply,
    Paused,
    Dying,
]
_KINDS: Final[dict[str, type[Message]]] = {
    "hold": HoldRequest,
    "release": ReleaseRequest,
    "panic": PanicRequest,
    "bystanders": BystandersRequest,
    "bystanders_are": BystandersReply,
    "ready": Ready,
    "held": Held,
    "refused": Refused,
    "released": ReleasedReply,
    "paused": Paused,
    "dying": Dying,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "str | None": (str, type(None)),
}


def encode(message: Message) -> bytes:
    """Return the packet of a message. Text too long for a packet is cut."""
    content: dict[str, Any] = {
        key: value[:_MAX_TEXT] if isinstance(value, str) else value for key, value in asdict(message).items()
    }
    # ASCII only: a process name may hold lone surrogates, which JSON escapes carry.
    return json.dumps({"op": _NAMES[type(message)], **content}).encode("ascii")


def decode(packet: bytes) -> Message:
    """Return the message of a packet.

    Raises:
        ProtocolError: if it is none.
    """
    try:
        content = json.loads(packet)
    except ValueError as error:
        raise ProtocolError("not JSON") from error
    if not isinstance(content, dict):
        raise ProtocolError("not an object")
    kind = _KINDS.get(str(content.pop("op", None)))
    if kind is None:
        raise ProtocolError("no such message")
    wanted = {field.name: _TYPES[str(field.type)] for field in fields(kind)}
    if wanted.keys() != content.keys():
        raise ProtocolError(f"{_NAMES[kind]}: other fields than {', '.join(wanted)}")
    for name, types in wanted.items():
        value = content[name]
        # bool is an int to Python, and no number to us.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ProtocolError(f"{_NAMES[kind]}: {name} is of another type")
    return kind(**content)


def send(connection: socket.socket, message: Message, fd: int | None = None, flags: int = 0) -> None:
    """Send a message, and an open file with it.

    Raises:
        OSError: EPIPE, ECONNRESET when the other side is gone.
    """
    # Not socket.send_fds and recv_fds: they take flags and do not hand them on (seen in 3.11).
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
    connection.sendmsg([encode(message)], rights, flags | socket.MSG_NOSIGNAL)


def receive(connection: socket.socket, flags: int = 0) -> tuple[Message, list[int]] | None:
    """Return the next message and the files that came with it, which are the caller's; None at the end.

    Raises:
        OSError: BlockingIOError with MSG_DONTWAIT; ECONNRESET.
        ProtocolError: as decode.
    """
    flags |= socket.MSG_CMSG_CLOEXEC
    packet, rights, _, _ = connection.recvmsg(MAX_PACKET_BYTES, _ROOM_FOR_FDS, flags)
    arrived = array("i")
    for level, kind, data in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            arrived.frombytes(data[: len(data) - len(data) % arrived.itemsize])
    fds = list(arrived)
    try:
        if not packet:
            for fd in fds:
                os.close(fd)
            return None
        return decode(packet), fds
    except ProtocolError:
        for fd in fds:
            os.close(fd)
        raise

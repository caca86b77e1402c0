"""What engine and guard say to each other: nothing is lost on the way, and nonsense is not taken in."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.freeze import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXT = st.text(st.characters(codec=None), max_size=300)
_NUMBER = st.integers(0, 1 << 63)
_MS = st.floats(0, 1e9, allow_nan=False)
_MESSAGES = st.one_of(
    st.builds(protocol.HoldRequest, _NUMBER, _NUMBER, _NUMBER, _TEXT, _NUMBER, _NUMBER),
    st.builds(protocol.ReleaseRequest, _NUMBER),
    st.just(protocol.PanicRequest()),
    st.builds(protocol.Ready, _NUMBER, _NUMBER),
    st.builds(protocol.Held, _NUMBER, _NUMBER, _MS),
    st.builds(protocol.Refused, _NUMBER, _TEXT, st.none() | _TEXT, st.booleans()),
    st.builds(protocol.ReleasedReply, _NUMBER, st.booleans(), _MS, st.none() | _TEXT, st.booleans()),
    st.just(protocol.BystandersRequest()),
    st.builds(protocol.BystandersReply, _TEXT),
    st.builds(protocol.Paused, _TEXT),
    st.builds(protocol.Dying, _TEXT),
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


@given(_MESSAGES)
def test_what_is_encoded_is_decoded(message: protocol.Message) -> None:
    packet = protocol.encode(message)
    assert packet.isascii()
    assert len(packet) <= protocol.MAX_PACKET_BYTES
    assert protocol.decode(packet) == message


def test_hostile_names_go_through_and_endless_ones_are_cut() -> None:
    hostile = "[/x]\x1b]0;y\x07\n\udcff\u202e"
    assert protocol.decode(protocol.encode(protocol.Dying(hostile))) == protocol.Dying(hostile)
    endless = protocol.encode(protocol.Refused(1, "\U0001f600" * 99_999, "\udcff" * 99_999, True))
    assert len(endless) <= protocol.MAX_PACKET_BYTES
    decoded = protocol.decode(endless)
    assert isinstance(decoded, protocol.Refused)
    assert decoded.final


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff\xfe",
        b"",
        b"[1]",
        b"{}",
        b'{"op": "no such"}',
        b'{"op": ["hold"]}',
        b'{"op": "release"}',
        b'{"op": "release", "id": "1"}',
        b'{"op": "release", "id": true}',
        b'{"op": "release", "id": 1.5}',
        b'{"op": "release", "id": 1, "more": 2}',
        b'{"op": "dying", "detail": null}',
    ],
)
def test_nonsense_is_refused(packet: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(packet)


def test_an_open_file_goes_along_and_is_not_inheritable(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    pidfd = os.pidfd_open(os.getpid())
    try:
        protocol.send(left, protocol.ReleaseRequest(7), pidfd)
        received = protocol.receive(right)
        assert received is not None
        message, (fd,) = received
        assert message == protocol.ReleaseRequest(7)
        assert os.path.samestat(os.fstat(fd), os.fstat(pidfd))
        assert not os.get_inheritable(fd)
        os.close(fd)
    finally:
        os.close(pidfd)


def test_files_that_come_with_nonsense_are_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    before = len(os.listdir("/proc/self/fd"))
    for packet in (json.dumps({"op": "nonsense"}).encode(), b"x"):
        socket.send_fds(left, [packet], [left.fileno(), right.fileno()])
        with pytest.raises(protocol.ProtocolError):
            protocol.receive(right)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_end_is_told(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    with pytest.raises(BlockingIOError):
        protocol.receive(right, socket.MSG_DONTWAIT)
    left.shutdown(socket.SHUT_RDWR)
    assert protocol.receive(right) is None


def test_a_full_socket_does_not_block_who_does_not_want_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    left, _ = pair

    def fill() -> None:
        for _ in range(100_000):
            protocol.send(left, protocol.PanicRequest(), flags=socket.MSG_DONTWAIT)

    with pytest.raises(BlockingIOError):
        fill()

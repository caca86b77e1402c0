"""A FUSE file system of one file, in a process of its own, which can be told to answer nothing any more.

It speaks to /dev/fuse itself (include/uapi/linux/fuse.h). What the kernel asks it goes unanswered from then
on, though it is read: whoever waits for it then cannot be killed, as with a server behind a dead network.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 3, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, RELEASEDIR, ACCESS, FORGET = 25, 26, 27, 29, 34, 2
ROOT, FILE = 1, 2
NAME = b"data"
SIZE = 1 << 20
MODE = {ROOT: 0o40755, FILE: 0o100644}


def _attributes(node: int) -> bytes:
    size = SIZE if node == FILE else 0
    head = struct.pack("=QQQQQQIII", node, size, size // 512, 0, 0, 0, 0, 0, 0)
    return head + struct.pack("=IIIIIII", MODE[node], 1, 0, 0, 0, 4096, 0)


def _answer(opcode: int, node: int, body: bytes) -> bytes | int:
    """Return the body of an answer, or an errno. Nothing is kept: each look asks anew."""
    if opcode == INIT:
        return struct.pack("=IIIIHHIIHHI", 7, 31, 1 << 16, 0, 16, 12, 1 << 16, 1, 0, 0, 0) + bytes(28)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != NAME:
            return 2
        return struct.pack("=QQQQII", FILE, 0, 0, 0, 0, 0) + _attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("=QII", 0, 0, 0) + _attributes(node)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("=QII", 1, 2, 0)  # FOPEN_KEEP_CACHE
    if opcode == READ:
        _handle, offset, size = struct.unpack_from("=QQI", body)
        return b"x" * max(0, min(size, SIZE - offset))
    if opcode == STATFS:
        return bytes(80)
    return b"" if opcode in (FLUSH, RELEASE, RELEASEDIR, ACCESS) else 38


def serve(place: str) -> None:
    """Mount it there, say so, and answer until it is unmounted; nothing more after SIGUSR1."""
    hung = False

    def hang(_number: int, _frame: FrameType | None) -> None:
        nonlocal hung
        hung = True

    signal.signal(signal.SIGUSR1, hang)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"memtui-test", place.encode(), b"fuse.memtui-test", 0, options):
        sys.exit(f"it cannot be mounted: {os.strerror(ctypes.get_errno())}")
    os.write(1, b"mounted\n")
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError as error:
            if error.errno == 19:  # ENODEV: unmounted
                return
            continue
        _size, opcode, unique, node = struct.unpack_from("=IIQQ", request)
        if hung or opcode == FORGET:
            continue
        answer = _answer(opcode, node, request[40:])
        code, data = (-answer, b"") if isinstance(answer, int) else (0, answer)
        os.write(device, struct.pack("=IiQ", 16 + len(data), code, unique) + data)


class FuseMount:
    """The file system, mounted; unmounted, and all who wait for it freed, at the end of the block."""

    def __init__(self, place: Path) -> None:
        self.file = place / NAME.decode()
        self._place = place
        self._server = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(place)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._server.stdout is not None
        self.is_mounted = self._server.stdout.readline() == b"mounted\n"

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Let nothing be answered any more; at the end the server dies, whereupon all who wait are freed."""
        self._server.send_signal(signal.SIGUSR1)
        try:
            yield
        finally:
            self._end_server()

    def _end_server(self) -> None:
        self._server.kill()
        self._server.wait()

    def __enter__(self) -> FuseMount:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_server()
        assert self._server.stdout is not None
        self._server.stdout.close()
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self._place)], check=True)


if __name__ == "__main__":
    serve(sys.argv[1])

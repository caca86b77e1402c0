"""What is pinned for I/O, as VmPin and the fdinfo of an io_uring have it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from memtui.linux import pinned
from memtui.linux.pinned import Pinned, pinned_memory
from memtui.model.ranges import PAGE_BYTES, Range

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
FDINFO = b"pos:\t0\nUserFiles:\t0\nUserBufs:\t%d\n%bPollList:\nCqOverflowList:\n"


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Files of a process: its status, and the fdinfo of one io_uring."""
    files = {"status": b"", "fdinfo": b""}
    monkeypatch.setattr(pinned, "read_process_file", lambda _pid, name: files[name])
    monkeypatch.setattr(pinned, "read_file", lambda _path: files["fdinfo"])
    monkeypatch.setattr(os, "listdir", lambda _path: ["3"])
    monkeypatch.setattr(os, "readlink", lambda _path: "anon_inode:[io_uring]")
    return files


def test_nothing_is_pinned(status: dict[str, bytes]) -> None:
    for text in (b"VmPin:\t       0 kB\n", b"Name:\tx\n"):
        status["status"] = text
        assert pinned_memory(1) == Pinned()


def test_the_buffers_of_an_io_uring_are_known_to_the_page(status: dict[str, bytes]) -> None:
    status["status"] = b"VmPin:\t    2052 kB\n"
    lines = b"    0: 0x7fd600000000/2097152\n    1: 0x7fd601000010/100\n    2: 0x0/0\n"
    status["fdinfo"] = FDINFO % (3, lines)
    start = 0x7FD601000000
    known = (Range(0x7FD600000000, 0x7FD600000000 + 2 * MIB), Range(start, start + PAGE_BYTES))
    assert pinned_memory(1) == Pinned(known, 0)


def test_of_the_rest_nothing_is_known(status: dict[str, bytes]) -> None:
    status["status"] = b"VmPin:\t    8192 kB\n"
    status["fdinfo"] = FDINFO % (0, b"")
    assert pinned_memory(1) == Pinned((), 8 * MIB)


def test_of_a_huge_page_the_kernel_counts_all(status: dict[str, bytes]) -> None:
    status["status"] = b"VmPin:\t    2048 kB\n"
    status["fdinfo"] = FDINFO % (1, b"    0: 0x7fd600001000/4096\n")
    assert pinned_memory(1).elsewhere_bytes == 0

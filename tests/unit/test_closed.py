"""What is closed keeps no number that another file may be given, and so acts on nobody."""

from __future__ import annotations

import errno
import mmap
import os
from typing import TYPE_CHECKING

import pytest

from memtui.advise.recheck import Recheck
from memtui.freeze.client import FreezeError, Guard
from memtui.linux.capabilities import reason_of
from memtui.linux.descriptor import Descriptor
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.proc_mem import MemoryFile
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.syscalls import MapQuery, PageScanner, process_madvise
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.process import Liveness, ProcessId
from memtui.model.ranges import Range
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def numbers_taken() -> Iterator[list[int]]:
    """Pidfds of ours, to be opened after something was closed: they get the numbers that it had."""
    opened: list[int] = []
    yield opened
    for number in opened:
        os.close(number)


def take_numbers(opened: list[int], count: int = 8) -> None:
    opened += [os.pidfd_open(os.getpid()) for _ in range(count)]


def test_a_descriptor_is_minus_one_once_it_is_closed() -> None:
    descriptor = Descriptor(os.open("/dev/null", os.O_RDONLY))
    number = descriptor.fileno()
    descriptor.close()
    assert descriptor.fileno() == -1
    again = os.open("/dev/null", os.O_RDONLY)
    assert again == number
    descriptor.close()
    os.close(again)


def test_a_closed_handle_reaches_nobody(numbers_taken: list[int]) -> None:
    handle = ProcessHandle(os.getpid())
    before = handle.pidfd
    reader = PageReader(handle)
    handle.close()
    take_numbers(numbers_taken)
    assert before in numbers_taken, "its number is another file's by now"
    assert (handle.pidfd, handle.maps.fileno(), handle.pagemap_fd) == (-1, -1, -1)
    assert handle.standing() is Liveness.CLOSED
    with pytest.raises(MemtuiError):
        reader.runs((Range(0x1000, 0x2000),))
    for ask in (handle.is_dead, handle.read_maps):
        with pytest.raises(MemtuiError) as told:
            ask()
        assert told.value.reason is Reason.CANCELLED, "neither dead, nor an exec, nor alive: nobody looks"
    handle.close()


def test_a_closed_pidfd_advises_nobody(numbers_taken: list[int]) -> None:
    memory = mmap.mmap(-1, 1 << 16)
    handle = ProcessHandle(os.getpid())
    handle.close()
    take_numbers(numbers_taken)
    with pytest.raises(OSError, match="Bad file descriptor") as told:
        process_madvise(handle.pidfd, (), 20)
    assert reason_of(told.value, handle) is Reason.CANCELLED
    memory.close()


def test_what_looks_at_pages_and_maps_keeps_no_number(numbers_taken: list[int]) -> None:
    with ProcessHandle(os.getpid()) as handle:
        assert handle.pagemap is not None
        scanner, query = PageScanner(handle.pagemap), MapQuery(handle.maps)
        plain = PageReader(handle, Source.PAGEMAP)
        Recheck(handle)
    take_numbers(numbers_taken)
    for ask in (lambda: scanner.scan(0, 4096, 1), lambda: query.at_or_after(0)):
        with pytest.raises(OSError, match="Bad file descriptor") as told:
            ask()
        assert told.value.errno == errno.EBADF
    with pytest.raises(MemtuiError):
        plain.runs((Range(0x1000, 0x2000),))


def test_closed_memory_is_not_another_file(tmp_path: Path) -> None:
    with MemoryFile(os.getpid()) as memory:
        pass
    path = tmp_path / "other"
    path.write_bytes(b"x" * 64)
    other = os.open(path, os.O_RDONLY)
    assert memory.read(0, 16) is None
    os.close(other)


def test_a_closed_guard_sends_no_signal(numbers_taken: list[int]) -> None:
    guard = Guard.start()
    guard.close()
    take_numbers(numbers_taken)
    assert guard._pidfd == -1
    assert not guard.is_alive()
    with pytest.raises(FreezeError):
        guard.hold(ProcessId(os.getppid(), 0, ""), numbers_taken[0], Freeze.PTRACE)
    guard.close()

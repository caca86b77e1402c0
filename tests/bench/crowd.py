"""What the benchmarks look at: a process of many VMAs, and a crowd of processes."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Behind each stretch is a hole, so that no two are one VMA.
_MANY_VMAS = """
import ctypes, mmap, sys
count, pages, touched = map(int, sys.argv[1:])
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
page = mmap.PAGESIZE
stride = (pages + 1) * page
start = libc.mmap(None, count * stride, 3, 0x4022, -1, 0)
for number in range(count):
    if libc.munmap(start + number * stride + pages * page, page):
        sys.exit("too many VMAs: see vm.max_map_count")
    if touched:
        libc.memset(start + number * stride, 1, touched * page)
print(start, stride, flush=True)
sys.stdin.read()
"""

_CROWD = """
import os, signal, sys
children = []
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    children.append(pid)
print("ready", flush=True)
sys.stdin.read()
for pid in children:
    os.kill(pid, signal.SIGKILL)
for pid in children:
    os.waitpid(pid, 0)
"""


class Crowded:
    """A process that was started for a benchmark; ``line`` is what it said when it was ready.

    ``last`` is what it said at its end.
    """

    def __init__(self, source: str, *arguments: int) -> None:
        command = [sys.executable, "-I", "-S", "-c", source, *map(str, arguments)]
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.popen.stdout is not None
        self.pid = self.popen.pid
        self.last = ""
        self.line = self.popen.stdout.readline().decode("ascii").split()

    def end(self) -> None:
        """End it, and with it its children."""
        self.last = self.popen.communicate(timeout=60)[0].decode("ascii")


@contextmanager
def many_vmas(count: int, pages: int = 8, touched: int = 4) -> Iterator[Crowded]:
    """Run a process with ``count`` VMAs of ``pages`` pages, the first ``touched`` of each in RAM."""
    process = Crowded(_MANY_VMAS, count, pages, touched)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def crowd(count: int) -> Iterator[Crowded]:
    """Run ``count`` processes that do nothing."""
    process = Crowded(_CROWD, count)
    try:
        yield process
    finally:
        process.end()

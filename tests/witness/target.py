"""A process that maps, unmaps and protects memory in two threads without end, and keeps a log of it.

Run with a file to map, a file for the log, a seed, and its pauses in ms. Its log is written when its
standard input closes. It is the standard library alone: nothing of memtui is in it.

A line is a thread, the time before the call (CLOCK_MONOTONIC, ns) and how much later it was after it, the
first page, how many pages, and the number of the state that they are in since; 0 is nothing mapped.
"""

from __future__ import annotations

import array
import ctypes
import os
import random
import sys
import threading
import time
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
PAGES = 256
THREADS = 2
OPERATIONS = 400_000
FIRST = 0x1000_0000_0000
APART = 1 << 30

_READ, _WRITE = 1, 2
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS, _POPULATE = 1, 2, 0x10, 0x20, 0x8000
_SHIFT_PAGES = 64

# perms, the flags of mmap, by how many pages the file is shifted (None: no file)
STATES: list[tuple[str, int, int | None]] = [
    ("----", 0, None),
    ("rw-p", _PRIVATE, None),
    ("r--p", _PRIVATE, None),
    ("r--p", _PRIVATE, 0),
    ("rw-p", _PRIVATE, 0),
    ("rw-p", _PRIVATE, _SHIFT_PAGES),
    ("rw-s", _SHARED, 0),
]
_PROTECTED = {1: 2, 2: 1, 3: 4, 4: 3}

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Sharer:
    """One thread with a stretch of addresses of its own."""

    def __init__(self, number: int, file: int, seed: str, pause_s: float) -> None:
        self.number = number
        self.start = FIRST + number * APART
        self.log = array.array("q", bytes(8 * 5 * OPERATIONS))
        self.count = 0
        self._file = file
        self._pause_s = pause_s
        self._random = random.Random(f"{seed}/{number}")
        self._pages = [0] * PAGES

    def work(self, stop: threading.Event) -> None:
        """Change the map until told to stop."""
        while not stop.is_set() and self.count < OPERATIONS - 4:
            for _ in range(self._random.randint(1, 3)):
                self._change()
            time.sleep(self._pause_s)

    def _change(self) -> None:
        first = self._random.randrange(PAGES)
        count = min(PAGES - first, self._random.choice((1, 2, 4, 8, 16, 64)))
        what = self._random.random()
        was = self._pages[first]
        if what < 0.4:
            self._do(first, count, 0)
        elif what < 0.55 and was in _PROTECTED:
            run = 1
            while run < count and self._pages[first + run] == was:
                run += 1
            self._do(first, run, _PROTECTED[was], protect=True)
        else:
            self._do(first, count, self._random.randrange(1, len(STATES)))

    def _do(self, first: int, count: int, state: int, protect: bool = False) -> None:
        address, size = self.start + first * PAGE, count * PAGE
        perms, flags, shift = STATES[state]
        rights = _READ | (_WRITE if "w" in perms else 0)
        at = 5 * self.count
        self.log[at + 2], self.log[at + 3], self.log[at + 4] = first, count, state
        self.log[at] = time.monotonic_ns()
        if state == 0:
            failed = libc.munmap(address, size) != 0
        elif protect:
            failed = libc.mprotect(address, size, rights) != 0
        else:
            flags |= _FIXED | _POPULATE | (_ANONYMOUS if shift is None else 0)
            file, offset = (-1, 0) if shift is None else (self._file, (first + shift) * PAGE)
            failed = libc.mmap(address, size, rights, flags, file, offset) != address
        self.log[at + 1] = time.monotonic_ns()
        if failed:
            raise OSError(ctypes.get_errno(), "the map could not be changed")
        self.count += 1
        self._pages[first : first + count] = [state] * count

    def lines(self) -> list[str]:
        """Return its log."""
        rows = (self.log[at : at + 5] for at in range(0, 5 * self.count, 5))
        return [f"{self.number} {row[0]} {row[1] - row[0]} {row[2]} {row[3]} {row[4]}" for row in rows]


def main() -> None:
    """Map and unmap until the standard input closes; write the log."""
    mapped, log, seed, pause_ms = sys.argv[1:]
    file = os.open(mapped, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, (PAGES + _SHIFT_PAGES) * PAGE)
    mappers = [Sharer(number, file, seed, float(pause_ms) / 1000) for number in range(THREADS)]
    stop = threading.Event()
    threads = [threading.Thread(target=mapper.work, args=(stop,)) for mapper in mappers]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    with Path(log).open("w", encoding="ascii") as out:
        for mapper in mappers:
            print("arena", mapper.number, mapper.start, PAGES, PAGE, mapper.count, file=out)
            for number, (perms, _flags, shift) in enumerate(STATES):
                inode = os.fstat(file).st_ino if shift is not None else 0
                delta = shift * PAGE - mapper.start if shift is not None else 0
                print("state", mapper.number, number, perms, inode, delta, file=out)
        for mapper in mappers:
            print("\n".join(mapper.lines()), file=out)


if __name__ == "__main__":
    main()

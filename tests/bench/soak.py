"""``python -m tests.bench.soak [--minutes N]``: the TUI among processes that come and go, for a long time.

500 processes a second begin and end, and the target maps and unmaps. The TUI must answer, raise nothing,
and grow neither in memory nor in open files nor in threads. Not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.crowd import Crowded
from tests.bench.screen import Screen
from tests.bench.table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

A_SECOND = 500
LIVES_MS = 100
VMAS = 2_000
MOST_GROWTH = 0.05
MOST_WAIT_S = 1.0
_KEYS = (b"\x1b[B", b"\x1b[B", b"\x1b[6~", b"\x1b[A", b"G", b"g", b"?", b"\x1b", b"x", b"\x1b")
_TROUBLE = re.compile(rb"Traceback|\b[A-Z]\w*(?:Error|Exception)\b")

_COMING_AND_GOING = """
import os, select, sys, time
rate, lives_ms = int(sys.argv[1]), int(sys.argv[2])
began, started = time.monotonic(), 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    while started < (time.monotonic() - began) * rate:
        started += 1
        if os.fork() == 0:
            time.sleep(lives_ms / 1000)
            os._exit(0)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
print(started, round(time.monotonic() - began), flush=True)
"""

_RESTLESS = """
import ctypes, mmap, random, select, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
page, chance, there = mmap.PAGESIZE, random.Random(1), []
def add():
    # Readable or writable by turns, so that neighbours stay apart.
    size = chance.randrange(1, 9) * page
    start = libc.mmap(None, size, 1 + 2 * (len(there) % 2), 0x22, -1, 0)
    if len(there) % 2:
        ctypes.memset(start, 1, page)
    there.append((start, size))
for _ in range(int(sys.argv[1])):
    add()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    for _ in range(8):
        at = chance.randrange(len(there))
        there[at], there[-1] = there[-1], there[at]
        libc.munmap(*there.pop())
        add()
"""


class Sample(NamedTuple):
    """What the TUI takes at a moment, and how long it took to answer a key, in seconds."""

    rss_bytes: int
    files: int
    threads: int
    answer_s: float | None


@contextmanager
def running(source: str, *arguments: int) -> Iterator[Crowded]:
    """Run a process for the time of the block."""
    process = Crowded(source, *arguments)
    try:
        yield process
    finally:
        process.end()


def soak(screen: Screen, seconds: float) -> tuple[list[Sample], set[str]]:
    """Press a key a second; return what was measured, and the words of all that looks like an exception."""
    samples: list[Sample] = []
    trouble: set[str] = set()
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        screen.press(_KEYS[number % len(_KEYS)])
        number += 1
        data, first = screen.read_until_quiet(MOST_WAIT_S, at_most_s=0.5)
        data += screen.read_for(0.5)
        trouble |= {found.decode("ascii") for found in _TROUBLE.findall(data)}
        proc = f"/proc/{screen.pid}"
        files, threads = len(os.listdir(f"{proc}/fd")), len(os.listdir(f"{proc}/task"))
        samples.append(Sample(screen.rss_bytes(), files, threads, first))
    return samples, trouble


def judge(samples: Sequence[Sample], trouble: set[str]) -> list[str]:
    """Print what was measured, and return what is wrong with it. The first third is the warm-up."""
    third = len(samples) // 3
    early, late = samples[third : 2 * third], samples[-third:]
    wrong = [f"on the screen: {words}" for words in sorted(trouble)]
    rows = []
    for name in ("rss_bytes", "files", "threads"):
        was, now = (statistics.median(getattr(item, name) for item in part) for part in (early, late))
        rows.append((name, f"{was:,.0f}", f"{now:,.0f}", f"{(now / was - 1) * 100:+.1f} %"))
        if now > was * (1 + MOST_GROWTH):
            wrong.append(f"{name} grew")
    answers = [item.answer_s for item in samples if item.answer_s is not None]
    silent = len(samples) - len(answers)
    print_table(("of the TUI", "after the warm-up", "at the end", "growth"), rows)
    worst, usual = max(answers, default=0.0) * 1000, statistics.median(answers or [0.0]) * 1000
    print(
        f"{len(samples)} keys: {usual:.1f} ms to the first byte, at most {worst:.0f} ms; {silent} without any"
    )
    if silent:
        wrong.append(f"{silent} keys were not answered within {MOST_WAIT_S} s")
    return wrong


def main() -> int:
    """Soak it, and return the exit code: 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    minutes = parser.parse_args().minutes
    with (
        tempfile.TemporaryDirectory() as state,
        running(_RESTLESS, VMAS) as target,
        running(_COMING_AND_GOING, A_SECOND, LIVES_MS) as others,
        Screen([sys.executable, "-m", "memtui", "--state-dir", state, "--pid", str(target.pid)]) as screen,
    ):
        screen.read_for(5)
        samples, trouble = soak(screen, minutes * 60)
    begun, seconds = others.last.split()
    print(f"{int(begun):,} processes came and went in {seconds} s")
    wrong = judge(samples, trouble)
    for words in wrong:
        print(f"wrong: {words}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a hold costs beside its calls, and how long the longest hold of a large PAGEOUT is."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host import Selection, Target
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import DEFAULT_HOLD_MS, Freeze
from memtui.model.plan import Mark, Plan
from memtui.model.report import TargetReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

METHODS = (Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP)
HOLDS = 200
THREADS = 10
VMAS = 1000
GIB = 1 << 30
SWAP_BYTES = 2 * GIB
PAGEOUTS = 3

_GOAL_MS = 5.0

# Every other page is read-only, so that each is a VMA of its own. A number on standard input is how
# many bytes to map and fill; the answer is their address.
_TARGET = """
import ctypes, mmap, sys, threading, time, zlib
threads, vmas, busy = map(int, sys.argv[1:])
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def work():
    block = bytes(1 << 20)
    while True:
        zlib.crc32(block) if busy else time.sleep(0.01)
def fill(size):
    address = libc.mmap(None, size, 3, 0x22, -1, 0)
    libc.memset(address, 1, size)
    return address
for _ in range(threads - 1):
    threading.Thread(target=work, daemon=True).start()
start = fill(vmas * mmap.PAGESIZE)
for number in range(0, vmas, 2):
    libc.mprotect(start + number * mmap.PAGESIZE, mmap.PAGESIZE, 1)
print(start, flush=True)
for line in sys.stdin:
    print(fill(int(line)), flush=True)
"""


class Clock:
    """Times the calls that the engine makes."""

    def __init__(self) -> None:
        self.calls_ms: list[float] = []
        self._real = syscalls.process_madvise

    def __enter__(self) -> Clock:
        syscalls.process_madvise = self._call
        return self

    def __exit__(self, *_: object) -> None:
        syscalls.process_madvise = self._real

    def _call(self, pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
        began = time.perf_counter()
        try:
            return self._real(pidfd, elements, advice, flags)
        finally:
            if elements:
                self.calls_ms.append((time.perf_counter() - began) * 1000)


@contextmanager
def running(threads: int, vmas: int, busy: bool = False) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A target, and where its VMAs begin."""
    command = [sys.executable, "-I", "-S", "-c", _TARGET, str(threads), str(vmas), str(int(busy))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd="/"
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def swap(size: int) -> Iterator[None]:
    """Swap of our own on a disk, preferred over all other."""
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

    fd, name = tempfile.mkstemp(prefix="memtui-bench-swap-", dir="/var/tmp")
    path = Path(name)
    try:
        os.posix_fallocate(fd, 0, size)
        run("mkswap", path)
        run("swapon", "--priority", "32767", path)
        try:
            yield
        finally:
            run("swapoff", path)
    finally:
        os.close(fd)
        path.unlink()


def marks_in(target: Target, start: int, size: int) -> tuple[Mark, ...]:
    """Mark all VMAs in a stretch."""
    rows = target.look().vmas
    return tuple(Mark(vma.range, vma.identity) for vma in rows if start <= vma.start < start + size)


def held(host: LocalHost, plan: Plan) -> TargetReport:
    """Apply a plan of one target and one hold."""
    (report,) = host.apply(plan)
    if report.holds != 1:
        raise RuntimeError(f"{report.holds} holds, {report.outcome.value}: {report.reason_text}")
    return report


def cost_of_a_hold(host: LocalHost, method: Freeze, ranges: int, busy: bool) -> None:
    """Print what many holds cost beside their calls."""
    beside: list[float] = []
    calls: list[float] = []
    with running(THREADS, VMAS, busy) as (process, start):
        target = host.open(process.pid)
        marks = marks_in(target, start, VMAS * os.sysconf("SC_PAGE_SIZE"))
        assert len(marks) >= VMAS - 1
        plan = host.plan(Advice.COLD, [Selection(target, marks[:ranges])], method)
        for _ in range(HOLDS):
            with Clock() as clock:
                report = held(host, plan)
            calls.append(sum(clock.calls_ms))
            beside.append(report.held_ms - calls[-1])
        target.release()
    middle, worst = statistics.median(beside), statistics.quantiles(beside, n=20)[-1]
    told = "" if busy else ("ok" if middle <= _GOAL_MS else "MISSED")
    print(
        f"{method.value:8} {'busy' if busy else 'idle':5} {min(ranges, len(marks)):>6} {middle:>9.2f}"
        f" {worst:>9.2f} {statistics.median(calls):>9.2f}  {told}"
    )


def longest_hold(host: LocalHost, method: Freeze, hold_ms: int) -> None:
    """Print how long the holds of a PAGEOUT of 1 GiB are."""
    for _ in range(PAGEOUTS):
        with running(THREADS, 2) as (process, _start):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{GIB}\n")
            process.stdin.flush()
            start = int(process.stdout.readline())
            target = host.open(process.pid)
            vma = next(vma for vma in target.look().vmas if vma.start <= start < vma.end)
            plan = host.plan(
                Advice.PAGEOUT, [Selection(target, (Mark(vma.range, vma.identity),))], method, hold_ms
            )
            with Clock() as clock:
                (report,) = host.apply(plan)
            target.release()
        longest, call = report.longest_held_ms, max(clock.calls_ms)
        moved = (report.moved_bytes or 0) >> 20
        told = "ok" if longest <= hold_ms + call else "MISSED"
        print(
            f"{method.value:8} {hold_ms:>8} {report.holds:>6} {longest:>9.0f} {call:>13.0f}"
            f" {report.elapsed_ms / 1000:>8.1f} {moved:>10}  {told}"
        )


def main() -> None:
    """Print both tables. Needs root and 2 GiB of disk in /var/tmp."""
    if os.geteuid() != 0:
        print("bench_hold: needs root")
        return
    with tempfile.TemporaryDirectory() as folder, LocalHost(Path(folder), None, Path(folder) / "h") as host:
        print(f"held_ms less the time in process_madvise, {HOLDS} holds; a target of {THREADS} threads and")
        print(f"{VMAS} VMAs; goal: a median of {_GOAL_MS} ms, idle")
        print("method   threads ranges median ms  p95 ms  calls ms")
        for method in METHODS:
            for ranges, busy in ((1, False), (VMAS, False), (VMAS, True)):
                cost_of_a_hold(host, method, ranges, busy)
        print()
        print("PAGEOUT of 1 GiB to a file on disk; goal: the longest hold at most hold-ms plus one call")
        print("method    hold-ms  holds longest ms longest call ms  whole s  MiB moved")
        with swap(SWAP_BYTES):
            for method in METHODS:
                for hold_ms in (DEFAULT_HOLD_MS, 50):
                    longest_hold(host, method, hold_ms)


if __name__ == "__main__":
    main()

"""How long a target stands still in one go, by a clock of its own, beside what memtui says of it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.freeze import DEFAULT_HOLD_MS, Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import TargetReport
from tests.bench.bench_hold import swap
from tests.bench.table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIB = 1 << 20
TIMES = 50
BUSY = 4
CASES = ((Advice.COLLAPSE, 300 * MIB), (Advice.PAGEOUT, 300 * MIB), (Advice.COLD, 300 * MIB))
SLACK_MS = 20

# A line of input maps that many bytes anew and fills them with small pages; an empty one asks for the
# largest gap that the clock has seen since the last answer, in nanoseconds.
_TARGET = """
import ctypes, sys, threading, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
largest = 0
def clock():
    global largest
    now = time.monotonic_ns
    last = now()
    while True:
        at = now()
        if at - last > largest:
            largest = at - last
        last = at
threading.Thread(target=clock, daemon=True).start()
address = size = 0
for line in sys.stdin:
    if line.strip():
        if size:
            libc.munmap(address, size)
        size = int(line)
        address = libc.mmap(None, size, 3, 0x22, -1, 0)
        libc.memset(address, 1, size)
        print(address, flush=True)
    else:
        print(largest, flush=True)
    largest = 0
"""


class Target:
    """A process with a clock of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TARGET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd="/",
        )

    def ask(self, line: object = "") -> int:
        """Send a line; return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that do nothing but compute."""
    command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    started = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(host: LocalHost, advice: Advice, size: int, method: Freeze, times: int) -> list[Sequence[float]]:
    """Return, of each action, the longest gap of the target's clock, the longest hold told, and its holds."""
    found = []
    for _ in range(times):
        target = Target()
        try:
            start = target.ask(size)
            opened = host.open(target.process.pid)
            plan = host.plan(advice, [Selection(opened, (Mark(Range(start, start + size), None),))], method)
            target.ask()
            (report,) = host.apply(plan)
            gap_ms = target.ask() / 1e6
            opened.release()
        finally:
            target.close()
        _require(report)
        found.append((gap_ms, report.longest_held_ms, report.holds, report.elapsed_ms))
    return found


def _require(report: TargetReport) -> None:
    if not report.holds:
        raise RuntimeError(f"{report.outcome.value}: {report.reason_text}")


def _row(name: str, load: int, found: list[Sequence[float]]) -> tuple[str, ...]:
    def of(column: int) -> list[str]:
        values = sorted(item[column] for item in found)
        cuts = statistics.quantiles(values, n=20, method="inclusive")
        return [f"{value:.0f}" for value in (cuts[9], cuts[18], values[-1])]

    limit = DEFAULT_HOLD_MS + SLACK_MS
    within = sum(item[0] <= limit for item in found) / len(found)
    holds = statistics.median(item[2] for item in found)
    whole = statistics.median(item[3] for item in found) / 1000
    return (name, str(load), *of(0), *of(1), f"{within:.0%}", f"{holds:.0f}", f"{whole:.1f}")


def main() -> None:
    """Print a row for each advice, with nothing beside and with busy processes. Needs root."""
    if os.geteuid() != 0:
        print("bench_felt: needs root")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder, LocalHost(Path(folder), None, Path(folder) / "h") as host:
        for load in (0, BUSY):
            for advice, size in CASES:
                with swap(1024 * MIB), busy(load):
                    rows.append(_row(advice.value, load, measure(host, advice, size, Freeze.PTRACE, TIMES)))
    print(f"300 MiB, {TIMES} times, ptrace, hold-ms {DEFAULT_HOLD_MS}; gap: by a clock in the target")
    print_table(
        (
            *("advice", "busy", "gap p50 ms", "gap p95", "gap max", "told p50 ms", "told p95", "told max"),
            *(f"gap <= {DEFAULT_HOLD_MS + SLACK_MS}", "holds", "whole s"),
        ),
        rows,
    )


if __name__ == "__main__":
    main()

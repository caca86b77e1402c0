"""A pass over all processes against psutil, and the whole program's CPU against htop's."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

import psutil

from memtui.linux.processes import ProcessList
from tests.bench.crowd import crowd
from tests.bench.screen import Screen, htop
from tests.bench.table import print_table

COUNTS = (100, 1_000, 5_000)
WATCH_S = 20.0
SETTLE_S = 6.0
_ATTRIBUTES = ["pid", "name", "username", "status", "memory_info", "cmdline"]


def main() -> None:
    """Print a row for each number of processes."""
    rows = []
    for count in COUNTS:
        there = len(psutil.pids())
        with crowd(max(0, count - there)):
            rows.append(_row(count))
    print_table(("processes", "pass ms", "psutil ms", "/psutil", "memtui CPU", "htop CPU", "/htop"), rows)
    print("goal: CPU at the default intervals at or below htop's")


def _row(count: int) -> tuple[str, ...]:
    processes = ProcessList()
    processes.read()
    ours, theirs = [], []
    for _ in range(5):
        began = time.perf_counter()
        processes.read()
        ours.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        list(psutil.process_iter(_ATTRIBUTES))
        theirs.append((time.perf_counter() - began) * 1000)
    mine, other = statistics.median(ours), statistics.median(theirs)
    cells = [f"{count:,}", f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}"]
    with tempfile.TemporaryDirectory() as state:
        cpu = _cpu([sys.executable, "-m", "memtui", "--state-dir", state])
    command = htop()
    if command is None:
        return (*cells, f"{cpu:.1%}", "none here", "-")
    of_htop = _cpu(command)
    return (*cells, f"{cpu:.1%}", f"{of_htop:.1%}", f"{cpu / of_htop:.2f}")


def _cpu(command: list[str]) -> float:
    """Return the share of a CPU that a program on a screen of 120x40 takes while nothing is pressed."""
    with Screen(command) as screen:
        screen.read_for(SETTLE_S)
        spent, began = screen.cpu_s(), time.monotonic()
        screen.read_for(WATCH_S)
        return (screen.cpu_s() - spent) / (time.monotonic() - began)

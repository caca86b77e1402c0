"""What goes over the line, and how soon: bytes a second and a key, keypress to first byte; against htop."""

from __future__ import annotations

import compileall
import statistics
import sys
import tempfile
import time
from pathlib import Path

import memtui
from tests.bench.crowd import crowd, many_vmas
from tests.bench.screen import Screen, htop
from tests.bench.table import print_table

IDLE_S = 20.0
KEYS = 60
SETTLE_S = 8.0
DOWN, PAGE_DOWN = b"\x1b[B", b"\x1b[6~"
_EMPTY_APP = "from textual.app import App; App().run()"


def main() -> None:
    """Print what was measured, a line each."""
    # As pipx and pip leave it: else a start from a checkout may compile what it imports each time.
    compileall.compile_dir(Path(memtui.__file__).parent, quiet=1)
    memtui_on = [sys.executable, "-m", "memtui", "--state-dir"]
    with tempfile.TemporaryDirectory() as state, many_vmas(60_000) as big:
        _print_start([*memtui_on, state], big.pid)
        with crowd(1000):
            _print_idle([sys.executable, "-m", "tests.ui.demo_fake"], [*memtui_on, state])
            _print_keys([*memtui_on, state, "--pid", str(big.pid)])


def _print_idle(fake: list[str], memtui: list[str]) -> None:
    others = htop()
    rows = [("a made-up machine, nothing changes", f"{_idle(fake):,.0f}", "-")]
    ours = _idle(memtui)
    theirs = _idle(others) if others else None
    rows.append(("memtui, 1,000 processes", f"{ours:,.0f}", f"{ours / theirs:.2f}" if theirs else "-"))
    rows.append(("htop", f"{theirs:,.0f}" if theirs else "none here", "1"))
    print_table(("nothing is pressed", "bytes a second", "/htop"), rows)
    print("goals: under 100 where nothing changes; at most 2 times htop")


def _idle(command: list[str]) -> float:
    with Screen(command) as screen:
        screen.read_for(SETTLE_S)
        began = time.monotonic()
        return len(screen.read_for(IDLE_S)) / (time.monotonic() - began)


def _print_keys(command: list[str]) -> None:
    rows = []
    with Screen(command) as screen:
        screen.read_for(SETTLE_S)
        for name, key, times in (("cursor down", DOWN, KEYS // 2), ("page down", PAGE_DOWN, KEYS)):
            sizes, delays = [], []
            for _ in range(times):
                # The live numbers go on meanwhile: the median leaves them out.
                screen.read_until_quiet(0.12)
                screen.press(key)
                data, first = screen.read_until_quiet(0.1)
                sizes.append(len(data))
                delays.append((first or 0.0) * 1000)
            rows.append(
                (
                    name,
                    f"{statistics.median(sizes):,.0f}",
                    f"{statistics.median(delays):.1f}",
                    f"{statistics.quantiles(delays, n=20)[-1]:.1f}",
                )
            )
    print_table(("a key, 60,000 VMAs", "bytes", "ms to first byte", "95th percentile"), rows)
    print("goals: 800 bytes (1,000 with the picture), a page 10,000; 20 ms at the 95th percentile")


def _print_start(command: list[str], pid: int) -> None:
    """Print after how long each shows something of use, side by side, and what memory it takes then."""
    empty = [sys.executable, "-c", _EMPTY_APP]
    of_one = [*command, "--pid", str(pid)]
    starts = {
        "an empty Textual app: its blank screen": (empty, b"\x1b[48;2;"),
        "memtui: the processes": (command, b"python"),
        "memtui --pid: the map of 60,000 VMAs": (of_one, b"rw-p"),
    }
    found: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(9):
        for name, (program, sign) in starts.items():
            found[name].append(_first_paint(program, sign) * 1000)
    least, middle = ([measure(times) for times in found.values()] for measure in (min, statistics.median))
    memory = [statistics.median(_rss_mib(program) for _ in range(3)) for program in (empty, command, of_one)]
    rows = [
        (
            name,
            f"{ms:.0f}",
            f"{ms / middle[0]:.2f}",
            f"{fast:.0f}",
            f"{fast / least[0]:.2f}",
            f"{mib:.0f}",
            f"{mib / memory[0]:.2f}",
        )
        for name, ms, fast, mib in zip(starts, middle, least, memory, strict=True)
    ]
    print_table(("first useful paint", "median ms", "ratio", "least ms", "ratio", "RSS MiB", "ratio"), rows)
    print("goals: 1.6, and 2.0 for the memory")


def _rss_mib(command: list[str]) -> float:
    with Screen(command) as screen:
        screen.read_for(SETTLE_S)
        return screen.rss_bytes() / 2**20


def _first_paint(command: list[str], sign: bytes) -> float:
    """Return after how many seconds a program first shows a sign of itself."""
    began = time.monotonic()
    with Screen(command) as screen:
        found = b""
        while sign not in found and time.monotonic() - began < 20:
            found += screen.read_for(0.002)
        return time.monotonic() - began

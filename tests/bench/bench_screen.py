"""What goes over the line, and how soon: bytes a second and a key, keypress to first byte; against htop."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

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
    with tempfile.TemporaryDirectory() as state, crowd(1000), many_vmas(60_000) as big:
        memtui = [sys.executable, "-m", "memtui", "--state-dir", state]
        _print_idle([sys.executable, "-m", "tests.ui.demo_fake"], memtui)
        _print_keys([*memtui, "--pid", str(big.pid)])
        _print_start([*memtui, "--pid", str(big.pid)])


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


def _print_start(command: list[str]) -> None:
    empty = [sys.executable, "-c", _EMPTY_APP]
    ours, theirs = [], []
    for _ in range(5):
        ours.append(_first_paint(command, b"rw-p"))
        theirs.append(_first_paint(empty, b"\x1b[?1049h"))
    with Screen(command) as screen:
        screen.read_for(SETTLE_S)
        rss = screen.rss_bytes()
    with Screen(empty) as screen:
        screen.read_for(2)
        empty_rss = screen.rss_bytes()
    mine, other = statistics.median(ours), statistics.median(theirs)
    print_table(
        ("", "first useful paint ms", "RSS MiB"),
        [
            ("memtui, 60,000 VMAs", f"{mine * 1000:.0f}", f"{rss / 2**20:.0f}"),
            ("an empty Textual app", f"{other * 1000:.0f}", f"{empty_rss / 2**20:.0f}"),
            ("ratio", f"{mine / other:.2f}", f"{rss / empty_rss:.2f}"),
        ],
    )
    print("goals: 1.6 and 2.0")


def _first_paint(command: list[str], sign: bytes) -> float:
    """Return after how many seconds a program first shows a sign of itself."""
    began = time.monotonic()
    with Screen(command) as screen:
        found = b""
        while sign not in found and time.monotonic() - began < 20:
            found += screen.read_for(0.005)
        return time.monotonic() - began

"""Live RSS of every VMA against what else tells it: smaps read whole, psutil, pmap -x."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from memtui.host.local import LocalHost
from tests.bench.crowd import many_vmas
from tests.bench.table import print_table

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = (1_000, 10_000, 60_000)
VISIBLE = 40


def median_ms(action: Callable[[], object], times: int = 7) -> float:
    """Return how long something takes."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent)


def main() -> None:
    """Print a row for each number of VMAs."""
    rows, visible = [], []
    for count in COUNTS:
        with many_vmas(count) as process:
            rows.append(_row(process.pid, count))
            visible.append(visible_ms(process.pid))
    print_table(
        ("VMAs", "memtui ms", "cold ms", "smaps ms", "/smaps", "cold/smaps", "psutil/", "pmap -x/"), rows
    )
    print(
        "goals at 60,000: /smaps at most 0.4, cold 0.6; psutil at least 10, pmap -x at least 5 times memtui"
    )
    for at, where in enumerate(("without the read of maps", "right behind it, with cold caches")):
        ticks = ", ".join(f"{ms[at]:.3f} at {count:,}" for ms, count in zip(visible, COUNTS, strict=True))
        ratio = visible[-1][at] / visible[0][at]
        print(f"a tick of {VISIBLE} visible rows, {where}, in ms: {ticks}; {ratio:.2f} times")
    print(
        "goal: a tick of the visible rows at 60,000 at most 1.5 times that at 1,000, the read of maps aside"
    )


def visible_ms(pid: int) -> tuple[float, float]:
    """Return how long a tick of the visible rows takes without the read of maps, and behind it."""
    with LocalHost() as host:
        target = host.open(pid)
        middle = len(target.look()) // 2
        on_screen = [vma.start for vma in target.look().vmas[middle : middle + VISIBLE]]
        real = target.handle.read_maps
        spent = []
        for reads in (False, True):

            def read_maps(last: bytes = b"", reads: bool = reads) -> bytes:
                nonlocal began
                if reads:
                    last = real(last)
                began = time.perf_counter()
                return last

            target.handle.read_maps = read_maps  # type: ignore[method-assign]
            ticks = []
            for _ in range(50):
                began = 0.0
                target.look(only=on_screen)
                ticks.append((time.perf_counter() - began) * 1000)
            spent.append(statistics.median(ticks))
        return spent[0], spent[1]


def _row(pid: int, vmas: int) -> tuple[str, ...]:
    smaps = Path(f"/proc/{pid}/smaps")

    def cold() -> None:
        with LocalHost() as host:
            host.open(pid).look()

    with LocalHost() as host:
        target = host.open(pid)
        target.look()
        # Side by side, so that what disturbs one disturbs the others.
        pairs = [(median_ms(target.look, 1), median_ms(smaps.read_bytes, 1)) for _ in range(9)]
        tick, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
        first = median_ms(cold, 5)
    few = 3 if vmas > 10_000 else 5
    by_psutil = median_ms(lambda: psutil.Process(pid).memory_maps(grouped=False), few)
    pmap = shutil.which("pmap")
    by_pmap = "none here"
    if pmap is not None:
        command = [pmap, "-x", str(pid)]
        run_ms = median_ms(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), few)
        by_pmap = f"{run_ms / tick:.1f}"
    return (
        f"{vmas:,}",
        f"{tick:.1f}",
        f"{first:.1f}",
        f"{plain:.1f}",
        f"{tick / plain:.2f}",
        f"{first / plain:.2f}",
        f"{by_psutil / tick:.1f}",
        by_pmap,
    )

"""How good PAGEOUT's forecast is, mapping by mapping, and what looking closely costs on 4 GiB."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from memtui.format import signed_size, size
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import sysinfo
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from tests.bench.bench_hold import swap
from tests.bench.table import print_table
from tests.kernel.mappings import CASES, Result, Stage, page_out
from tests.kernel.toolkit import MIB, PAGE, Child

GIB = 1 << 30
RUNS = 5


def main() -> None:
    """Print the table of forecasts, and the cost of one."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with LocalHost(place, journal_dir=place / "holds") as host:
            with swap(512 * MIB):
                _table(host)
            _cost(host)


def _table(host: LocalHost) -> None:
    shown: list[list[str]] = []
    every: list[Result] = []
    for name, arrange in CASES.items():
        with Stage() as stage:
            results = page_out(host, arrange(stage))
        every += results
        unknown = any(result.forecast is None for result in results)
        forecast = None if unknown else sum(result.forecast or 0 for result in results)
        effect = sum(result.effect for result in results)
        off = None if forecast is None else effect - forecast
        requested = sum(result.requested for result in results)
        words = [name.replace("_", " "), str(len(results))]
        shown.append([*words, size(requested), size(forecast), size(effect), signed_size(off)])
    print_table(("mapping", "VMAs", "requested", "forecast", "effect", "off by"), shown)
    close = sum(result.is_close for result in every)
    wrong = sum(not result.is_right for result in every)
    print(f"{len(every)} VMAs: {100 * close / len(every):.1f} % within 2 % or an LRU batch a CPU;", end=" ")
    print(f"wrong about anything happening: {wrong}")


def _cost(host: LocalHost) -> None:
    available = sysinfo.memory().available_bytes or 0
    wanted = 4 * GIB if available > 6 * GIB else GIB
    with Child() as child:
        start = child.map(wanted)
        child.do("dirty", address=start, size=wanted, step=PAGE)
        target = host.open(child.pid)
        try:
            for advice in Advice:
                took = []
                for _ in range(RUNS):
                    began = time.perf_counter()
                    mark = Mark(Range(start, start + wanted), None)
                    host.plan(advice, [Selection(target, (mark,))], Freeze.OFF)
                    took.append((time.perf_counter() - began) * 1000)
                print(
                    f"plan {advice.value} of {size(wanted)}, all resident: {statistics.median(took):.0f} ms"
                )
        finally:
            target.release()

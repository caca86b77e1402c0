"""A plan of many one-page VMAs against the same advice in single calls from a tight loop."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.advise import ledger, measurement
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import pagemap, procfs, syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import PAGE_BYTES, Range
from tests.bench.bench_hold import Clock
from tests.bench.crowd import many_vmas
from tests.bench.table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTS = (2_000, 60_000)
TIMES = 5


def main() -> None:
    """Print a row for each number of VMAs, and what the larger takes of the smaller."""
    rows, whole = [], []
    for count in COUNTS:
        with many_vmas(count, pages=1, touched=1) as process, tempfile.TemporaryDirectory() as state:
            start, stride = int(process.line[0]), int(process.line[1])
            ranges = [(start + n * stride, start + n * stride + PAGE_BYTES) for n in range(count)]
            singles_s, calls_s, batched_s, whole_s = _least(process.pid, ranges, Path(state))
        whole.append(whole_s)
        rows.append(
            (
                f"{count:,}",
                *(f"{value * 1000:.1f}" for value in (singles_s, calls_s, batched_s, whole_s)),
                f"{singles_s / calls_s:.1f}",
                f"{whole_s / singles_s:.1f}",
            )
        )
    print_table(
        ("VMAs", "singles ms", "our calls ms", "bare batches ms", "plan to report ms", "singles/", "whole/"),
        rows,
    )
    print(f"60,000 takes {whole[1] / whole[0]:.1f} times what 2,000 takes")
    print(
        "goals at 2,000: calls at least 8 times faster, the whole at most 3 times the singles; then 35 times"
    )


def _least(pid: int, ranges: Sequence[tuple[int, int]], state: Path) -> tuple[float, float, float, float]:
    """Return the least that each way takes, in seconds: singles, our calls, bare batches, plan to report.

    Smaps and fsync are left out of the last: what they take is the machine's, not ours.
    """
    number = Advice.COLD.number
    real_fsync, os.fsync = os.fsync, lambda _fd: None
    found = []
    try:
        with LocalHost(state, journal_dir=state / "holds") as host:
            target = host.open(pid)
            identities = {vma.start: vma.identity for vma in target.look().vmas}
            marks = tuple(Mark(Range(start, end), identities[start]) for start, end in ranges)
            for _ in range(TIMES):
                began = time.perf_counter()
                for item in ranges:
                    syscalls.process_madvise(target.handle.pidfd, (item,), number)
                singles_s = time.perf_counter() - began
                began = time.perf_counter()
                for at in range(0, len(ranges), 256):
                    syscalls.process_madvise(target.handle.pidfd, ranges[at : at + 256], number)
                batched_s = time.perf_counter() - began
                with Clock() as clock, _NoSmaps() as smaps:
                    began = time.perf_counter()
                    plan = host.plan(Advice.COLD, [Selection(target, marks)], Freeze.OFF)
                    (report,) = host.apply(plan)
                    whole_s = time.perf_counter() - began - smaps.spent_s
                assert report.advised_bytes == len(ranges) * PAGE_BYTES, report.reason_text
                found.append((singles_s, sum(clock.calls_ms) / 1000, batched_s, whole_s))
    finally:
        os.fsync = real_fsync
    assert ledger.Ledger(state).path.exists()
    singles, calls, batched, whole = (min(column) for column in zip(*found, strict=True))
    return singles, calls, batched, whole


class _NoSmaps:
    """Counts what reading and parsing smaps takes, wherever it is done."""

    _USERS = (pagemap, measurement)

    def __init__(self) -> None:
        self.spent_s = 0.0

    def __enter__(self) -> _NoSmaps:
        def read_smaps(pid: int) -> object:
            began = time.perf_counter()
            try:
                return procfs.read_smaps(pid)
            finally:
                self.spent_s += time.perf_counter() - began

        for user in self._USERS:
            user.read_smaps = read_smaps  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        for user in self._USERS:
            user.read_smaps = procfs.read_smaps  # type: ignore[attr-defined]

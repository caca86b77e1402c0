"""The engine under the witness: random transactions on the target, each with a line of JSON about it.

Run under strace, as ``python -m tests.witness.drive PID METHOD COUNT SEED FOLDER``. What it logs is what
was marked and what memtui reports; what was really advised is for strace to say.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.advise import alignment, recheck, transaction
from memtui.host import Selection, Target
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import TargetReport
from tests.witness.target import APART, FIRST, PAGE, PAGES, THREADS

if TYPE_CHECKING:
    from collections.abc import Sequence

OFTEN = 25
"""How often the map is read before the first call of a hold, and again after the last call."""


class MapReader:
    """Reads the map around every call of a transaction, and counts how many different ones it saw."""

    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self._real = syscalls.process_madvise
        self.begin(Freeze.OFF, 0, 0)
        # Before the engine takes it: all its calls go by here.
        syscalls.process_madvise = self._call

    def begin(self, method: Freeze, pid: int, often: int) -> None:
        """Begin a transaction."""
        self._method, self._pid, self._often = method, pid, often
        self.seen: list[bytes] = []

    def _call(self, pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
        if not elements:
            return self._real(pidfd, elements, advice, flags)
        if self._method is Freeze.OFF:
            # Leaves the target time to change the map between the re-check and the call.
            time.sleep(self._random.choice((0, 0, 0.0002, 0.001)))
            return self._real(pidfd, elements, advice, flags)
        self._look()
        try:
            return self._real(pidfd, elements, advice, flags)
        finally:
            self._look()

    def _look(self) -> None:
        for _ in range(self._often):
            self.seen.append(Path(f"/proc/{self._pid}/maps").read_bytes())


def marks_of(target: Target, chance: random.Random) -> list[Mark]:
    """Choose a few ranges of VMAs that stand there now; some reach over their VMA's end."""
    arenas = [FIRST + number * APART for number in range(THREADS)]
    there = [
        vma
        for vma in target.look().vmas
        if any(start <= vma.start < start + PAGES * PAGE for start in arenas)
    ]
    marks: list[Mark] = []
    at = 0
    for vma in sorted(chance.sample(there, min(len(there), chance.randint(1, 6))), key=lambda vma: vma.start):
        pages = (vma.end - vma.start) // PAGE
        start = max(at, vma.start + PAGE * (0 if chance.random() < 0.5 else chance.randrange(pages)))
        if start >= vma.end:
            continue
        whole = chance.random() < 0.4
        end = vma.end if whole else start + PAGE * chance.choice((1, 2, 4, 16, 64))
        marks.append(Mark(Range(start, end), vma.identity))
        at = end
    return marks


def clocks() -> tuple[int, int]:
    """Return the same moment on the monotonic and on the real clock, in ns: the closest of some tries."""
    tries = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(5)]
    before, real, after = min(tries, key=lambda three: three[2] - three[0])
    return (before + after) // 2, real


def row_of(report: TargetReport) -> dict[str, object]:
    """Return what memtui says of a transaction."""
    return {
        "freeze": report.freeze.value,
        "outcome": report.outcome.value,
        "reason": report.reason.value if report.reason else None,
        "holds": report.holds,
        "calls": report.calls,
        "advised": report.advised_bytes,
        "ranges": [
            [
                item.planned.range.start,
                item.planned.range.end,
                item.planned.goes,
                item.advised_bytes,
                item.outcome.value,
            ]
            for item in report.ranges
        ],
    }


def main() -> None:
    """Run the transactions."""
    pid, method, count = int(sys.argv[1]), Freeze(sys.argv[2]), int(sys.argv[3])
    chance, folder = random.Random(sys.argv[4]), Path(sys.argv[5])
    maps = MapReader(chance)
    usual = alignment.CALL_ELEMENTS
    with (
        (folder / "driver.log").open("w", encoding="ascii") as log,
        LocalHost(folder / "state", journal_dir=folder / "holds") as host,
    ):
        target = host.open(pid)
        for number in range(count):
            monotonic, real = clocks()
            begin = time.monotonic_ns()
            marks = marks_of(target, chance)
            # Sometimes the target has time to change what was marked; often a hold has several calls.
            time.sleep(chance.choice((0, 0, 0.001, 0.003)))
            alignment.CALL_ELEMENTS = chance.choice((1, 2, usual))
            # Small plans are not rehearsed by themselves.
            rehearsed = chance.random() < 0.5
            transaction._REHEARSE_FROM, recheck._QUERY_S = (1, 1.0) if rehearsed else (64, 0.0)
            plan = host.plan(Advice.COLD, [Selection(target, tuple(marks))], method)
            maps.begin(method, pid, OFTEN if number % 10 == 0 else 1)
            (report,) = host.apply(plan)
            row = {
                "number": number,
                "pid": pid,
                "method": method.value,
                "monotonic": monotonic,
                "real": real,
                "begin": begin,
                "end": time.monotonic_ns(),
                "marks": [[mark.range.start, mark.range.end, *_identity(mark)] for mark in marks],
                "rehearsed": rehearsed,
                "maps_read": len(maps.seen),
                "maps_seen": len(set(maps.seen)),
                **row_of(report),
            }
            print(json.dumps(row), file=log)
        target.release()


def _identity(mark: Mark) -> tuple[str, int, int]:
    assert mark.identity is not None
    return mark.identity.perms, mark.identity.inode, mark.identity.delta or 0


if __name__ == "__main__":
    main()

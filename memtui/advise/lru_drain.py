"""The second pass of a thorough PAGEOUT: for pages that wait in a batch of some CPU.

A page just touched stands in a batch of its CPU (at most 31 pages) before it comes into an LRU list,
and reclaim does not see it there. The call empties the batch of the CPU that it runs on
(lru_add_drain() in madvise_pageout(), mm/madvise.c), so it is made on each CPU in turn.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from memtui.advise.alignment import Alignment, Call, calls_of
from memtui.advise.segments import Segment, Segments
from memtui.linux import sysinfo
from memtui.model.pages import RawRun, resident
from memtui.model.verdict import Expectation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memtui.linux.pagemap import PageReader
    from memtui.model.plan import TargetPlan

SECOND_PASS_SHARE = 0.25
"""How much of a hold's time is kept for it."""


class LruDrain:
    """Finds what stayed and was expected to go, CPU after CPU. Not for several threads at once."""

    def __init__(self, planned: TargetPlan, reader: PageReader, grain: Alignment) -> None:
        self._reader = reader
        self._grain = grain
        self.was_on_all_cpus = False
        """Whether the last :meth:`calls` came to an end on every CPU that is online."""
        self._expected = [item.goes and item.verdict.will is not Expectation.NO for item in planned.ranges]

    def calls(
        self, called: Segments, goes_on: Callable[[int], bool], budget: Callable[[], int]
    ) -> Iterator[Call]:
        """Yield the calls of each CPU, with the calling thread on that CPU until the next is asked for.

        ``goes_on`` says whether there is time for a call of so many bytes, ``budget`` how large it may be.
        The thread's own CPUs are given back at the end, however that comes. A CPU that we may not run
        on is left out.

        Raises:
            MemtuiError: if the target has gone.
        """
        pieces = [piece for piece in called if self._expected[piece.owner]]
        ours = os.sched_getaffinity(0)
        self.was_on_all_cpus = False
        missed = False
        try:
            for cpu in sysinfo.online_cpus():
                if not pieces:
                    break
                if not goes_on(0) or not _move_to(cpu):
                    missed = True
                    continue
                pieces, runs = self._left(pieces)
                for call in calls_of(Segments.of(pieces), runs, self._grain, budget):
                    if goes_on(call.cost_bytes):
                        yield call
                    else:
                        missed = True
                        break
            self.was_on_all_cpus = not missed
        finally:
            # A cpuset that shrank meanwhile has moved us already.
            with suppress(OSError):
                os.sched_setaffinity(0, ours)

    def _left(self, pieces: Sequence[Segment]) -> tuple[list[Segment], list[RawRun]]:
        """Return, of ascending pieces, the stretches from the first page in RAM to the last, and the runs."""
        runs = self._reader.raw_runs(pieces)
        there = resident(runs) if runs is not None else ()
        found = []
        at = 0
        for piece in pieces:
            while at < len(there) and there[at].end <= piece.start:
                at += 1
            start = end = 0
            while at < len(there) and there[at].start < piece.end:
                low, high = max(there[at].start, piece.start), min(there[at].end, piece.end)
                start, end = start or low, high
                if there[at].end > piece.end:
                    break
                at += 1
            if end:
                found.append(Segment(start, end, piece.owner))
        return found, runs or []


def _move_to(cpu: int) -> bool:
    """Run on one CPU only; False where that is not ours to choose."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        # Not online, or outside of our cpuset.
        return False
    return True

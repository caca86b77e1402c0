"""The transaction on one target: [ hold > re-check > scan > calls > scan > release ]*, then the report.

While a target is held nothing happens but that: no smaps, no fsync, no word to the screen.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.advise.alignment import Alignment, calls_of, collapsible, populated_bytes
from memtui.advise.batch_sizer import BatchSizer
from memtui.advise.batching import MANY_PIECES, Batches
from memtui.advise.headroom import BRINGS_IN, Headroom
from memtui.advise.lru_drain import SECOND_PASS_SHARE, LruDrain
from memtui.advise.priority import raised_priority
from memtui.advise.range_stats import RangeStats, add_seen
from memtui.advise.recheck import Checked, Recheck
from memtui.advise.segments import Segments
from memtui.advise.vector import Adviser, CallResult, advise_vector
from memtui.linux.capabilities import reason_of
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.pages import PRESENT, SWAPPED, RawRun
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.model.report import Progress

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from memtui.freeze.client import Guard, Hold, Released
    from memtui.linux.pagemap import PageReader
    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.plan import TargetPlan
    from memtui.model.ranges import Range, RangeSet

GUARD_DEADLINE_MS = 2000
"""After this the guard lets a target go by itself, whatever we do."""

_REHEARSE_FROM = MANY_PIECES

_GOES_ON_UNHELD = frozenset(
    {
        Reason.FREEZE_REFUSED,
        Reason.FREEZE_DENIED,
        Reason.FREEZE_TRACED,
        Reason.FREEZE_TIMEOUT,
        Reason.FREEZE_NO_GUARD,
        Reason.FREEZE_NO_JOURNAL,
    }
)
"""Why a hold may fail and the plan go on without, where the operator left the choice to us."""


class HoldFailed(Exception):
    """The target could not be held still."""

    def __init__(self, error: MemtuiError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class Context:
    """What a transaction works with."""

    handle: ProcessHandle
    reader: PageReader
    adviser: Adviser
    grain: Alignment
    holder: Callable[[], Guard] | None
    cancelled: threading.Event
    on_progress: Callable[[Progress], None] | None = None
    on_moved: Callable[[Segments, Segments, RangeSet], None] | None = None
    """Told after each hold, once its target runs: what was called, what of it raced, which pages left RSS."""


@dataclass(slots=True)
class Execution:
    """How a transaction went. ``stopped`` is why it ended before its end, with ``detail`` in words."""

    tallies: RangeStats
    freeze: Freeze
    freeze_text: str | None = None
    calls: int = 0
    holds: int = 0
    held_ms: float = 0.0
    longest_held_ms: float = 0.0
    stopped: Reason | None = None
    detail: str | None = None
    done_bytes: int = 0
    moved_pages: list[Range] = field(default_factory=list)
    hold_was_lost: bool = False
    """What moved in that hold is not known."""
    batches_emptied: bool = True
    """Of a second pass: that it came to all CPUs, each time."""
    holder: Guard | None = None
    """Who held it last."""


class Transaction:
    """Gives one advice to the ranges of one target, hold after hold."""

    def __init__(
        self, planned: TargetPlan, advice: Advice, hold_ms: int, tools: Context, *, thorough: bool = False
    ) -> None:
        twice = thorough and advice is Advice.PAGEOUT
        self._again = LruDrain(planned, tools.reader, tools.grain) if twice else None
        self._planned = planned
        self._advice = advice
        self._hold_s = hold_ms / 1000
        self._tools = tools
        self._identities = [item.identity for item in planned.ranges]
        self._recheck = Recheck(tools.handle, planned.layout)
        self._requested_bytes = planned.requested_bytes
        self._sizer = BatchSizer(advice, self._hold_s)
        self._batches = Batches(
            planned, advice, tools.grain.huge_page_bytes, tools.reader, self._recheck, self._sizer
        )
        self._headroom = Headroom(tools.handle.pid) if advice in BRINGS_IN else None
        self._looks: list[tuple[Segments, list[RawRun], list[RawRun]]] = []
        self.course = Execution(RangeStats(planned.ranges), planned.freeze)

    def run(self) -> Execution:
        """Work through the plan; return how it went. Raises nothing that the kernel can cause."""
        course = self.course
        try:
            while len(self._batches.left) and course.stopped is None:
                if self._tools.cancelled.is_set():
                    course.stopped = Reason.CANCELLED
                elif self._tools.handle.is_dead():
                    course.stopped = Reason.EXITED
                else:
                    self._turn()
        except MemtuiError as error:
            course.stopped, course.detail = error.reason, error.words
        return course

    def _turn(self) -> None:
        """Do as much as one hold, or one call where nothing is held."""
        held = self.course.freeze is not Freeze.OFF
        batch = self._batches.take(held)
        if not held:
            self._batches.put_back(self._work(batch, [], None))
            return
        try:
            with raised_priority():
                leftover, pause_s = self._held_turn(batch)
        except HoldFailed as failed:
            self._hold_failed(batch, failed.error)
            return
        self._batches.put_back(leftover)
        if len(self._batches.left) and self.course.stopped is None:
            # Between two holds the target runs at least as long as it was held.
            self._tools.cancelled.wait(pause_s)

    def _hold_failed(self, batch: Segments, error: MemtuiError) -> None:
        self._batches.put_back(batch)
        if self._planned.freeze_is_ours and error.reason in _GOES_ON_UNHELD:
            self.course.freeze = Freeze.OFF
            self._sizer.run_on()
            self.course.freeze_text = Detail(DetailCode.NOT_HELD, words=error.words).text
        else:
            self.course.stopped, self.course.detail = error.reason, error.words

    def _held_turn(self, batch: Segments) -> tuple[Segments, float]:
        """Hold, work, release; return what is left of the batch, and how long it was held in seconds."""
        tools, course = self._tools, self.course
        assert tools.holder is not None
        if len(batch) >= _REHEARSE_FROM:
            self._recheck.rehearse(batch, self._identities)
        self._tell(holding=True)
        if tools.cancelled.is_set():
            return batch, 0.0
        try:
            holder = course.holder = tools.holder()
            hold = holder.hold(self._planned.process, tools.handle.pidfd, course.freeze, GUARD_DEADLINE_MS)
        except MemtuiError as error:
            raise HoldFailed(error) from error
        called: list[Segments] = []
        try:
            # It stands still from when it is being stopped. The second pass has its part of it too.
            self._sizer.hold_from(hold.began, 1 - SECOND_PASS_SHARE if self._again else 1)
            leftover = self._work(batch, called, hold)
        finally:
            released = holder.release(hold)
            self._sizer.released()
            course.holds += 1
            course.held_ms += released.held_ms
            course.longest_held_ms = max(course.longest_held_ms, released.held_ms)
        if released.held_throughout:
            self._add_looks()
        else:
            self._lost(Segments.joined(called), released)
        self._tell(holding=False)
        return leftover, released.held_ms / 1000

    def _lost(self, called: Segments, released: Released) -> None:
        """Record a hold that ended early: what was seen of its pieces is certain no more, and dropped."""
        self._looks.clear()
        course = self.course
        course.hold_was_lost = True
        if self._tools.handle.is_ending():
            course.stopped, course.detail = Reason.EXITED, None
        elif self._tools.cancelled.is_set():
            # We were told to let it go: by the operator, or by a signal that ends us.
            course.stopped, course.detail = Reason.CANCELLED, Detail(DetailCode.LET_GO).text
        else:
            course.stopped, course.detail = Reason.FREEZE_LOST, released.why
        if course.stopped is not Reason.CANCELLED:
            course.tallies.add("lost_bytes", called)

    def _work(self, batch: Segments, called: list[Segments], hold: Hold | None) -> Segments:
        """Re-check, scan, call, scan; return what time did not suffice for. ``called`` grows with each call.

        Where it is not held one call's worth is done, and the map is looked at again after it.
        """
        held = hold is not None
        tallies = self.course.tallies
        checked = self._check(batch, held=held)
        tallies.add("changed_bytes", Segments.of(checked.changed))
        tallies.add("gone_bytes", Segments.of(checked.gone))
        pieces = Segments.of(checked.standing)
        before = self._runs(pieces)
        if self._advice is Advice.COLLAPSE:
            pieces = self._only_collapsible(pieces, before)
        if hold is not None:
            self._batches.looked(len(batch), time.monotonic() - hold.began, self._hold_s)
        leftover = self._call(pieces, before, called, held=held)
        worked_on = Segments.joined(called)
        if called and self._again is not None and self.course.stopped is None:
            self._ask_again(worked_on, hold)
        if called and self.course.stopped not in (Reason.EXITED, Reason.EXECED):
            self._look_after(worked_on, before, running=not held)
        return leftover

    def _check(self, pieces: Segments, *, held: bool = False, anew: bool = False) -> Checked:
        if held or len(pieces) < MANY_PIECES:
            return self._recheck.check(pieces, self._identities)
        return self._recheck.check_by_text(pieces, self._identities, anew=anew)

    def _runs(self, pieces: Segments) -> list[RawRun] | None:
        return self._tools.reader.raw_runs(pieces.spans)

    def _only_collapsible(self, pieces: Segments, before: list[RawRun] | None) -> Segments:
        if before is None:
            return pieces
        wanted = collapsible(pieces, before, self._tools.grain.huge_page_bytes)
        tallies = self.course.tallies
        tallies.add("empty_bytes", pieces)
        tallies.add("empty_bytes", wanted, (start - end for start, end in wanted.spans))
        return wanted

    def _call(
        self, pieces: Segments, before: list[RawRun] | None, called: list[Segments], *, held: bool
    ) -> Segments:
        """Give the advice call by call; return what was left when the time or the room was used up."""
        course, tools, sizer = self.course, self._tools, self._sizer
        # Not knowing what is populated, all of it counts as if it were.
        unknown = PRESENT | SWAPPED
        runs = before if before is not None else [(start, end, unknown) for start, end in pieces.spans]
        one_round = held or self._is_little(pieces, runs)
        for call in calls_of(pieces, runs, tools.grain, self._call_budget):
            over = called and not (one_round and sizer.fits(call.cost_bytes))
            if over or tools.cancelled.is_set() or course.stopped is not None:
                break
            if self._headroom is not None and (reason := self._headroom.why_not(call)) is not None:
                course.stopped = reason
                break
            began = time.monotonic()
            result = self._give(call.elements)
            sizer.took(call.cost_bytes, time.monotonic() - began)
            for taken in result.taken:
                course.tallies.add("advised_bytes", taken)
            for piece, number in result.failed:
                course.tallies.set("errno", piece.owner, number)
            called.append(call.elements)
            course.done_bytes += call.elements.size_bytes
            if result.fatal is None and tools.handle.is_dead():
                course.stopped = Reason.EXITED
            if not held:
                self._tell(holding=False)
        return _behind(pieces, called)

    def _call_budget(self) -> int:
        """Return how much the next call may work on."""
        allowed_bytes = self._sizer.call_bytes()
        return allowed_bytes if self._headroom is None else min(allowed_bytes, self._headroom.look())

    def _give(self, call: Segments) -> CallResult:
        """Make a call; an error that concerns the whole target ends the transaction."""
        tools, course = self._tools, self.course
        result = advise_vector(tools.adviser, call, self._advice.number)
        course.calls += result.calls
        if result.fatal is not None:
            course.stopped = reason_of(result.fatal, tools.handle)
            if course.stopped is Reason.ZOMBIE:
                # It was none when it was chosen.
                course.stopped = Reason.EXITED
            course.detail = os.strerror(result.fatal.errno or 0)
        return result

    def _ask_again(self, called: Segments, hold: Hold | None) -> None:
        """Give what stayed a second pass. What it advises was counted the first time."""
        assert self._again is not None
        tools, course, sizer = self._tools, self.course, self._sizer
        if hold is not None:
            sizer.hold_from(hold.began)

        def goes_on(cost_bytes: int) -> bool:
            return not tools.cancelled.is_set() and sizer.fits(cost_bytes)

        for call in self._again.calls(called, goes_on, sizer.call_bytes):
            began = time.monotonic()
            if self._give(call.elements).fatal is not None:
                break
            sizer.took(call.cost_bytes, time.monotonic() - began)
        course.batches_emptied = course.batches_emptied and self._again.was_on_all_cpus

    def _is_little(self, pieces: Segments, runs: Sequence[RawRun]) -> bool:
        """Whether all of it is no more work than may be done between two looks at the map."""
        ahead = self._tools.grain.read_ahead_bytes
        if ahead and any(owner in ahead for owner in pieces.owners):
            return False
        return populated_bytes(runs) <= self._batches.round_bytes(pieces)

    def _look_after(self, called: Segments, before: list[RawRun] | None, running: bool) -> None:
        """Look at the pages again. Of a target that runs, the map must then still be what it was."""
        after = None if before is None else self._runs(called)
        raced = Segments()
        if running:
            checked = self._check(called, anew=True)
            raced = Segments.of([*checked.changed, *checked.gone])
            self.course.tallies.add("raced_bytes", raced)
            # What raced says nothing of the advice.
            called = Segments.of(checked.standing)
        if before is not None and after is not None:
            self._looks.append((called, before, after))
        if running:
            self._add_looks(raced)

    def _add_looks(self, raced: Segments | None = None) -> None:
        """Count what was seen, now that the target is known to have been there all the time.

        Of one that exits or execs all pages are gone: that is not what the advice did.
        """
        for called, before, after in self._looks:
            moved = add_seen(self.course.tallies, called, before, after, self._advice)
            self.course.moved_pages.extend(moved)
            self._tell_moved(called, moved, raced)
        self._looks.clear()

    def _tell_moved(self, called: Segments, moved: RangeSet, raced: Segments | None) -> None:
        if self._tools.on_moved is not None and (moved or raced):
            self._tools.on_moved(called, raced or Segments(), moved)

    def _tell(self, holding: bool) -> None:
        if self._tools.on_progress is not None:
            with suppress(RuntimeError):  # a screen that is closing must not end a transaction
                self._tools.on_progress(
                    Progress(
                        self._planned.name,
                        self.course.done_bytes,
                        self._requested_bytes,
                        self.course.calls,
                        holding,
                    )
                )


def _behind(pieces: Segments, called: Sequence[Segments]) -> Segments:
    """Return what of ascending ``pieces`` lies behind the last called one."""
    reached = called[-1].ends[-1] if called else 0
    first = bisect_right(pieces.ends, reached)
    rest = pieces[first:]
    if not len(rest) or rest.starts[0] >= reached:
        return rest
    return Segments([reached, *rest.starts[1:]], rest.ends, rest.owners)

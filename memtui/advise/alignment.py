"""Cutting ranges into the elements of calls, and elements into calls.

A call holds the target's mmap lock from its first element to its last (Linux 6.15 and later), so
that its size is a promise to the target: at most 32 MiB of populated memory and 256 elements.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from memtui.advise.segments import Segment, Segments
from memtui.model.advice import Advice
from memtui.model.pages import PRESENT, SWAPPED, ZERO, RawRun
from memtui.model.ranges import Range, inner_aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CALL_BYTES = 32 << 20
"""Populated memory in one call."""
CALL_ELEMENTS = 256
CALL_SPAN_BYTES = 0x7FFFF000
"""Addresses in one call; beyond it the kernel cuts in silence (MAX_RW_COUNT)."""
PIECE_BYTES = 1 << 30
"""How large a piece of one range is at most, so that scanning it does not take long."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where cuts may fall: huge pages stay whole; a file's read-ahead bounds WILLNEED's elements."""

    advice: Advice
    huge_page_bytes: int
    read_ahead_bytes: dict[int, int]
    """By the index of the planned range; only those with a file behind them."""
    unseen: frozenset[int] = frozenset()
    """Planned ranges of which the page table does not tell what will be read in: shared memory."""


class Call(NamedTuple):
    """The elements of a call, ascending, and what the kernel will have to work on.

    ``charged_bytes`` of the cost are charged to the target's memory cgroup if the advice brings pages in.
    """

    elements: Segments
    cost_bytes: int
    charged_bytes: int


def calls_of(
    pieces: Segments, runs: Sequence[RawRun], grain: Alignment, budget: Callable[[], int]
) -> Iterator[Call]:
    """Yield the calls for ascending ``pieces``, given the runs of populated pages in them.

    Before each call ``budget`` says how much populated memory it may work on, huge pages apart: those
    stay whole.
    """
    total_bytes, size_bytes = populated_bytes(runs), pieces.size_bytes
    least = _least_budget(pieces, total_bytes, grain)
    at = 0
    while at < len(pieces) and least is not None and least <= budget():
        part = pieces[at : at + CALL_ELEMENTS]
        at += len(part)
        # There is too little of it to be worth weighing: as if it were spread evenly.
        cost = min(part.size_bytes, -(-total_bytes * part.size_bytes // size_bytes))
        yield Call(part, cost, cost)
    if at < len(pieces):
        yield from _weighed_calls(pieces[at:], _Meter(runs, grain), grain, budget)


def _weighed_calls(
    pieces: Segments, meter: _Meter, grain: Alignment, budget: Callable[[], int]
) -> Iterator[Call]:
    call: list[Segment] = []
    cost = charged = span = 0
    allowed = budget()
    for piece in pieces:
        start = piece.start
        while start < piece.end:
            end = _element_end(piece, start, meter, grain, allowed)
            element_cost = meter.cost(start, end, piece.owner)
            is_full = len(call) >= CALL_ELEMENTS or span + end - start > CALL_SPAN_BYTES
            if call and (is_full or cost + element_cost > allowed):
                yield Call(Segments.of(call), cost, charged)
                call, cost, charged, span = [], 0, 0, 0
                # It may be another one by now, and so may the element.
                allowed = budget()
                continue
            call.append(Segment(start, end, piece.owner))
            cost += element_cost
            charged += 0 if piece.owner in grain.read_ahead_bytes else element_cost
            span += end - start
            start = end
    if call:
        yield Call(Segments.of(call), cost, charged)


def _least_budget(pieces: Segments, total_bytes: int, grain: Alignment) -> int | None:
    """Return with how much a call only the number of elements makes several: then nothing is weighed."""
    if grain.advice in (Advice.COLLAPSE, Advice.WILLNEED) or not pieces:
        return None
    # However full they are.
    least = CALL_ELEMENTS * max([end - start for start, end in pieces.spans])
    return least if pieces.size_bytes > CALL_SPAN_BYTES else min(least, total_bytes)


def populated_bytes(runs: Sequence[RawRun]) -> int:
    """Return how much is populated, in bytes."""
    return sum([end - start for start, end, _state in runs])


def collapsible(pieces: Segments, runs: Sequence[RawRun], huge_page_bytes: int) -> Segments:
    """Return the whole huge pages of ``pieces`` in which anything is populated, each on its own.

    One that is empty fails the element it stands in with EINVAL, though its neighbours collapse; so does
    one with nothing but the zero page in it.
    """
    starts = sorted(
        {
            start
            for low, high, state in runs
            if state & (PRESENT | ZERO) == PRESENT or state & SWAPPED
            for start in range(low // huge_page_bytes * huge_page_bytes, high, huge_page_bytes)
        }
    )
    found: list[Segment] = []
    for piece in pieces:
        inner = inner_aligned(Range(piece.start, piece.end), huge_page_bytes)
        if inner is not None:
            inside = starts[bisect_left(starts, inner.start) : bisect_left(starts, inner.end)]
            found.extend(Segment(start, start + huge_page_bytes, piece.owner) for start in inside)
    return Segments.of(found)


class _Meter:
    """What a stretch costs to advise: the bytes in it that the kernel will work on."""

    def __init__(self, runs: Sequence[RawRun], grain: Alignment) -> None:
        counted = {Advice.WILLNEED: SWAPPED, Advice.COLLAPSE: PRESENT | SWAPPED}.get(grain.advice, PRESENT)
        # These cost their size: a huge page is copied; what comes of a file or of shared memory is not seen.
        self._all = grain.advice is Advice.COLLAPSE
        self._whole_owners = grain.read_ahead_bytes.keys() | grain.unseen
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = []
        total = 0
        for start, end, state in runs:
            if state & counted:
                self._starts.append(start)
                self._ends.append(end)
                self._before.append(total)
                total += end - start

    def _up_to(self, address: int) -> int:
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return 0
        return self._before[at] + min(address, self._ends[at]) - self._starts[at]

    def cost(self, start: int, end: int, owner: int) -> int:
        """Return the cost of a stretch of a planned range, in bytes."""
        if self._all or owner in self._whole_owners:
            return end - start
        return self._up_to(end) - self._up_to(start)

    def reach(self, start: int, budget_bytes: int, owner: int) -> int | None:
        """Return the address up to which a stretch from ``start`` costs no more; None if none is hit."""
        if owner in self._whole_owners:
            return start + budget_bytes
        wanted = self._up_to(start) + budget_bytes
        at = bisect_right(self._before, wanted) - 1
        if at < 0:
            return None
        address = self._starts[at] + wanted - self._before[at]
        return address if address < self._ends[at] else None


def _element_end(piece: Segment, start: int, meter: _Meter, grain: Alignment, allowed_bytes: int) -> int:
    """Return where the element ends that begins at ``start`` of a piece."""
    if grain.advice is Advice.COLLAPSE:
        # Each is one huge page already.
        return piece.end
    if piece.owner in grain.read_ahead_bytes:
        return min(start + grain.read_ahead_bytes[piece.owner], piece.end)
    reach = meter.reach(start, allowed_bytes, piece.owner)
    limit = min(start + CALL_SPAN_BYTES, piece.end, piece.end if reach is None else reach)
    if limit >= piece.end:
        return limit
    # A cut inside a huge page would split it (measured: docs/kernel-facts.md 3.7).
    cut = limit // grain.huge_page_bytes * grain.huge_page_bytes
    if cut <= start:
        cut = (start // grain.huge_page_bytes + 1) * grain.huge_page_bytes
    return min(cut, piece.end)

"""Cutting ranges into the elements of calls, and elements into calls.

A call holds the target's mmap lock from its first element to its last (Linux 6.15 and later), so
that its size is a promise to the target: at most 32 MiB of populated memory and 256 elements.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import sub

from memtui.advise.pieces import Piece, Pieces
from memtui.model.advice import Advice
from memtui.model.pages import PRESENT, SWAPPED, ZERO, RawRun
from memtui.model.ranges import Range, inner_aligned

CALL_BYTES = 32 << 20
"""Populated memory in one call."""
CALL_ELEMENTS = 256
CALL_SPAN_BYTES = 0x7FFFF000
"""Addresses in one call; beyond it the kernel cuts in silence (MAX_RW_COUNT)."""
PIECE_BYTES = 1 << 30
"""How large a piece of one range is at most, so that scanning it does not take long."""


@dataclass(frozen=True, slots=True)
class Grain:
    """Where cuts may fall: huge pages stay whole; a file's read-ahead bounds WILLNEED's elements."""

    advice: Advice
    huge_page_bytes: int
    read_ahead_bytes: dict[int, int]
    """By the index of the planned range; only those with a file behind them."""


def calls_of(
    pieces: Pieces, runs: Sequence[RawRun], grain: Grain, call_bytes: int = CALL_BYTES
) -> Iterator[Pieces]:
    """Yield the calls for ascending ``pieces``, given the runs of populated pages in them.

    ``call_bytes`` is how much populated memory a call may work on, huge pages apart: those stay whole.
    """
    if _is_only_many(pieces, runs, grain, call_bytes):
        yield from (pieces[at : at + CALL_ELEMENTS] for at in range(0, len(pieces), CALL_ELEMENTS))
        return
    meter = _Meter(runs, grain.advice)
    call: list[Piece] = []
    cost = span = 0
    for element, element_cost in _elements(pieces, meter, grain, call_bytes):
        size = element.end - element.start
        full = len(call) >= CALL_ELEMENTS or cost + element_cost > call_bytes or span + size > CALL_SPAN_BYTES
        if call and full:
            yield Pieces.of(call)
            call, cost, span = [], 0, 0
        call.append(element)
        cost += element_cost
        span += size
    if call:
        yield Pieces.of(call)


def _is_only_many(pieces: Pieces, runs: Sequence[RawRun], grain: Grain, call_bytes: int) -> bool:
    """Whether only the number of elements makes several calls: then there is nothing to weigh."""
    if grain.advice in (Advice.COLLAPSE, Advice.WILLNEED) or not pieces:
        return False
    if max(map(sub, pieces.ends, pieces.starts)) * CALL_ELEMENTS <= call_bytes:
        # However full they are.
        return True
    return pieces.size_bytes <= CALL_SPAN_BYTES and populated_bytes(runs) <= call_bytes


def populated_bytes(runs: Sequence[RawRun]) -> int:
    """Return how much is populated, in bytes."""
    return sum([end - start for start, end, _state in runs])


def collapsible(pieces: Pieces, runs: Sequence[RawRun], huge_page_bytes: int) -> Pieces:
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
    found: list[Piece] = []
    for piece in pieces:
        inner = inner_aligned(Range(piece.start, piece.end), huge_page_bytes)
        if inner is not None:
            inside = starts[bisect_left(starts, inner.start) : bisect_left(starts, inner.end)]
            found.extend(Piece(start, start + huge_page_bytes, piece.owner) for start in inside)
    return Pieces.of(found)


class _Meter:
    """What a stretch costs to advise: the bytes in it that the kernel will work on."""

    def __init__(self, runs: Sequence[RawRun], advice: Advice) -> None:
        counted = {Advice.WILLNEED: SWAPPED, Advice.COLLAPSE: PRESENT | SWAPPED}.get(advice, PRESENT)
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

    def cost(self, start: int, end: int) -> int:
        """Return the cost of a stretch, in bytes."""
        return self._up_to(end) - self._up_to(start)

    def reach(self, start: int, budget_bytes: int) -> int | None:
        """Return the address up to which a stretch from ``start`` costs no more; None if none is hit."""
        wanted = self._up_to(start) + budget_bytes
        at = bisect_right(self._before, wanted) - 1
        if at < 0:
            return None
        address = self._starts[at] + wanted - self._before[at]
        return address if address < self._ends[at] else None


def _elements(
    pieces: Sequence[Piece], meter: _Meter, grain: Grain, call_bytes: int
) -> Iterator[tuple[Piece, int]]:
    for piece in pieces:
        if grain.advice is Advice.COLLAPSE:
            # Each is one huge page already, and its cost is the copying of it.
            yield piece, piece.end - piece.start
        elif piece.owner in grain.read_ahead_bytes:
            yield from _read_ahead_elements(piece, grain.read_ahead_bytes[piece.owner])
        else:
            yield from _metered_elements(piece, meter, grain.huge_page_bytes, call_bytes)


def _read_ahead_elements(piece: Piece, at_most_bytes: int) -> Iterator[tuple[Piece, int]]:
    for start in range(piece.start, piece.end, at_most_bytes):
        end = min(start + at_most_bytes, piece.end)
        yield Piece(start, end, piece.owner), end - start


def _metered_elements(
    piece: Piece, meter: _Meter, huge_page_bytes: int, call_bytes: int
) -> Iterator[tuple[Piece, int]]:
    start = piece.start
    while start < piece.end:
        reach = meter.reach(start, call_bytes)
        limit = min(start + CALL_SPAN_BYTES, piece.end, piece.end if reach is None else reach)
        if limit < piece.end:
            # A cut inside a huge page would split it (measured: KERNEL.md 3.7).
            cut = limit // huge_page_bytes * huge_page_bytes
            if cut <= start:
                cut = (start // huge_page_bytes + 1) * huge_page_bytes
            limit = min(cut, piece.end)
        yield Piece(start, limit, piece.owner), meter.cost(start, limit)
        start = limit

"""Cutting plans into calls: nothing lost, nothing twice, no call too large."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from memtui.advise.alignment import (
    CALL_BYTES,
    CALL_ELEMENTS,
    CALL_SPAN_BYTES,
    Alignment,
    calls_of,
    collapsible,
)
from memtui.advise.segments import Segment, Segments
from memtui.model.advice import Advice
from memtui.model.pages import FILE, HUGE, PRESENT, SWAPPED, ZERO, RawRun
from memtui.model.ranges import PAGE_BYTES

HUGE_BYTES = 2 << 20
COUNTED = {
    Advice.COLD: PRESENT,
    Advice.PAGEOUT: PRESENT,
    Advice.WILLNEED: SWAPPED,
    Advice.COLLAPSE: PRESENT | SWAPPED,
}
STATES = [PRESENT, PRESENT | FILE, PRESENT | HUGE, PRESENT | ZERO, SWAPPED, SWAPPED | FILE]

# Lengths around what matters: a page, a huge page, a call's worth, a call's span.
lengths = st.one_of(
    st.integers(1, 8),
    st.integers(500, 520),
    st.integers(8180, 8200),
    st.integers(1, 1 << 20),
    st.just(CALL_SPAN_BYTES // PAGE_BYTES),
    st.just(CALL_SPAN_BYTES // PAGE_BYTES + 1),
).map(lambda pages: pages * PAGE_BYTES)
gaps = st.one_of(st.just(0), st.integers(1, 600)).map(lambda pages: pages * PAGE_BYTES)


def all_calls(pieces: Segments, runs: list[RawRun], grain: Alignment) -> list[Segments]:
    return [call.elements for call in calls_of(pieces, runs, grain, lambda: CALL_BYTES)]


@st.composite
def piece_lists(draw: st.DrawFn) -> list[Segment]:
    place = draw(st.integers(1, 2000)) * PAGE_BYTES
    pieces = []
    for owner, (gap, length) in enumerate(draw(st.lists(st.tuples(gaps, lengths), max_size=12))):
        start = place + gap
        place = start + length
        pieces.append(Segment(start, place, owner // 2))
    return pieces


@st.composite
def populated(draw: st.DrawFn, pieces: list[Segment]) -> list[RawRun]:
    """Draw runs inside the pieces, ascending."""
    runs: list[RawRun] = []
    for piece in pieces:
        place = piece.start
        for gap, length, state in draw(
            st.lists(st.tuples(gaps, lengths, st.sampled_from(STATES)), max_size=6)
        ):
            start, end = place + gap, min(place + gap + length, piece.end)
            if start >= end:
                break
            runs.append((start, end, state))
            place = end
    return runs


def cost(element: Segment, runs: list[RawRun], advice: Advice) -> int:
    """Return the bytes of an element that the kernel will work on, counted anew."""
    return sum(
        max(0, min(element.end, end) - max(element.start, start))
        for start, end, state in runs
        if state & COUNTED[advice]
    )


@settings(deadline=None)
@given(st.data(), st.sampled_from([Advice.COLD, Advice.PAGEOUT, Advice.WILLNEED]))
def test_calls_cover_the_pieces_exactly_and_stay_small(data: st.DataObject, advice: Advice) -> None:
    pieces = data.draw(piece_lists())
    runs = data.draw(populated(pieces))
    calls = all_calls(Segments.of(pieces), runs, Alignment(advice, HUGE_BYTES, {}))
    elements = [element for call in calls for element in call]
    for piece in pieces:
        mine = [element for element in elements if piece.start <= element.start < piece.end]
        assert mine[0].start == piece.start
        assert mine[-1].end == piece.end
        assert all(low.end == high.start for low, high in pairwise(mine))
        assert all(element.owner == piece.owner for element in mine)
        # A cut inside a huge page would split it.
        assert all(element.end % HUGE_BYTES == 0 for element in mine[:-1])
    assert elements == sorted(elements, key=lambda element: element.start)
    assert sum(element.end - element.start for element in elements) == sum(
        piece.end - piece.start for piece in pieces
    )
    for call in calls:
        assert 0 < len(call) <= CALL_ELEMENTS
        assert sum(element.end - element.start for element in call) <= CALL_SPAN_BYTES
        assert sum(cost(element, runs, advice) for element in call) <= CALL_BYTES


def test_many_small_elements_fill_calls() -> None:
    pieces = [Segment(2 * at * PAGE_BYTES, (2 * at + 1) * PAGE_BYTES, at) for at in range(1, 2001)]
    runs = [(piece.start, piece.end, PRESENT) for piece in pieces]
    calls = all_calls(Segments.of(pieces), runs, Alignment(Advice.PAGEOUT, HUGE_BYTES, {}))
    assert [len(call) for call in calls] == [256] * 7 + [208]


def test_what_is_empty_needs_no_cut_but_the_span() -> None:
    piece = Segment(HUGE_BYTES, HUGE_BYTES + (16 << 30), 0)
    calls = all_calls(Segments.of([piece]), [], Alignment(Advice.COLD, HUGE_BYTES, {}))
    assert len(calls) == 9


@settings(deadline=None)
@given(st.data(), st.integers(1, 3000).map(lambda pages: pages * PAGE_BYTES))
def test_files_are_read_ahead_in_elements_that_the_kernel_reads_whole(
    data: st.DataObject, read_ahead: int
) -> None:
    length = data.draw(st.integers(1, 20_000)) * PAGE_BYTES
    piece = Segment(PAGE_BYTES, PAGE_BYTES + length, 7)
    calls = all_calls(Segments.of([piece]), [], Alignment(Advice.WILLNEED, HUGE_BYTES, {7: read_ahead}))
    elements = [element for call in calls for element in call]
    assert elements[0].start == piece.start
    assert elements[-1].end == piece.end
    assert all(low.end == high.start for low, high in pairwise(elements))
    assert all(element.end - element.start <= read_ahead for element in elements)
    for call in calls:
        assert len(call) <= CALL_ELEMENTS
        assert len(call) == 1 or sum(element.end - element.start for element in call) <= CALL_BYTES


@settings(deadline=None)
@given(st.data())
def test_only_whole_huge_pages_with_something_in_them_collapse(data: st.DataObject) -> None:
    pages_a_huge_page = 4
    huge = pages_a_huge_page * PAGE_BYTES
    pages = st.integers(0, 60)
    pieces = []
    place = data.draw(st.integers(0, 9))
    for owner in range(data.draw(st.integers(0, 4))):
        start = place + data.draw(st.integers(0, 5))
        place = start + data.draw(st.integers(1, 25))
        pieces.append(Segment(start * PAGE_BYTES, place * PAGE_BYTES, owner))
    here = data.draw(st.sets(pages))
    runs = [
        (page * PAGE_BYTES, (page + 1) * PAGE_BYTES, data.draw(st.sampled_from(STATES)))
        for page in sorted(here)
        if any(piece.start <= page * PAGE_BYTES < piece.end for piece in pieces)
    ]
    found = collapsible(Segments.of(pieces), runs, huge)
    assert found == [
        Segment(start, start + huge, piece.owner)
        for piece in pieces
        for start in range(-(-piece.start // huge) * huge, piece.end - huge + 1, huge)
        if any(start <= run[0] < start + huge and run[2] != PRESENT | ZERO for run in runs)
    ]
    calls = all_calls(Segments.of(found), runs, Alignment(Advice.COLLAPSE, HUGE_BYTES, {}))
    assert [element for call in calls for element in call] == found


@settings(deadline=None)
@given(st.data(), st.sampled_from(list(Advice)[:3]))
def test_a_budget_that_changes_from_call_to_call_is_kept_to(data: st.DataObject, advice: Advice) -> None:
    pieces = data.draw(piece_lists())
    runs = data.draw(populated(pieces))
    allowed: list[int] = []

    def budget() -> int:
        allowed.append(data.draw(st.integers(0, CALL_BYTES // PAGE_BYTES)) * PAGE_BYTES)
        return allowed[-1]

    at = 0
    for call in calls_of(Segments.of(pieces), runs, Alignment(advice, HUGE_BYTES, {}), budget):
        weighed = sum(cost(element, runs, advice) for element in call.elements)
        # What may not be split can cost more than is allowed; then it stands alone.
        assert weighed <= allowed[-1] or (len(call.elements) == 1 and call.elements.size_bytes <= HUGE_BYTES)
        assert call.cost_bytes >= weighed or len(call.elements) > 1
        assert call.charged_bytes == call.cost_bytes
        at += call.elements.size_bytes
    assert at == sum(piece.end - piece.start for piece in pieces)


def test_what_of_shared_memory_is_in_swap_is_not_seen_and_counts_whole() -> None:
    piece = Segment(HUGE_BYTES, HUGE_BYTES + 4 * CALL_BYTES, 0)
    grain = Alignment(Advice.WILLNEED, HUGE_BYTES, {}, frozenset({0}))
    calls = list(calls_of(Segments.of([piece]), [], grain, lambda: CALL_BYTES))
    assert [(call.cost_bytes, call.charged_bytes) for call in calls] == [(CALL_BYTES, CALL_BYTES)] * 4


def test_what_comes_of_a_file_is_not_charged_to_the_target() -> None:
    pieces = [Segment(HUGE_BYTES, 2 * HUGE_BYTES, 0), Segment(2 * HUGE_BYTES, 3 * HUGE_BYTES, 1)]
    runs = [(2 * HUGE_BYTES, 3 * HUGE_BYTES, SWAPPED)]
    (call,) = calls_of(
        Segments.of(pieces), runs, Alignment(Advice.WILLNEED, HUGE_BYTES, {0: HUGE_BYTES}), lambda: CALL_BYTES
    )
    assert (call.cost_bytes, call.charged_bytes) == (2 * HUGE_BYTES, HUGE_BYTES)

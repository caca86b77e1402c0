"""Runs of pages, against counting page by page."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memtui.model import pages
from memtui.model.pages import FILE, HUGE, PRESENT, SWAPPED, ZERO, RawRun
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, normalise

LIMIT_PAGES = 48
STATES = (
    PRESENT,
    PRESENT | FILE,
    PRESENT | HUGE,
    PRESENT | ZERO,
    PRESENT | ZERO | HUGE,
    SWAPPED,
    SWAPPED | FILE,
    FILE,
    0,
)


@st.composite
def ascending(draw: st.DrawFn) -> list[tuple[int, int]]:
    """AddressColumns in pages, ascending, some touching."""
    edges = sorted(draw(st.sets(st.integers(0, LIMIT_PAGES), max_size=14)))
    spans = list(pairwise(edges))
    kept = draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
    return [span for span, keep in zip(spans, kept, strict=True) if keep]


@st.composite
def some_runs(draw: st.DrawFn) -> list[RawRun]:
    return [
        (start * PAGE_BYTES, end * PAGE_BYTES, draw(st.sampled_from(STATES)))
        for start, end in draw(ascending())
    ]


some_spans = ascending().map(lambda spans: [(start * PAGE_BYTES, end * PAGE_BYTES) for start, end in spans])


def states_of(runs: list[RawRun]) -> dict[int, int]:
    return {page: state for start, end, state in runs for page in range(start, end, PAGE_BYTES)}


def in_rss(state: int) -> bool:
    return bool(state & PRESENT) and not state & ZERO


@given(some_runs())
def test_range_stats(runs: list[RawRun]) -> None:
    states = states_of(runs).values()
    tally = pages.tally(runs)
    assert tally.rss_bytes == PAGE_BYTES * sum(in_rss(state) for state in states)
    assert tally.swap_bytes == PAGE_BYTES * sum(bool(state & SWAPPED) for state in states)
    assert tally.huge_bytes == PAGE_BYTES * sum(in_rss(state) and bool(state & HUGE) for state in states)


@given(some_spans, some_runs())
def test_tally_by_span(spans: list[tuple[int, int]], runs: list[RawRun]) -> None:
    """Runs reach over span borders, spans lie between runs: each page counts once, in its span."""
    states = states_of(runs)
    found = pages.tally_by_span(spans, runs)
    for index, (start, end) in enumerate(spans):
        inside = [states.get(page, 0) for page in range(start, end, PAGE_BYTES)]
        assert found.rss_bytes[index] == PAGE_BYTES * sum(map(in_rss, inside))
        assert found.swap_bytes[index] == PAGE_BYTES * sum(bool(state & SWAPPED) for state in inside)


@given(some_runs(), some_spans)
def test_cut(runs: list[RawRun], spans: list[tuple[int, int]]) -> None:
    within: RangeSet = normalise(Range(start, end) for start, end in spans)
    inside = list(pages.cut(runs, within))
    allowed = {page for item in within for page in range(item.start, item.end, PAGE_BYTES)}
    expected = {page: state for page, state in states_of(runs).items() if page in allowed}
    assert states_of(inside) == expected
    assert sum(end - start for start, end, _ in inside) == len(expected) * PAGE_BYTES
    assert all(left[1] <= right[0] for left, right in pairwise(inside))


@given(some_runs())
def test_resident_and_swapped(runs: list[RawRun]) -> None:
    states = states_of(runs)

    def addresses(items: RangeSet) -> set[int]:
        return {page for item in items for page in range(item.start, item.end, PAGE_BYTES)}

    assert addresses(pages.resident(runs)) == {page for page, state in states.items() if in_rss(state)}
    assert addresses(pages.swapped(runs)) == {page for page, state in states.items() if state & SWAPPED}


@given(some_runs(), ascending().filter(bool))
def test_huge_facts(runs: list[RawRun], spans: list[tuple[int, int]]) -> None:
    """Against sorting block by block, page by page; huge ones are whole, as the kernel has them."""
    size = 4 * PAGE_BYTES
    whole: list[RawRun] = []
    for start, end, state in runs:
        if not state & HUGE or start % size == end % size == 0:
            whole.append((start, end, state))
    within = Range(spans[0][0] * PAGE_BYTES, spans[-1][1] * PAGE_BYTES)
    states = states_of(whole)
    sums = Counter[str]()
    for block in range(-(-within.start // size) * size, within.end // size * size, size):
        inside = [states.get(page, 0) for page in range(block, block + size, PAGE_BYTES)]
        if all(in_rss(state) and state & HUGE for state in inside):
            sums["huge_bytes"] += size
            continue
        resident = PAGE_BYTES * sum(map(in_rss, inside))
        if any(state & SWAPPED for state in inside):
            sums["swapped_bytes"] += size
            sums["swapped_filled_bytes"] += resident
        elif resident:
            sums["fillable_bytes"] += size
            sums["filled_bytes"] += resident
        else:
            sums["zero_bytes" if any(state & PRESENT for state in inside) else "empty_bytes"] += size
    assert pages.huge_facts(within, whole, size) == pages.HugeFacts(0, 0, 0, 0)._replace(**sums)


def test_huge_pages_that_stay_small() -> None:
    """One by one: copied, watched with a hole, write-protected, pinned, half in swap, and one that goes."""
    size = 4 * PAGE_BYTES

    def blocks(*runs: RawRun, **more: object) -> pages.HugeFacts:
        return pages.huge_facts(Range(0, 2 * size), runs, size, **more)  # type: ignore[arg-type]

    full, first = (0, size, PRESENT), (0, PAGE_BYTES, PRESENT)
    none = pages.HugeFacts(0, 0, 0, size)
    assert blocks(full) == none._replace(fillable_bytes=size, filled_bytes=size)
    assert blocks(full, keeps_holes=True) == blocks(full)
    assert blocks(first, keeps_holes=True) == none._replace(watched_bytes=size)
    assert blocks(full, protected={0}) == none._replace(watched_bytes=size)
    assert blocks(full, protected={size}) == blocks(full)
    assert blocks(full, pinned=(Range(PAGE_BYTES, 2 * PAGE_BYTES),)) == none._replace(pinned_bytes=size)
    assert blocks((0, size, PRESENT | ZERO)) == none._replace(zero_bytes=size)
    half = blocks((0, 2 * PAGE_BYTES, PRESENT), (2 * PAGE_BYTES, size, SWAPPED))
    assert half == none._replace(swapped_bytes=size, swapped_filled_bytes=size // 2)
    assert blocks(full, of_file=True) == none._replace(copied_bytes=size)
    assert not half.is_hopeless
    assert blocks((0, size, PRESENT | ZERO)).is_hopeless


def test_nothing_is_zero() -> None:
    assert pages.tally([]) == (0, 0, 0)
    assert pages.tally_by_span([], [(0, PAGE_BYTES, PRESENT)]).rss_bytes == []
    assert pages.tally_by_span([(0, PAGE_BYTES)], []).rss_bytes == [0]


def test_the_bits_are_those_of_the_kernel() -> None:
    """include/uapi/linux/fs.h: PAGE_IS_FILE, PRESENT, SWAPPED, PFNZERO, HUGE."""
    assert (FILE, PRESENT, SWAPPED, ZERO, HUGE) == (4, 8, 16, 32, 64)

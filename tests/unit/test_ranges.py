"""The algebra of ranges, against sets of pages."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model import ranges
from memtui.model.ranges import ADDRESS_LIMIT, PAGE_BYTES, Range, RangeSet

# Few pages, so that ranges often touch and overlap.
LIMIT_PAGES = 40

any_range = st.builds(
    lambda start, size: Range(start * PAGE_BYTES, (start + size) * PAGE_BYTES),
    st.integers(0, LIMIT_PAGES),
    st.integers(1, 12),
)
any_ranges = st.lists(any_range, max_size=8)
range_sets = any_ranges.map(ranges.normalise)


def pages_of(items: list[Range] | RangeSet) -> set[int]:
    return {page for item in items for page in range(item.start // PAGE_BYTES, item.end // PAGE_BYTES)}


def is_range_set(items: RangeSet) -> bool:
    return all(left.end < right.start for left, right in pairwise(items))


@given(any_ranges)
def test_normalise_keeps_the_pages_and_puts_them_in_order(items: list[Range]) -> None:
    result = ranges.normalise(items)
    assert is_range_set(result)
    assert pages_of(result) == pages_of(items)
    assert ranges.normalise(reversed(items)) == result
    assert ranges.normalise(result) == result


@given(any_ranges, any_ranges)
def test_union(left: list[Range], right: list[Range]) -> None:
    result = ranges.union(left, right)
    assert is_range_set(result)
    assert pages_of(result) == pages_of(left) | pages_of(right)


@given(range_sets, range_sets)
def test_intersect(left: RangeSet, right: RangeSet) -> None:
    result = ranges.intersect(left, right)
    assert is_range_set(result)
    assert pages_of(result) == pages_of(left) & pages_of(right)


@given(range_sets, range_sets)
def test_subtract(left: RangeSet, right: RangeSet) -> None:
    result = ranges.subtract(left, right)
    assert is_range_set(result)
    assert pages_of(result) == pages_of(left) - pages_of(right)


@given(range_sets, range_sets)
def test_the_parts_add_up(left: RangeSet, right: RangeSet) -> None:
    both, rest = ranges.intersect(left, right), ranges.subtract(left, right)
    assert ranges.union(both, rest) == left
    assert ranges.total_bytes(both) + ranges.total_bytes(rest) == ranges.total_bytes(left)
    assert ranges.total_bytes(left) == len(pages_of(left)) * PAGE_BYTES


@given(any_range, any_range)
def test_intersect_of_two_ranges(left: Range, right: Range) -> None:
    common = left.intersect(right)
    assert pages_of([common] if common else []) == pages_of([left]) & pages_of([right])
    assert common == right.intersect(left)


@given(any_range, st.integers(0, (LIMIT_PAGES + 14) * PAGE_BYTES))
def test_contains(item: Range, address: int) -> None:
    assert item.contains(address) == (address // PAGE_BYTES in pages_of([item]))


@given(
    st.integers(0, 1 << 20),
    st.integers(1, 1 << 20),
    st.sampled_from([1, PAGE_BYTES, 1 << 16]),
    st.integers(1, 64),
    st.integers(0, 4095),
)
def test_split_covers_in_pieces_cut_where_they_may_be(
    start: int, size: int, align: int, multiple: int, extra: int
) -> None:
    at_most = align * multiple + extra
    item = Range(start, start + min(size, at_most * 200))
    pieces = list(ranges.split(item, at_most, align))
    assert pieces[0].start == item.start
    assert pieces[-1].end == item.end
    assert all(left.end == right.start for left, right in pairwise(pieces))
    assert all(piece.size_bytes <= at_most for piece in pieces)
    assert all(piece.end % align == 0 for piece in pieces[:-1])


def test_split_refuses_pieces_smaller_than_their_alignment() -> None:
    with pytest.raises(ValueError, match="alignment"):
        list(ranges.split(Range(0, PAGE_BYTES * 4), PAGE_BYTES - 1))


@given(st.integers(0, 1 << 22), st.integers(1, 1 << 22), st.sampled_from([PAGE_BYTES, 1 << 21]))
def test_inner_aligned_is_the_largest(start: int, size: int, align: int) -> None:
    item = Range(start, start + size)
    inner = ranges.inner_aligned(item, align)
    whole = [at for at in range(0, item.end + 1, align) if item.start <= at and at + align <= item.end]
    if inner is None:
        assert whole == []
    else:
        assert ranges.is_aligned(inner, align)
        assert (inner.start, inner.end) == (whole[0], whole[-1] + align)


def test_is_aligned() -> None:
    assert ranges.is_aligned(Range(0, PAGE_BYTES))
    assert not ranges.is_aligned(Range(1, PAGE_BYTES))
    assert not ranges.is_aligned(Range(0, PAGE_BYTES + 1))


@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (-1, 1), (0, ADDRESS_LIMIT + 1)])
def test_what_is_no_range_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        Range(start, end)


def test_the_whole_of_64_bits_is_a_range() -> None:
    assert Range(0, ADDRESS_LIMIT).size_bytes == ADDRESS_LIMIT

"""Columns of addresses: slices and vectors say the same as the pairs do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memtui.advise.segments import Segment, Segments
from memtui.linux.syscalls import _iovec
from memtui.model.ranges import AddressColumns

PAGE = 4096

pages = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=40)
places = st.one_of(st.none(), st.integers(-45, 45))


def ascending(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, at = [], 0x7F0000000000
    for gap, size in steps:
        found.append((at + gap * PAGE, at + (gap + size) * PAGE))
        at = found[-1][1]
    return found


@given(pages, places, places, st.booleans())
def test_a_slice_is_that_of_the_pairs_and_so_is_its_vector(
    steps: list[tuple[int, int]], first: int | None, behind: int | None, packed: bool
) -> None:
    pairs = ascending(steps)
    spans = AddressColumns.from_pairs(pairs)
    if packed:
        assert len(spans.pairs) == 2 * len(pairs)
    part, wanted = spans[first:behind], pairs[first:behind]
    assert list(part) == wanted
    assert part.size_bytes == sum(end - start for start, end in wanted)
    assert bytes(_iovec(part)) == bytes(_iovec(wanted))


@given(pages, st.integers(0, 40))
def test_pieces_are_what_they_were_made_of(steps: list[tuple[int, int]], border: int) -> None:
    pieces = [Segment(start, end, at // 2) for at, (start, end) in enumerate(ascending(steps))]
    columns = Segments.of(pieces)
    columns.pack()
    assert columns == pieces
    assert columns[:border] == pieces[:border]
    assert Segments.joined([columns[:border], columns[border:]]) == pieces
    assert [columns[at] for at in range(len(columns))] == pieces

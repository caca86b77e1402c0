"""Live numbers by windows: whatever changes between two looks, they are what counting all of it gives."""

from __future__ import annotations

import struct
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from memtui.linux.rss_tracker import LiveResidency
from memtui.linux.vma_table import MapTable
from memtui.model.pages import FILE, PRESENT, SWAPPED, ZERO, tally_by_span
from memtui.model.ranges import PAGE_BYTES

BASE = 0xFF_FFF0_0000
STATES = (0, PRESENT, PRESENT | FILE, SWAPPED, PRESENT | ZERO)
vmas_of = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=700)


class Pages:
    """A scanner of made-up pages; it returns few regions at a time, and runs over VMAs' ends."""

    def __init__(self) -> None:
        self.states: dict[int, int] = {}
        self.scans = 0

    def scan_raw(self, start: int, end: int, max_pages: int) -> tuple[bytes, bool]:
        self.scans += 1
        pages = [
            (page, state) for page, state in sorted(self.states.items()) if state and start <= page < end
        ]
        regions = []
        for _, group in groupby(
            enumerate(pages), key=lambda item: (item[1][0] - item[0] * PAGE_BYTES, item[1][1])
        ):
            run = [page for _, page in group]
            regions.append((run[0][0], run[-1][0] + PAGE_BYTES, run[0][1]))
        return b"".join(struct.pack("=QQQ", *region) for region in regions[:5]), len(regions) <= 5


def table_of(shapes: list[tuple[int, int]]) -> MapTable:
    """Make a map of (hole, size) in pages, which grows over a change of its addresses' width."""
    lines, at = [], BASE
    for hole, size in shapes:
        at += hole * PAGE_BYTES
        lines.append(f"{at:x}-{at + size * PAGE_BYTES:x} rw-p 00000000 00:00 0 \n")
        at += size * PAGE_BYTES
    lines.append("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n")
    return MapTable("".join(lines).encode("ascii"), frozenset())


@given(
    vmas_of, st.lists(st.dictionaries(st.integers(0, 2000), st.sampled_from(STATES)), min_size=1, max_size=4)
)
def test_looking_again_is_counting_all_of_it(
    shapes: list[tuple[int, int]], changes: list[dict[int, int]]
) -> None:
    table = table_of(shapes)
    mapped = [page for vma in table for page in range(vma.start, vma.end, PAGE_BYTES)][:-1]
    pages = Pages()
    live = LiveResidency(table, pages, 1 << 16, RuntimeError)
    for change in changes:
        pages.states.update(
            {mapped[at % len(mapped)]: state for at, state in change.items()} if mapped else {}
        )
        live.read()
        runs = [(page, page + PAGE_BYTES, state) for page, state in sorted(pages.states.items())]
        wanted = tally_by_span([(vma.start, vma.end) for vma in table], runs)
        assert live.rss_bytes == wanted.rss_bytes
        assert live.swap_bytes == wanted.swap_bytes


@given(vmas_of, st.dictionaries(st.integers(0, 4000), st.sampled_from(STATES)))
def test_what_was_mapped_since_counts_for_no_vma(
    shapes: list[tuple[int, int]], states: dict[int, int]
) -> None:
    table = table_of(shapes)
    pages = Pages()
    length = (table[-2].end - BASE) // PAGE_BYTES
    pages.states = {BASE + at % (length + 2) * PAGE_BYTES: state for at, state in states.items()}
    live = LiveResidency(table, pages, 1 << 16, RuntimeError)
    live.read()
    for vma, rss, swap in zip(table, live.rss_bytes, live.swap_bytes, strict=True):
        there = [pages.states.get(page, 0) for page in range(vma.start, vma.end, PAGE_BYTES)]
        if vma.name != "[vsyscall]":
            assert rss == sum(bool(state & PRESENT and not state & ZERO) for state in there) * PAGE_BYTES
            assert swap == there.count(SWAPPED) * PAGE_BYTES


@given(vmas_of)
def test_a_table_knows_where_its_vmas_end(shapes: list[tuple[int, int]]) -> None:
    table = table_of(shapes)
    assert table.ends(0, len(table)) == [vma.end for vma in table]
    half = len(table) // 2
    assert table.ends(half, len(table) - 1) == [vma.end for vma in table[half:-1]]


def test_what_has_not_changed_is_the_same_list_and_only_what_is_asked_for_is_scanned() -> None:
    table = table_of([(1, 2)] * 1000)
    pages = Pages()
    pages.states = {table[700].start: PRESENT}
    live = LiveResidency(table, pages, 1 << 16, RuntimeError)
    live.read()
    first = live.rss_bytes
    assert first[700] == PAGE_BYTES
    live.read()
    assert live.rss_bytes is first
    pages.states = {table[3].start: PRESENT}
    pages.scans = 0
    live.read(only=[table[at].start + 1 for at in range(690, 730)])
    assert pages.scans == 1
    assert (live.rss_bytes[700], live.rss_bytes[3], first[700]) == (0, 0, PAGE_BYTES)
    live.read(only=[0, 1 << 63])
    assert (live.rss_bytes[700], live.rss_bytes[3]) == (0, PAGE_BYTES)


def test_the_first_look_is_at_all_of_it() -> None:
    table = table_of([(1, 2)] * 1000)
    pages = Pages()
    pages.states = {table[700].start: PRESENT}
    live = LiveResidency(table, pages, 1 << 16, RuntimeError)
    live.read(only=[table[3].start])
    assert live.rss_bytes[700] == PAGE_BYTES


def test_a_table_makes_a_vma_when_it_is_looked_at() -> None:
    table, same, other = table_of([(0, 1), (1, 2)]), table_of([(0, 1), (1, 2)]), table_of([(0, 2)])
    starts = [BASE, BASE + 2 * PAGE_BYTES, 0xFFFF_FFFF_FF60_0000]
    assert [vma.start for vma in table] == list(table.starts) == starts
    assert table[-1].name == "[vsyscall]"
    assert [vma.size_bytes for vma in table[:2]] == [PAGE_BYTES, 2 * PAGE_BYTES]
    assert table[0] is table[0]
    assert (table == same, hash(table) == hash(same), table == other) == (True, True, False)

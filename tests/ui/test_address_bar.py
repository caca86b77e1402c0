"""The bar of the address space, the cursor's place in it, and the bar of each row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model.vma import MappedVma, VmaKind
from memtui.ui.presentation.address_bar import bar_cells, frame_of
from memtui.ui.presentation.map import BAR_CELLS, bar
from memtui.ui.presentation.order import Superseded
from tests.fakes import FakeHost, grown, many, vma
from tests.ui.conftest import MakeApp
from tests.ui.driving import read_map, screen_lines, start

PAGE = 4096
WIDE, NARROW = (120, 36), (80, 24)


def never() -> bool:
    return False


@given(sizes=st.lists(st.integers(1, 1 << 30), min_size=1, max_size=200), cells=st.integers(1, 90))
def test_every_vma_has_a_place_and_every_cell_a_vma(sizes: list[int], cells: int) -> None:
    vmas = [vma(at << 44, pages * PAGE).vma for at, pages in enumerate(sizes)]
    frame = frame_of(vmas, cells, never)
    spans = list(zip(frame.first, frame.last, strict=True))
    assert len(spans) == cells
    assert all(first < last for first, last in spans)
    assert list(frame.first) == sorted(frame.first)
    assert {at for first, last in spans for at in range(first, last)} == set(range(len(vmas)))
    for at in range(len(vmas)):
        first, last = spans[frame.cell_of(at)]
        assert first <= at < last
    places = [frame.cell_of(at) for at in range(len(vmas))]
    assert places == sorted(places)


@given(size=st.integers(1, 1 << 20), share=st.floats(0, 1), of_rest=st.floats(0, 1))
def test_a_bar_is_full_or_empty_of_nothing_else(size: int, share: float, of_rest: float) -> None:
    rss = int(size * share)
    swap = int((size - rss) * of_rest)
    text = bar(MappedVma(vma(0, size * PAGE).vma, rss * PAGE, swap * PAGE))
    assert len(text) == BAR_CELLS
    assert ("█" in text) == (rss > 0)
    assert ("▒" in text) == (swap > 0)
    assert ("·" in text) == (rss + swap < size)


def test_a_bar_of_what_is_not_known_is_not_empty() -> None:
    assert bar(MappedVma(vma(0, PAGE).vma, None, 0)) == "?"


def test_the_bar_is_filled_by_residency() -> None:
    pages = [vma(at << 30, 16 * PAGE) for at in range(5)]
    frame = frame_of([page.vma for page in pages], 5, never)
    whole = 16 * PAGE
    cells = bar_cells(frame, [whole, whole, whole // 2, 0, 0], [0, 0, 0, 0, whole])
    assert "".join(glyph for glyph, _ in cells) == "A█▅·▒"
    unknown = bar_cells(frame, [None] * 5, [None] * 5)
    assert "".join(glyph for glyph, _ in unknown) == "a????"
    assert {kind for _, kind in cells} == {VmaKind.ANON.value}


def test_nobody_waits_for_an_old_frame() -> None:
    with pytest.raises(Superseded):
        frame_of([vma(0, PAGE).vma], 10, lambda: True)


def bar_lines(lines: list[str]) -> tuple[str, str]:
    at = next(at for at, line in enumerate(lines) if "RSS" in line and "FLAGS" in line)
    return lines[at - 2], lines[at - 1]


def count_painted(widget: Any) -> list[int]:
    paint, painted = widget.render_line, []

    def counted(y: int) -> Any:
        painted.append(y)
        return paint(y)

    widget.render_line = counted
    return painted


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_the_whole_space_stands_over_the_map_in_order(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await start(app, pilot)
        cells, place = bar_lines(screen_lines(app))
        width = app.main.map.size.width
        letters = "".join(char for char in cells[-width:] if char.isalpha())
        assert letters.lower() == "fhafmasvvv"[: len(letters)]
        assert len(cells[-width:].strip()) == width
        assert place[-width:].index("▲") == 0
        await pilot.press("G")
        _, place = bar_lines(screen_lines(app))
        assert place.rstrip()[-1] == "▲"
        assert len(place.rstrip()) >= size[0] - 2


async def test_the_cursors_place_is_painted_only_when_its_cell_changes(make_app: MakeApp) -> None:
    app = make_app(FakeHost(maps={4242: many(2000)}))
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        line, place = app.main.map.address_bar._line, app.main.map.address_bar._place
        painted_line, painted_place = count_painted(line), count_painted(place)
        cell = place.cell
        await pilot.press("j", "j", "j")
        assert place.cell == cell
        assert (painted_line, painted_place) == ([], [])
        await pilot.press("G")
        assert place.cell == line.size.width - 1
        assert painted_place
        await read_map(app, pilot, target)
        assert painted_line == []


async def test_the_bar_follows_numbers_layout_and_width(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        before = app.main.map.address_bar._line._cells
        target.vmas[4].rss_bytes = 0
        await read_map(app, pilot, target)
        emptied = app.main.map.address_bar._line._cells
        assert sum(a != b for a, b in zip(before, emptied, strict=True)) >= 3
        target.vmas[2] = grown(target.vmas[2], 1 << 30)
        app.main.map.address_bar._not_before = 0.0
        await read_map(app, pilot, target)
        assert app.main.map.address_bar._line._cells != emptied
        await pilot.resize_terminal(*NARROW)
        await read_map(app, pilot, target)
        assert len(app.main.map.address_bar._line._cells) == NARROW[0]

"""The virtual table: what it costs, where its cursor stays, how wide its lines are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from memtui.format import SafeText, safe
from memtui.ui.presentation.rows import Cell, Column, Line
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.columns import fit
from memtui.ui.widgets.pane import Pane
from memtui.ui.widgets.table import VirtualTable
from tests.fakes import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from textual.pilot import Pilot

HEIGHT = 20
_COLUMNS = (Column("NUMBER", 8, right=True), Column("NAME", 20))


class Counted:
    """Rows that count how often one of them was made."""

    columns: Sequence[Column] = _COLUMNS

    def __init__(self, keys: Sequence[int], names: dict[int, str] | None = None) -> None:
        self.keys = keys
        self.names = names or {}
        self.made = 0

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> Hashable:
        return self.keys[index]

    def find(self, key: Hashable) -> int | None:
        return self.keys.index(key) if key in self.keys else None  # type: ignore[arg-type]

    def line(self, index: int) -> Line:
        self.made += 1
        key = self.keys[index]
        name = safe(self.names.get(key, f"row {key}"))
        return Line(SafeText(""), "", (Cell(SafeText(str(key))), Cell(name, "dim")))


class TableApp(App[None]):
    """One table, and how often a line of it was painted."""

    CSS_PATH = stylesheets("memtui.tcss")

    def __init__(self) -> None:
        super().__init__()
        self.pane = Pane("Rows", id="rows")
        self.painted: list[int] = []

    @property
    def table(self) -> VirtualTable:
        return self.pane.table

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        paint = self.table.render_line

        def counted(y: int) -> Any:
            self.painted.append(y)
            return paint(y)

        self.table.render_line = counted  # type: ignore[method-assign]
        self.table.focus()


async def shown(app: TableApp, pilot: Pilot[None], rows: Counted, **how: bool) -> None:
    """Show rows and wait until they stand there; ``painted`` counts from then on."""
    app.table.show(rows, **how)
    await pilot.pause()


def texts(app: TableApp) -> list[str]:
    return [app.table.render_line(y).text for y in range(app.table.size.height)]


async def test_sixty_thousand_rows_cost_no_more_than_a_screenful() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        rows = Counted(range(60_000))
        await shown(app, pilot, rows)
        assert app.table.virtual_size.height == 60_000
        assert rows.made <= 2 * HEIGHT
        await pilot.press("G")
        assert app.table.cursor_key == 59_999
        assert "row 59999" in "".join(texts(app))
        assert rows.made <= 4 * HEIGHT


async def test_an_equal_list_paints_nothing() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(100)))
        app.painted.clear()
        await shown(app, pilot, Counted(range(100)))
        assert app.painted == []


async def test_a_changed_row_paints_its_own_line_only() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(100)))
        app.painted.clear()
        await shown(app, pilot, Counted(range(100), {7: "another", 80: "far below"}))
        assert set(app.painted) == {7}
        assert "another" in texts(app)[7]


async def test_a_cursor_step_paints_two_lines() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(100)))
        app.painted.clear()
        await pilot.press("j")
        assert set(app.painted) == {0, 1}


@pytest.mark.parametrize(
    ("keys", "cursor"),
    [
        (list(range(99, -1, -1)), 94),
        ([1000, 1001, *range(100)], 7),
        ([5], 0),
    ],
)
async def test_the_cursor_stays_on_its_key(keys: list[int], cursor: int) -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(100)))
        await pilot.press(*"jjjjj")
        await shown(app, pilot, Counted(keys))
        assert (app.table.cursor_key, app.table.cursor) == (5, cursor)
        assert 0 <= app.table.cursor - app.table.scroll_y < app.table.size.height


async def test_a_vanished_row_leaves_the_cursor_on_its_neighbour() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(10)))
        await pilot.press("G")
        await shown(app, pilot, Counted(range(9)))
        assert app.table.cursor_key == 8
        await shown(app, pilot, Counted([]))
        assert app.table.cursor_key is None
        await pilot.press("j", "G", "pagedown", "enter", "right")
        await shown(app, pilot, Counted([3, 4]))
        assert app.table.cursor_key == 3


async def test_rows_that_come_above_do_not_move_what_is_read() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(100)))
        await pilot.press("pagedown", "pagedown")
        before = texts(app)
        await shown(app, pilot, Counted([*range(1000, 1030), *range(100)]), keep_top=True)
        assert texts(app) == before


async def test_a_list_that_shrinks_does_not_leave_the_view_behind() -> None:
    app = TableApp()
    async with app.run_test(size=(80, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(1000)))
        await pilot.press("G")
        await shown(app, pilot, Counted(range(3)))
        assert [text.split()[:1] for text in texts(app)[:4]] == [["0"], ["1"], ["2"], []]


async def test_long_lines_shift_with_their_titles_and_no_further_than_their_end() -> None:
    app = TableApp()
    async with app.run_test(size=(40, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(3), {1: "x" * 60 + "END"}))
        for _ in range(20):
            await pilot.press("right")
        assert texts(app)[1].rstrip().endswith("END")
        assert app.pane.header.offset_x == app.table.offset_x > 0
        for _ in range(20):
            await pilot.press("left")
        assert app.table.offset_x == 0


@pytest.mark.parametrize("name", [*HOSTILE, "漢字" * 30, "e\u0301" * 10, "tab\there", "x" * 500])
async def test_every_line_is_as_wide_as_the_table(name: str) -> None:
    app = TableApp()
    async with app.run_test(size=(40, HEIGHT + 2)) as pilot:
        await shown(app, pilot, Counted(range(5), {2: name}))
        for y in range(app.table.size.height):
            strip = app.table.render_line(y)
            assert cell_len(strip.text) == app.table.size.width
            assert strip.text.isprintable()


@pytest.mark.parametrize("text", ["", "a", "abcdef", "漢字漢字", "a漢字bc"])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
def test_fit_is_exact(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


async def test_words_stand_where_rows_would() -> None:
    app = TableApp()
    async with app.run_test(size=(30, HEIGHT + 2)) as pilot:
        app.table.show_words(safe("the process [/x] \x1b[31m has exited, and its map went with it"))
        await pilot.pause()
        text = " ".join("".join(texts(app)).split())
        assert "the process [/x] ␛[31m has exited, and its map went with it" in text
        await shown(app, pilot, Counted([1]))
        assert "exited" not in "".join(texts(app))

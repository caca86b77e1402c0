"""How the screen looks where the terminal is narrow, medium, without UTF-8, without colour, far away."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from memtui.ui.ascii import ascii_only
from tests.fakes import HOSTILE
from tests.ui.conftest import MakeApp
from tests.ui.driving import screen_lines, screen_text, start


@pytest.mark.parametrize("size", [(120, 36), (100, 40), (80, 24)])
async def test_ascii_only(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app(ascii_only=True)
    async with app.run_test(size=size) as pilot:
        await start(app, pilot, 7000)
        await start(app, pilot)
        for keys in ((), ("t",), ("question_mark",), ("escape", "a"), ("escape", "x"), ("escape", "at")):
            await pilot.press(*keys)
            text = screen_text(app)
            assert text.isascii(), [char for char in text if not char.isascii()]
            assert {len(line) for line in screen_lines(app)} == {size[0]}


@pytest.mark.parametrize("text", ["plain", "█▒·", "╭─╮│", "漢字x", "e\u0301", *HOSTILE])
def test_ascii_is_as_wide(text: str) -> None:
    shown = "".join(char for char in text if char.isprintable())
    assert ascii_only(shown).isascii()
    assert len(ascii_only(shown)) == cell_len(shown)


async def test_a_medium_screen_has_the_panes_below_one_another(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await start(app, pilot)
        for words in ("postgres", "cold region", "nothing was advised yet"):
            assert words in screen_text(app)
        assert app.main.map.size.width == app.main.processes.size.width == 100
        await pilot.resize_terminal(100, 24)
        await pilot.pause()
        assert "cold region" in screen_text(app)
        assert "postgres" not in screen_text(app)
        await pilot.resize_terminal(130, 40)
        await pilot.pause()
        assert "postgres" in screen_text(app)
        assert app.main.map.size.width < 100


async def test_over_ssh_the_terminals_own_colours_unless_chosen_otherwise(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    for options, theme in (({}, "ansi-dark"), ({"theme": "nord"}, "nord")):
        app = make_app(**options)
        async with app.run_test(size=(80, 24)) as pilot:
            await start(app, pilot)
            assert app.theme == theme

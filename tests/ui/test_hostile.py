"""Names as an enemy would choose them, in every list, dialog and message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memtui.format import safe
from memtui.ui.app import MemtuiApp
from memtui.ui.messages import Said
from tests.fakes import HOSTILE, FakeHost, hostile_map, process, process_id
from tests.ui.conftest import MakeApp
from tests.ui.driving import advise, open_map, read_machine, screen_lines, screen_text, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

WIDE, NARROW = (150, 40), (80, 24)


def check(app: MemtuiApp) -> str:
    """Fail if anything on the screen is no printable character; return the text."""
    for line in screen_lines(app):
        assert line.isprintable(), line.encode("unicode_escape")
    return screen_text(app)


async def begin(app: MemtuiApp, pilot: Pilot[None], name: str) -> None:
    """Show one process of that name, whose map has nothing but such names."""
    await read_machine(app, pilot, (process(7, name, 1 << 20, user=name, state="R", command=name),))
    await open_map(app, pilot, 7)


def host_for(name: str) -> FakeHost:
    who = process(7, name, 1 << 20, user=name, command=name)
    return FakeHost(processes_now=(who,), maps={7: hostile_map()})


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("name", HOSTILE)
async def test_every_place_shows_it_harmlessly(make_app: MakeApp, name: str, size: tuple[int, int]) -> None:
    app = make_app(host=host_for(name))
    shown = safe(name)[:8]
    async with app.run_test(size=size) as pilot:
        await begin(app, pilot, name)
        text = check(app)
        assert shown in text
        for other in HOSTILE:
            assert safe(other)[:4] in text
        await pilot.press("enter")
        assert check(app)
        await pilot.press("asterisk", "a")
        await settled(app, pilot)
        assert shown in check(app)
        await pilot.press("escape")
        await advise(app, pilot)
        assert f"pageout 7 {safe(name)}"[:14] in check(app)
        await pilot.press("tab", "enter")
        await pilot.pause()
        assert f"PAGEOUT on 7 {safe(name)}" in check(app)
        await pilot.press("G", "escape", "tab")
        assert shown in check(app)
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert check(app)


@pytest.mark.parametrize("name", [HOSTILE[0], HOSTILE[2], HOSTILE[5]])
async def test_what_comes_after_shows_it_harmlessly(make_app: MakeApp, name: str) -> None:
    app = make_app(host=host_for(name))
    shown = safe(name)[:8]
    async with app.run_test(size=NARROW) as pilot:
        await begin(app, pilot, name)
        await advise(app, pilot)
        await pilot.press("tab")
        await pilot.press("x")
        await pilot.pause()
        assert f"PAGEOUT on 7 {safe(name)}" in check(app)
        await pilot.press("escape", "R")
        await settled(app, pilot)
        assert f"7 {safe(name)}, PAGEOUT" in check(app)
        await pilot.press("escape", "at")
        await settled(app, pilot)
        assert shown in check(app)
        await pilot.press("enter")
        await pilot.pause()
        assert f"PAGEOUT on 7 {safe(name)}" in check(app)
        await pilot.press("escape", "escape", "shift+tab", "x")
        await settled(app, pilot)
        assert f"VMA of 7 {safe(name)}" in check(app)
        await pilot.press("end")
        await pilot.pause()
        assert safe(HOSTILE[2]) in check(app)


@pytest.mark.parametrize("name", HOSTILE)
async def test_messages_and_titles_show_it_harmlessly(make_app: MakeApp, name: str) -> None:
    app = make_app(host=host_for(name), note=name)
    async with app.run_test(size=WIDE) as pilot:
        await begin(app, pilot, name)
        app.main.post_message(Said(f"about {name}", bad=True))
        await pilot.pause()
        assert f"! about {safe(name)}" in check(app)
        app.main.map.show_lost(f"process {name}: gone")
        await pilot.pause()
        assert safe(name).split()[0] in check(app)
        await pilot.press("f1")
        assert safe(name) in check(app)
        assert app.main.map.chosen == process_id(7)

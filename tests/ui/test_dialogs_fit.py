"""Nothing acts that was not on the screen: the forecast and the buttons of every dialog that acts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button

from memtui.model.errors import NotPermitted
from memtui.model.reasons import Reason
from memtui.ui.app import MemtuiApp
from memtui.ui.screens.plan import PlanScreen
from tests.fakes import FakeHost
from tests.ui.conftest import MakeApp
from tests.ui.driving import (
    advise,
    host_of,
    mark_regions,
    open_map,
    screen_lines,
    screen_text,
    settled,
    start,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot
    from textual.widget import Widget

SIZES = [
    (60, 15),
    (80, 24),
    (90, 24),
    (100, 24),
    (109, 33),
    (110, 24),
    (120, 24),
    (120, 30),
    (90, 34),
    (160, 40),
]
TOO_SMALL = (60, 4)
DIALOGS = ("plan", "restore")
SAYS = {
    "plan": "32M of 40.1M will leave RSS; 8M shared, 64K locked",
    "restore": "32M of 32M moved is still out",
}


async def open_dialog(app: MemtuiApp, pilot: Pilot[Any], which: str) -> None:
    await start(app, pilot)
    await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
    if which == "restore":
        await advise(app, pilot)
    await pilot.press("a" if which == "plan" else "R")
    await settled(app, pilot)


def acted(app: MemtuiApp) -> bool:
    """Whether anything was done after the dialog opened."""
    return any(call.startswith("restore") for call in host_of(app).calls) or bool(host_of(app).applied)


def whole(app: MemtuiApp, widget: Widget) -> bool:
    """Whether the characters of a widget's region are on the screen, by the layout and by what is drawn."""
    visible = app.screen.region.intersection(app.screen.find_widget(widget).clip)
    return bool(widget.region) and visible.contains_region(widget.region)


def check_is_shown(app: MemtuiApp, which: str) -> None:
    lines = screen_lines(app)
    shown = [at for at, line in enumerate(lines) if SAYS[which][:40] in line]
    buttons = [at for at, line in enumerate(lines) if "Cancel" in line and "(y)" in line]
    assert len(buttons) == 1
    assert shown
    assert shown[-1] < buttons[0]
    for name in ("#forecast", "#cancel", "#apply"):
        assert whole(app, app.screen.query_one(name)), name
    assert not app.screen.query_one("#apply", Button).disabled


@pytest.mark.parametrize("which", DIALOGS)
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_forecast_and_buttons_are_on_the_screen_before_and_after_a_resize(
    make_app: MakeApp, size: tuple[int, int], which: str
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await open_dialog(app, pilot, which)
        check_is_shown(app, which)
        for step in ((200, 60), size):
            await pilot.resize_terminal(*step)
            await settled(app, pilot)
            check_is_shown(app, which)


@pytest.mark.parametrize("size", [(60, 15), (100, 24), (120, 30)], ids=str)
async def test_the_head_of_the_plan_is_on_the_screen_too(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await open_dialog(app, pilot, "plan")
        for name in ("#plan-what", "#plan-advice", "#plan-freeze", "#plan-thorough"):
            assert whole(app, app.screen.query_one(name)), name
        text = screen_text(app)
        assert "[PAGEOUT]" in text
        assert "[auto]" in text
        assert "held still with ptrace" in text
        # Verdicts are seen, and all of them can be.
        assert "cold region" in text
        await pilot.press("tab", "tab", "G")
        await pilot.pause()
        assert "locked" in screen_text(app)


async def test_a_plan_over_many_processes_leaves_room_for_it(make_app: MakeApp) -> None:
    app = make_app(host=FakeHost(blocked={903: Reason.NO_SYS_NICE, 811: Reason.MORE_CAPABLE}))
    async with app.run_test(size=(100, 24)) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        for pid in (903, 811, 1204, 5100):
            await open_map(app, pilot, pid)
            await pilot.press("space")
        await pilot.press("a")
        await settled(app, pilot)
        for name in ("#forecast", "#cancel", "#apply"):
            assert whole(app, app.screen.query_one(name)), name
        assert "Cancel" in screen_text(app)


@pytest.mark.parametrize("which", DIALOGS)
@pytest.mark.parametrize("key", ["y", "enter"])
async def test_what_is_not_on_the_screen_does_not_act(make_app: MakeApp, which: str, key: str) -> None:
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await open_dialog(app, pilot, which)
        dialog = app.screen
        host_of(app).applied.clear()
        app.set_focus(dialog.query_one("#apply"))
        await pilot.resize_terminal(*TOO_SMALL)
        await settled(app, pilot)
        await pilot.press(key)
        await settled(app, pilot)
        assert app.screen is dialog
        assert not acted(app)
        await pilot.resize_terminal(60, 15)
        await settled(app, pilot)
        await pilot.press("y")
        await settled(app, pilot)
        assert app.screen is app.main


async def test_it_does_not_act_before_it_is_drawn(make_app: MakeApp) -> None:
    host = FakeHost()
    app = make_app(host=host)
    async with app.run_test(size=(120, 36)) as pilot:
        await open_dialog(app, pilot, "plan")
        dialog = app.screen
        assert isinstance(dialog, PlanScreen)
        host.planning = threading.Event()
        await pilot.press("c")
        # The answer is there, and nothing of it was sent to the terminal yet.
        with app.batch_update():
            host.planning.set()
            await settled(app, pilot, drawn=False)
            assert not dialog.query_one("#apply", Button).disabled
            dialog.action_apply()
            assert app.screen is dialog
        await settled(app, pilot)
        assert not acted(app)
        dialog.action_apply()
        await settled(app, pilot)
        assert acted(app)


async def test_a_long_forecast_is_cut_in_its_line_and_whole_above_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(60, 15)) as pilot:
        await open_dialog(app, pilot, "plan")
        await pilot.press("l")
        await settled(app, pilot)
        lines = screen_lines(app)
        at = next(at for at, line in enumerate(lines) if "Cancel" in line)
        assert "40M of 40.1M" in lines[at - 1]
        assert "…" in lines[at - 1]
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        lines = screen_lines(app)
        whole_text = " ".join(line.strip(" │") for line in lines[: at - 2])
        assert "RSS will grow by" in whole_text


async def test_why_there_is_no_plan_is_on_the_screen(make_app: MakeApp) -> None:
    app = make_app(host=FakeHost(plan_error=NotPermitted(Reason.NO_SYS_NICE, "process 4242")))
    async with app.run_test(size=(60, 15)) as pilot:
        await start(app, pilot)
        await pilot.press("a")
        await settled(app, pilot)
        text = screen_text(app)
        assert "no plan: process 4242: advising other" in text
        assert "CAP_SYS_NICE" in text
        assert app.screen.query_one("#apply", Button).disabled

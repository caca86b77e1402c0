"""Quitting while a plan or a restore runs: it is waited for, and said so; the second time it is not."""

from __future__ import annotations

import threading

import pytest

from memtui.ui import app as app_module
from memtui.ui.app import MemtuiApp
from tests.fakes import FakeHost
from tests.ui.conftest import MakeApp
from tests.ui.driving import advise, mark_regions, screen_text, settled, start, until

WIDE = (120, 36)


async def run_plan(app: MemtuiApp, pilot: object, host: FakeHost) -> None:
    """Have a plan stand in its middle, and another wait behind it."""
    await start(app, pilot)  # type: ignore[arg-type]
    await mark_regions(app, pilot, "hot region", "cold region")  # type: ignore[arg-type]
    for _ in range(2):
        await pilot.press("a")  # type: ignore[attr-defined]
        await settled(app, pilot)  # type: ignore[arg-type]
        await pilot.press("y")  # type: ignore[attr-defined]
    await until(lambda: host.applied and "HELD" in screen_text(app), pilot)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["q", "f10", "ctrl+q"])
async def test_quitting_waits_for_the_end_of_the_running_plan(make_app: MakeApp, key: str) -> None:
    gate = threading.Event()
    host = FakeHost(gate=gate)
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await run_plan(app, pilot, host)
        await pilot.press(key)
        await until(lambda: host.was_cancelled, pilot)
        await until(lambda: "Quitting when the pageout has ended" in screen_text(app), pilot)
        assert app.is_running
        assert "release" not in host.calls, "what is held is held to the edge of a call"
        gate.set()
        await until(lambda: app._exit, pilot)
    assert len(host.applied) == 1, "what waited is not begun"
    assert len(host.entries) == 1, "what ran is on record"
    assert app.return_code == 0


async def test_the_second_time_it_quits_at_once(make_app: MakeApp) -> None:
    gate = threading.Event()
    host = FakeHost(gate=gate)
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await run_plan(app, pilot, host)
        await pilot.press("q")
        await pilot.press("q")
        await until(lambda: app._exit, pilot)
        assert host.entries == []
    gate.set()
    assert app.session.wait_idle(10)


async def test_it_does_not_wait_for_ever(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "QUIT_WAITS_S", 0.2)
    gate = threading.Event()
    host = FakeHost(gate=gate)
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await run_plan(app, pilot, host)
        await pilot.press("q")
        await until(lambda: app._exit, pilot)
    assert not app.session.wait_idle(0)
    gate.set()
    assert app.session.wait_idle(10)


async def test_what_is_waited_for_is_told_also_from_below_a_dialog(make_app: MakeApp) -> None:
    gate = threading.Event()
    host = FakeHost(gate=gate)
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await run_plan(app, pilot, host)
        await pilot.press("at")
        await settled(app, pilot)
        await pilot.press("ctrl+q")
        await until(lambda: "Quitting when the pageout has ended" in screen_text(app), pilot)
        assert app.screen is app.main
        gate.set()
        await until(lambda: app._exit, pilot)


async def test_a_restore_is_waited_for_too(make_app: MakeApp) -> None:
    host = FakeHost()
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await advise(app, pilot)
        host.gate = threading.Event()
        await pilot.press("R")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: app.main.status_bar.running, pilot)
        await pilot.press("q")
        await until(lambda: "Quitting when the restore has ended" in screen_text(app), pilot)
        host.gate.set()
        await until(lambda: app._exit, pilot)
    assert host.entries[0].restored_bytes is not None


async def test_with_nothing_running_it_quits_at_once(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("q")
        await until(lambda: app._exit, pilot)
    assert app.return_code == 0

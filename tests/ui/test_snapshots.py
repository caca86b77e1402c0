"""Pictures of the screens, compared as SVG. They change with Textual and Rich, so both are fixed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import pytest
from textual.pilot import Pilot

from memtui.ui.app import MemtuiApp
from tests.ui.conftest import MakeApp
from tests.ui.driving import advise, index_of, look_back, mark_regions, rows_of, settled, start

pytestmark = pytest.mark.skipif(
    (version("textual"), version("rich")) != ("8.2.8", "15.0.0"),
    reason="the pictures were made with textual 8.2.8 and rich 15.0.0",
)

Compare = Callable[..., bool]
Drive = Callable[[MemtuiApp, Pilot[Any]], Awaitable[None]]


async def _main(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    await start(app, pilot)
    await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
    await advise(app, pilot)
    await look_back(app, pilot, 1, 0)
    await look_back(app, pilot, 10, 1 << 20)


async def _plan(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    await start(app, pilot)
    await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
    await pilot.press("a")
    await settled(app, pilot)


async def _result(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    await _main(app, pilot)
    await pilot.press("tab", "enter")
    await settled(app, pilot)


async def _explain(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    await start(app, pilot)
    app.main.map.table.go_to(rows_of(app).key(index_of(app, "file")))
    await pilot.press("x")
    await settled(app, pilot)


async def _restore(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    await _main(app, pilot)
    await pilot.press("R")
    await settled(app, pilot)


async def _ledger(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    await _main(app, pilot)
    await pilot.press("at")
    await settled(app, pilot)


DRIVES = {
    "main": _main,
    "plan": _plan,
    "result": _result,
    "explain": _explain,
    "restore": _restore,
    "ledger": _ledger,
}


@pytest.mark.parametrize("drive", DRIVES.values(), ids=DRIVES)
@pytest.mark.parametrize("size", [(120, 36), (80, 24)], ids=["wide", "narrow"])
def test_screen(make_app: MakeApp, snap_compare: Compare, drive: Drive, size: tuple[int, int]) -> None:
    app = make_app()

    async def run_before(pilot: Pilot[Any]) -> None:
        await drive(app, pilot)

    assert snap_compare(app, terminal_size=size, run_before=run_before)

"""Makes the screenshots of the documentation from made-up data: ``python screenshots/make.py [FOLDER]``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


from typing import TYPE_CHECKING

from memtui.model.result import RestoreResult  # noqa: E402
from memtui.ui.app import MemtuiApp  # noqa: E402
from memtui.ui.messages import ProcessesRead  # noqa: E402
from memtui.ui.options import UiOptions  # noqa: E402
from memtui.ui.presentation.results import RestoreResult  # noqa: E402
from tests.fakes import HOSTILE, PROCESSES, FakeHost  # noqa: E402
from tests.ui.driving import (  # noqa: E402
    advise,
    arranged,
    index_of,
    look_back,
    mark_regions,
    rows_of,
    settled,
    start,
    until,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot

WIDE, MEDIUM, NARROW = (120, 36), (100, 40), (80, 24)
PICTURED = tuple(item for item in PROCESSES if item.name not in HOSTILE)


def app() -> MemtuiApp:
    """Return the app on a machine without hostile names, which belong in tests."""
    return MemtuiApp(FakeHost(processes_now=PICTURED), UiOptions(pid=4242, demo=True), sampling=False)


async def read_again(shown: MemtuiApp, pilot: Pilot[None]) -> None:
    """Have the list show of the practice process what its map holds now."""
    space = shown.main.map.view.target.look()
    rss, swap = sum(filter(None, space.rss_bytes)), sum(filter(None, space.swap_bytes))
    now = [item._replace(rss_bytes=rss, swap_bytes=swap) if item.pid == 4242 else item for item in PICTURED]
    shown.main.post_message(ProcessesRead(tuple(now), 1.2))
    await pilot.pause()


async def picture(folder: Path) -> None:
    """Save all pictures."""
    shown = app()
    async with shown.run_test(size=WIDE) as pilot:
        await start(shown, pilot)
        await mark_regions(shown, pilot, "hot region", "cold region", "file")
        await pilot.press("a")
        await settled(shown, pilot)
        shown.save_screenshot("plan.svg", str(folder))
        await pilot.press("escape")
        await pilot.press("U")
        await mark_regions(shown, pilot, "cold region", "shared with a child", "file", "locked")
        await advise(shown, pilot)
        await read_again(shown, pilot)
        await look_back(shown, pilot, 1, 0)
        await look_back(shown, pilot, 10, 1228 << 10)
        shown.save_screenshot("main.svg", str(folder))
        await pilot.press("tab", "enter")
        await settled(shown, pilot)
        shown.save_screenshot("result.svg", str(folder))
        await pilot.press("escape", "R")
        await settled(shown, pilot)
        shown.save_screenshot("restore.svg", str(folder))
        await pilot.press("y")
        await until(lambda: isinstance(shown.main.results.newest, RestoreResult), pilot)
        await until(lambda: not shown.main.status_bar.running, pilot)
        await pilot.press("at")
        await settled(shown, pilot)
        shown.save_screenshot("ledger.svg", str(folder))
        await pilot.press("escape", "shift+tab")
        shown.main.map.table.go_to(rows_of(shown).key(index_of(shown, "file")))
        await pilot.press("x")
        await settled(shown, pilot)
        shown.save_screenshot("explain.svg", str(folder))
    shown = app()
    async with shown.run_test(size=NARROW) as pilot:
        await start(shown, pilot)
        await mark_regions(shown, pilot, "cold region", "file")
        shown.save_screenshot("narrow.svg", str(folder))
    shown = app()
    async with shown.run_test(size=MEDIUM) as pilot:
        await start(shown, pilot)
        await pilot.press("backslash", *"size", "greater_than_sign", *"64k", "f6", "f6")
        await arranged(shown, pilot)
        shown.save_screenshot("filter.svg", str(folder))


if __name__ == "__main__":
    asyncio.run(picture(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))

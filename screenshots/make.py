"""Makes the screenshots of the documentation from made-up data: ``python screenshots/make.py [FOLDER]``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from memtui.ui.app import MemtuiApp  # noqa: E402
from memtui.ui.options import UiOptions  # noqa: E402
from tests.fakes import HOSTILE, PROCESSES, FakeHost  # noqa: E402
from tests.ui.driving import advise, mark_regions, settled, start  # noqa: E402

WIDE, NARROW = (120, 36), (80, 24)
PICTURED = tuple(item for item in PROCESSES if item.name not in HOSTILE)


def app() -> MemtuiApp:
    """Return the app on a machine without hostile names, which belong in tests."""
    return MemtuiApp(FakeHost(processes_now=PICTURED), UiOptions(pid=4242, demo=True), sampling=False)


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
        shown.save_screenshot("main.svg", str(folder))
        await pilot.press("tab", "enter")
        await settled(shown, pilot)
        shown.save_screenshot("result.svg", str(folder))
    shown = app()
    async with shown.run_test(size=NARROW) as pilot:
        await start(shown, pilot)
        await mark_regions(shown, pilot, "cold region", "file")
        shown.save_screenshot("narrow.svg", str(folder))


if __name__ == "__main__":
    asyncio.run(picture(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))

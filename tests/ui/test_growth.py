"""What was on the screen and is gone is let go of."""

from __future__ import annotations

import gc
import weakref

from textual.widgets._footer import FooterKey

from memtui.ui.app import MemtuiApp
from memtui.ui.options import UiOptions
from tests.fakes import FakeHost


async def test_the_line_of_keys_does_not_keep_the_keys_that_were_there() -> None:
    app = MemtuiApp(FakeHost(), UiOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        seen: weakref.WeakSet[FooterKey] = weakref.WeakSet()
        for _ in range(5):
            seen.update(app.screen.query(FooterKey))
            await pilot.press("question_mark")
            await pilot.pause()
            seen.update(app.screen.query(FooterKey))
            await pilot.press("escape")
            await pilot.pause()
        gc.collect()
        # What is shown now, and at most what was shown before it.
        assert 0 < len(seen) <= 3 * len(app.screen.query(FooterKey))

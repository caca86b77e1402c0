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
        made = 0
        for _ in range(5):
            for key in ("question_mark", "escape"):
                shown = set(app.screen.query(FooterKey))
                made = max(made, len(shown))
                seen.update(shown)
                del shown
                await pilot.press(key)
                await pilot.pause()
        gc.collect()
        # At most what was shown last, of all that was shown.
        assert made > 0
        assert len(seen) <= made

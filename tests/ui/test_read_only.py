"""--read-only: there is no key that acts, and no way behind the keys either."""

from __future__ import annotations

import pytest

from memtui.host import Wanted
from memtui.model.advice import Advice
from memtui.ui.commands import ACTING
from tests.fakes import FakeHost
from tests.ui.conftest import MakeApp
from tests.ui.driving import host_of, screen_text, start

KEYS = ("a", "f9", "f", "exclamation_mark", "f12", "space", "v", "asterisk", "U", "y")


async def test_no_key_acts(make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(120, 36)) as pilot:
        await start(app, pilot)
        before = app.session.freeze
        for pane in ("", "escape", "shift+tab"):
            await pilot.press(*([pane] if pane else []), *KEYS)
            assert app.screen is app.main
        assert app.session.freeze is before
        assert app.session.marks.counts == {}
        assert "read only: nothing here can act" in screen_text(app)
        footer = screen_text(app).split("\n")[-1]
        for word in ("Mark", "Plan", "Freeze", "Thaw", "Range"):
            assert word not in footer
        await pilot.press("ctrl+z")
    assert set(host_of(app).calls) <= {"release"}


async def test_no_action_acts_either(make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(120, 36)) as pilot:
        target = await start(app, pilot)
        for name in sorted(ACTING):
            node = app if name == "thaw_now" else app.main
            assert node.check_action(name, ()) is False
        app.main.action_plan()
        app.action_thaw_now()
        await pilot.pause()
        assert app.screen is app.main
        assert app.session.operator is None
        assert app.session.thaw() is None
        plan = FakeHost.plan(host_of(app), Advice.PAGEOUT, [Wanted(target)])
        with pytest.raises(PermissionError):
            app.session.submit(plan, ())
    assert host_of(app).applied == []


async def test_the_help_has_no_acting_key(make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(120, 90)) as pilot:
        await pilot.press("f1")
        text = screen_text(app)
        assert "This help" in text
        for words in ("Thaw", "plan dialog", "Mark", "Plan dialog"):
            assert words not in text

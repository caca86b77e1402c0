"""--read-only: there is no key that acts, and no way behind the keys either."""

from __future__ import annotations

import pytest

from memtui.host import Selection
from memtui.model.advice import Advice
from memtui.ui.bindings import ACTING
from tests.fakes import FakeHost
from tests.ui.conftest import MakeApp
from tests.ui.driving import host_of, screen_text, settled, start

KEYS = ("a", "f9", "f", "exclamation_mark", "f12", "space", "v", "asterisk", "U", "y", "R")


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
        for word in ("Mark", "Plan", "Freeze", "Release", "Range", "Restore"):
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
        app.main.action_restore()
        app.action_thaw_now()
        await pilot.pause()
        assert app.screen is app.main
        assert app.session.executor is None
        assert app.session.thaw() is None
        plan = FakeHost.plan(host_of(app), Advice.PAGEOUT, [Selection(target)])
        with pytest.raises(PermissionError):
            app.session.submit(plan, ())
        with pytest.raises(PermissionError):
            app.session.submit_restore(())
    assert host_of(app).applied == []


async def test_the_help_has_no_acting_key(make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(120, 120)) as pilot:
        await pilot.press("f1")
        text = screen_text(app)
        assert "This help" in text
        for words in ("Release", "plan dialog", "Mark", "Plan dialog", "Restore", "Put back"):
            assert words not in text


async def test_the_ledger_and_explanations_can_be_read_but_restore_nothing(make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(120, 36)) as pilot:
        target = await start(app, pilot)
        FakeHost.apply(host_of(app), FakeHost.plan(host_of(app), Advice.PAGEOUT, [Selection(target)]))
        await pilot.press("x")
        await settled(app, pilot)
        assert "What each advice would do" in screen_text(app)
        await pilot.press("escape", "at")
        await settled(app, pilot)
        for _ in range(2):
            assert "pageout" in screen_text(app).lower()
            assert "Restore" not in screen_text(app)
            await pilot.press("R", "enter")
            await pilot.pause()
        assert app.session.executor is None
    assert not any("restore" in call for call in host_of(app).calls)

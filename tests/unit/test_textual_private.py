"""The private names of Textual that memtui uses do what textual_private says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

import memtui.ui
from memtui.ui.textual_private import drop_dead_watchers, event_loop, run_bound


class Small(App[None]):
    """Two keys, one of them of priority."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "note('plain')", "Plain"),
        Binding("b", "note('first')", "First", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def compose(self) -> ComposeResult:
        yield Footer(show_command_palette=False)

    def action_note(self, what: str) -> None:
        self.noted.append(what)


async def test_a_bound_key_runs_its_action_at_once() -> None:
    async with Small().run_test() as pilot:
        app = pilot.app
        assert isinstance(app, Small)
        assert await run_bound(app, "a")
        assert await run_bound(app, "b")
        assert not await run_bound(app, "c")
        assert app.noted == ["plain", "first"]


async def test_the_loop_is_known_while_the_app_runs() -> None:
    app = Small()
    assert event_loop(app) is None
    async with app.run_test():
        assert event_loop(app) is asyncio.get_running_loop()


async def test_a_footer_keeps_its_keys_of_before_unless_they_are_dropped() -> None:
    async with Small().run_test() as pilot:
        footer = pilot.app.query_one(Footer)
        await pilot.press("a")

        def watching() -> list[object]:
            return [item[0] for item in getattr(footer, "__watchers")["compact"]]

        alive = len(footer.query(FooterKey))
        assert len(watching()) == alive > 0
        footer.refresh(recompose=True)
        await pilot.pause()
        assert len(watching()) == 2 * alive, "Textual drops them by itself now: drop_dead_watchers can go"
        drop_dead_watchers(footer)
        assert watching() == list(footer.query(FooterKey))


def test_no_other_module_names_what_is_private_to_textual() -> None:
    room = Path(memtui.ui.__file__).parent
    private = re.compile(r"_check_bindings|\b\w+\._loop\b|__watchers|textual\._|textual\.\w+\._")
    found = [
        path.name
        for path in room.rglob("*.py")
        if path.name != "textual_private.py" and private.search(path.read_text())
    ]
    assert not found

"""What is typed, clicked and pasted takes effect in the order in which it came, however fast it comes.

Textual sends a key to what has the focus, and looks for its binding once the key has come back up from
there, in whatever has the focus by then: of ``jj/`` the search would open first, and ``jj`` be lost. Over a
slow line, or where somebody types ahead, keys come together.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from textual import events
from textual.app import App
from textual.errors import NoWidget
from textual.widgets import Input

from memtui.ui.textual_private import run_bound

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.message_pump import MessagePump
    from textual.widget import Widget

_TAKEN_S = 0.5


class OrderedInputApp(App[None]):
    """An app that has one key, click or paste do all that it does before it looks at the next."""

    async def on_event(self, event: events.Event) -> None:
        """Take an event of the terminal to its end, or any other as Textual does."""
        if not isinstance(event, (events.InputEvent, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
        elif isinstance(event, events.Key):
            await self.take_key(event)
        else:
            at = self._widget_of(event)
            await super().on_event(event)
            await self._settle(at)

    async def take_key(self, event: events.Key) -> None:
        """Have a key do all that it does."""
        focused, screen = self.focused, self.screen
        # As Textual does: who types is here.
        if not self.app_focus:
            self.app_focus = True
        is_text = isinstance(focused, Input) and focused.check_consume_key(event.key, event.character)
        if is_text or (screen.maximized is not None and event.key == "escape"):
            await super().on_event(event)
        else:
            # One that is bound to nothing goes nowhere: it might come back up in another screen.
            await run_bound(self, event.key)
        if self.screen is not screen:
            await has_taken(self.screen)
        elif isinstance(focused, Input) or screen.is_modal:
            await self._settle(focused)

    def _widget_of(self, event: events.Event) -> Widget | None:
        """Return who gets a paste, or a click; None for what is only a move of the mouse."""
        if isinstance(event, events.Paste):
            return self.focused
        if isinstance(event, (events.MouseDown, events.MouseUp)):
            with suppress(NoWidget):
                return self.get_widget_at(event.x, event.y)[0]
        return None

    async def _settle(self, widget: DOMNode | None) -> None:
        """Wait until a widget, and all above it, have taken what was sent there: one tells the next."""
        if widget is None:
            return
        for node in widget.ancestors_with_self:
            if node is self or not node.is_attached:
                break
            await has_taken(node)


async def has_taken(pump: MessagePump) -> None:
    """Wait until a screen or a widget has taken what was posted to it so far, or has opened."""
    all_taken = asyncio.Event()
    if pump.call_later(all_taken.set):
        with suppress(asyncio.TimeoutError):
            # Moments, but where it is being taken down.
            await asyncio.wait_for(all_taken.wait(), _TAKEN_S)

"""The line of keys. A narrow one leaves to the help what is not needed at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Footer

from memtui.ui.textual_private import drop_dead_watchers

if TYPE_CHECKING:
    from textual.app import ComposeResult


class KeyLine(Footer):
    """Textual's footer. The keys of the ``secondary`` actions carry the class ``-secondary``."""

    def __init__(self, secondary: frozenset[str] = frozenset()) -> None:
        super().__init__(show_command_palette=False)
        self._secondary = secondary

    def compose(self) -> ComposeResult:
        """Mark the secondary keys, so that the style sheet can hide them."""
        drop_dead_watchers(self)
        for widget in super().compose():
            if getattr(widget, "action", None) in self._secondary:
                widget.add_class("-secondary")
            yield widget

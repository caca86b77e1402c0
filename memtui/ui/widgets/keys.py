"""The line of keys. A narrow one leaves to the help what is not needed at every step."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer

from memtui.ui.textual_private import drop_dead_watchers


class KeyLine(Footer):
    """Textual's footer. The keys of the ``lesser`` actions carry the class ``-lesser``."""

    def __init__(self, lesser: frozenset[str] = frozenset()) -> None:
        super().__init__(show_command_palette=False)
        self._lesser = lesser

    def compose(self) -> ComposeResult:
        """Mark the lesser keys, so that the style sheet can hide them."""
        drop_dead_watchers(self)
        for widget in super().compose():
            if getattr(widget, "action", None) in self._lesser:
                widget.add_class("-lesser")
            yield widget

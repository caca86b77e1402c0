"""The line of keys. A narrow one leaves to the help what is not needed at every step."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from memtui.ui.commands import SECOND


class KeyLine(Footer):
    """Textual's footer, whose lesser keys carry the class ``-second``."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)

    def compose(self) -> ComposeResult:
        """Mark the lesser keys, so that the style sheet can hide them."""
        for widget in super().compose():
            if isinstance(widget, FooterKey) and widget.action in SECOND:
                widget.add_class("-second")
            yield widget

"""The line of keys. A narrow one leaves to the help what is not needed at every step."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer


class KeyLine(Footer):
    """Textual's footer. The keys of the ``lesser`` actions carry the class ``-lesser``."""

    def __init__(self, lesser: frozenset[str] = frozenset()) -> None:
        super().__init__(show_command_palette=False)
        self._lesser = lesser

    def compose(self) -> ComposeResult:
        """Mark the lesser keys, so that the style sheet can hide them."""
        self._forget_removed()
        for widget in super().compose():
            if getattr(widget, "action", None) in self._lesser:
                widget.add_class("-lesser")
            yield widget

    def _forget_removed(self) -> None:
        """Let go of the keys that were here before.

        Textual's footer binds each key's ``compact`` to its own, and forgets the keys that are gone only when
        that changes, which is never: two dozen widgets at each change of the focus (Textual 8).
        """
        for watching in getattr(self, "__watchers", {}).values():
            watching[:] = [item for item in watching if item[0].is_running]

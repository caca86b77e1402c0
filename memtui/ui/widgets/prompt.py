"""The line in which a filter or a search is typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from memtui.format import SafeText
from memtui.ui.bindings import PROMPT_BINDINGS
from memtui.ui.widgets.header import TextLine

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

End = Callable[[bool], None]
"""What is called at the end: whether what was typed is to be kept."""


class PromptInput(Input):
    """The text. It has no keys of its own but those that edit it, and PROMPT_BINDINGS."""

    BINDINGS: ClassVar[list[BindingType]] = [*PROMPT_BINDINGS]

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False, id="prompt-text")
        # A cursor that blinks is sent over the line twice a second.
        self.cursor_blink = False
        self.end: End = lambda accepted: None

    def action_accept(self) -> None:
        """Keep what stands there."""
        self.end(True)

    def action_cancel(self) -> None:
        """Have it as it was before."""
        self.end(False)

    def action_move(self, rows: int) -> None:
        """Move the cursor of the list."""
        self.post_message(Prompt.ListMoved(rows))

    def on_blur(self, event: events.Blur) -> None:
        """Keep what stands there, when a click goes elsewhere."""
        self.end(True)


class Prompt(Horizontal):
    """A word and a line of text. Hidden until it is opened."""

    @dataclass(eq=False, repr=False)
    class ListMoved(Message):
        """The list's cursor is to move by rows."""

        rows: int

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self._word = TextLine(id="prompt-word")
        self._input = PromptInput()
        self.display = False

    def compose(self) -> ComposeResult:
        """Put the word before the text."""
        yield self._word
        yield self._input

    @property
    def text(self) -> str:
        """What was typed."""
        return self._input.value

    @property
    def text_column(self) -> int:
        """In which cell of the line the text begins."""
        return len(self._word.text)

    def open(self, word: str, text: str, end: End) -> None:
        """Show it, with a text to begin with, and have the keys go there; ``end`` is called at the end."""
        self._input.end = end
        self._word.text = SafeText(f" {word}: ")
        self._word.styles.width = self.text_column
        with self._input.prevent(Input.Changed):
            self._input.value = text
        self._input.cursor_position = len(text)
        self.display = True
        self.screen.set_focus(self._input)

    def stay(self) -> None:
        """Have the keys go there again."""
        self.screen.set_focus(self._input)

    def close(self) -> None:
        """Hide it."""
        self.display = False

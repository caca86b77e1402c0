"""The lines under the panes: what is marked and how it would be held; what goes on, or was said last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.containers import Horizontal, Vertical

from memtui.format import SafeText, safe
from memtui.ui.widgets.header import TextLine
from memtui.ui.widgets.prompt import End, Prompt
from memtui.ui.widgets.status import progress_words

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

    from memtui.model.report import Progress

_MESSAGE_STAYS_S = 10.0
_HELD_TICK_S = 0.2


class StatusBar(Vertical):
    """Two lines. The second one belongs to the running plan or restore while there is one.

    The prompt takes the first one's place while it is open.
    """

    def __init__(self) -> None:
        super().__init__(id="status-bar")
        self._marks = TextLine(id="marks")
        self._freeze = TextLine(id="freeze")
        self._message = TextLine(id="message")
        self._standing = Horizontal(self._marks, self._freeze, id="standing")
        self.prompt = Prompt()
        self._what: str | None = None
        self._progress: Progress | None = None
        self._held_since: float | None = None
        self._waiting = 0
        self._is_cancelling = False
        self._topic: object = None
        """What the line that stands there is about, as it was then; None where that cannot go out of date."""
        self._quits = False
        self._clearing: Timer | None = None
        self._ticking: Timer | None = None

    def compose(self) -> ComposeResult:
        """Put the lines below one another."""
        yield self._standing
        yield self.prompt
        yield self._message

    @property
    def running(self) -> bool:
        """Whether a plan or a restore is being carried out."""
        return self._what is not None

    def show_marks(self, words: SafeText, freeze: SafeText) -> None:
        """Show what is marked, and the freeze method of the next plan."""
        self._marks.text = SafeText(f" {words}")
        self._freeze.text = freeze

    def prompt_for(self, word: str, text: str, end: End) -> None:
        """Open the prompt in place of the first line; ``end`` is called when it ends."""
        self._standing.display = False
        self.prompt.open(word, text, end)

    def close_prompt(self) -> None:
        """Show the first line again."""
        self.prompt.close()
        self._standing.display = True

    def point_at(self, column: int, words: str) -> None:
        """Point at a column (from 1) of what was typed, with words, raw, on the side that has room."""
        at, width = self.prompt.text_column + column - 1, self.size.width
        behind = f"{' ' * at}^ {words}"
        if len(behind) > width and len(words) + 2 <= at:
            behind = f"{words:>{at - 1}} ^"
        self._put(safe(behind), bad=True)

    def say(self, words: str, *, bad: bool = False, stays: bool = False, topic: object = None) -> None:
        """Show a line, raw; it goes away after a while unless it ``stays`` until the next one.

        One that is about a ``topic`` goes when that is another: see :meth:`outdate`.
        """
        self._put(safe(f" {'! ' if bad else ''}{words}" if words else ""), bad=bad)
        self._topic = topic
        if words and not stays:
            self._clearing = self.set_timer(_MESSAGE_STAYS_S, self._clear)

    def outdate(self, topic: object) -> None:
        """Take away a line about what is no longer so: the line above says how things stand now."""
        if self._topic is not None and self._topic != topic:
            self._clear()

    def _put(self, text: SafeText, *, bad: bool) -> None:
        """Show a line until the next one."""
        if self._clearing is not None:
            self._clearing.stop()
            self._clearing = None
        self._message.set_class(bad, "-bad")
        self._message.text = text

    def _clear(self) -> None:
        self._topic = None
        if not self.running:
            self.say("")

    def plan_waits(self) -> None:
        """Another plan was put behind the running one."""
        if self.running:
            self._waiting += 1
            self._show_run()

    def run_started(self, what: str) -> None:
        """A plan or a restore began; ``what`` is its word."""
        self._what, self._progress, self._held_since = what, None, None
        self._is_cancelling = False
        self._message.add_class("-running")
        self._ticking = self.set_interval(_HELD_TICK_S, self._show_run)
        self._show_run()

    def run_cancelling(self) -> None:
        """It was asked to end, and does so at its call's edge."""
        self._is_cancelling = True
        self._show_run()

    def run_progressed(self, progress: Progress) -> None:
        """It came further."""
        self._progress = progress
        if not progress.holding:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = time.monotonic()
        self._show_run()

    def run_ended(self, waiting: int) -> None:
        """It is done with."""
        self._what, self._waiting = None, waiting
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        self._message.remove_class("-running")
        self.say("")

    def say_quitting(self) -> None:
        """Say that it is quit as soon as what runs has come to an edge."""
        self._quits = True
        self._show_run()

    def _show_run(self) -> None:
        if self._what is not None and self._quits:
            self._message.remove_class("-bad")
            self._message.text = SafeText(
                f" Quitting when the {self._what} has ended, at its next edge; q quits at once"
            )
        elif self._what is not None:
            held_s = None if self._held_since is None else time.monotonic() - self._held_since
            self._message.remove_class("-bad")
            self._message.text = SafeText(
                f" {progress_words(self._what, self._progress, held_s, self._waiting, self._is_cancelling)}"
            )

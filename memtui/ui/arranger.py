"""The thread that sorts, filters and searches what is too long for the UI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from memtui.ui.lists.order import Stale, Superseded
from memtui.ui.messages import Post, Said
from memtui.ui.sampler import words_of

Question = Callable[[Stale], None]
"""What is to be done; it posts its answer itself, and ends by Superseded where nobody waits for it."""


class Arranger(threading.Thread):
    """Answers one question at a time; of each subject only the newest. Used from any thread."""

    def __init__(self, post: Post) -> None:
        super().__init__(name="memtui-arranger", daemon=True)
        self._post = post
        self._wake = threading.Condition()
        self._waiting: dict[str, Question] = {}
        self._turns: dict[str, int] = {}
        self._stopping = False
        self.asked = 0
        """How many questions were asked so far."""

    def ask(self, subject: str, question: Question) -> None:
        """Have a question answered, in place of an older one of the same subject."""
        with self._wake:
            self._waiting[subject] = question
            self._turns[subject] = self._turns.get(subject, 0) + 1
            self.asked += 1
            self._wake.notify()

    def drop(self, subject: str) -> None:
        """Wait for no answer any more."""
        with self._wake:
            self._waiting.pop(subject, None)
            self._turns[subject] = self._turns.get(subject, 0) + 1

    def stop(self) -> None:
        """End as soon as possible."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def run(self) -> None:
        """Answer until stopped."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                subject = next(iter(self._waiting))
                question, turn = self._waiting.pop(subject), self._turns[subject]
            self._answer(subject, question, turn)

    def _answer(self, subject: str, question: Question, turn: int) -> None:
        def stale() -> bool:
            return self._stopping or self._turns[subject] != turn

        try:
            question(stale)
        except Superseded:
            return
        except Exception as error:  # The thread must live on; the operator is told.
            self._post(Said(words_of(error), bad=True))

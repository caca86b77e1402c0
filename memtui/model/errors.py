"""The errors that memtui tells its operator. Each becomes one line; none becomes a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memtui.model.reasons import Reason


def with_step(words: str, reason: Reason) -> str:
    """Return words with the reason's next step behind them, if they name none of their own."""
    step = reason.next_step
    own = not step or step in words or "; use --freeze" in words
    return words if own else f"{words}; {step}"


class MemtuiError(Exception):
    """Something could not be done: a reason with a stable code, and the words for it.

    ``subject`` is what it concerns (``process 42``); ``detail`` replaces the reason's own words.
    The text is raw: it passes ``text.safe`` where it is shown.
    """

    def __init__(self, reason: Reason, subject: str = "", detail: str | None = None) -> None:
        self.reason = reason
        self.subject = subject
        self.words = detail or reason.text
        """What is wrong, without the subject and the next step."""
        told = self.words if self.words.startswith(subject) else f"{subject}: {self.words}"
        super().__init__(with_step(told, reason))


class NoSuchProcess(MemtuiError):
    """The process is gone, or was never there."""


class NotPermitted(MemtuiError):
    """The operator may not do this."""


class Unusable(MemtuiError):
    """The target has no memory that could be read or advised (a zombie, a kernel thread)."""


class FilterError(ValueError):
    """A term of a filter is wrong; ``column`` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        self.column = column
        super().__init__(f"{message} (column {column})")

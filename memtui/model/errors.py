"""The errors that memtui tells its operator. Each becomes one line; none becomes a traceback."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

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
    The text is raw: it passes ``format.safe`` where it is shown.
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


FilterDomain = Literal["vma", "process"]
"""What a filter is for."""


class FilterMistake(Enum):
    """What is wrong with a term of a filter."""

    OPEN_QUOTE = "open_quote"
    NOTHING_NEGATED = "nothing_negated"
    BLANK_IN_TERM = "blank_in_term"
    NO_SUCH_KEY = "no_such_key"
    FOR_OTHERS = "for_others"
    NOT_COMPARED = "not_compared"
    NO_COLON = "no_colon"
    NO_VALUE = "no_value"
    NOT_A_SIZE = "not_a_size"
    NO_SUCH_KIND = "no_such_kind"
    NOT_PERMISSIONS = "not_permissions"
    NOT_A_FLAG = "not_a_flag"
    NOT_AN_ADDRESS = "not_an_address"
    NO_SUCH_ADVICE = "no_such_advice"
    NOT_A_PID = "not_a_pid"
    NOT_A_STATE = "not_a_state"


class FilterError(ValueError):
    """A term of a filter for ``of`` is wrong; ``column`` counts from 1, ``key`` is the term's if it matters.

    ``render.filter`` has the words for it.
    """

    def __init__(
        self, mistake: FilterMistake, term: str, column: int, of: FilterDomain = "vma", key: str = ""
    ) -> None:
        self.mistake = mistake
        self.term = term
        self.column = column
        self.of = of
        self.key = key
        super().__init__(f"{term}: {mistake.value} (column {column})")

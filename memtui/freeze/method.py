"""What a way of holding a process still must be able to do, for the guard to use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from memtui.model.errors import MemtuiError
from memtui.model.plan import Freeze
from memtui.model.verdict import Reason


class FreezeError(MemtuiError):
    """A process could not be held still. What was stopped of it runs on."""

    def __init__(self, reason: Reason, subject: str = "", detail: str | None = None) -> None:
        self.detail = detail
        super().__init__(reason, subject, detail)


class Grip(Protocol):
    """A method at work on one process. Used by one OS thread only, and never waits."""

    @property
    def threads(self) -> int:
        """How many threads stand still."""

    def advance(self) -> bool:
        """Do what can be done now; return whether every thread stands still.

        Raises:
            FreezeError: it cannot be held; let go of it.
        """

    def notice(self, tid: int, status: int) -> None:
        """Take in what waitpid(2) reported of a thread."""

    def waits_for(self) -> str:
        """Return, in words, what has not stopped yet."""

    def let_go(self) -> bool:
        """Let every thread run on, at once; return whether none is left that only our end can free."""

    @property
    def lost(self) -> str | None:
        """Why it did not stand still throughout, as far as :meth:`let_go` saw; None if it did."""


Begin = Callable[[int], Grip]
"""Starts a grip on a pid, whose identity the caller checks before and after; touches nothing yet."""


def method_named(name: str, methods: dict[Freeze, Begin]) -> Begin:
    """Return a method.

    Raises:
        FreezeError: FREEZE_UNSUPPORTED.
    """
    for method, begin in methods.items():
        if method.value == name:
            return begin
    raise FreezeError(Reason.FREEZE_UNSUPPORTED, name)

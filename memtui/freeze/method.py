"""What a way of holding a process still must be able to do, for the guard to use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from memtui.model.errors import MemtuiError

if TYPE_CHECKING:
    from memtui.freeze.bystanders import Bystanders
    from memtui.freeze.journal import Journal
    from memtui.model.reasons import Reason


class FreezeError(MemtuiError):
    """A process could not be held still. What was stopped of it runs on."""

    def __init__(self, reason: Reason, subject: str = "", detail: str | None = None) -> None:
        self.detail = detail
        super().__init__(reason, subject, detail)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom to hold. The caller checks that pid and start time are those of the pidfd, before and after.

    ``pause`` is called at the stopping points of tests.
    """

    pid: int
    start_time: int
    pidfd: int
    journal: Journal
    bystanders: Bystanders
    pause: Callable[[str], None]


class Freezer(Protocol):
    """A method at work on one process. Used by one OS thread only, and never waits long."""

    tick_s: float
    """How soon to look again while it is not complete and nothing is reported."""
    ends_with_us: bool
    """Whether the kernel ends it when we die. The others stand in the journal."""

    @property
    def threads(self) -> int:
        """How many threads stand still."""

    @property
    def stopped_at(self) -> float | None:
        """From when on it may have stood still (monotonic clock); None before."""

    def prepare(self) -> None:
        """Look whether it can be held, and make ready; the process is not touched yet.

        Raises:
            FreezeError: it cannot be held; tidy up.
        """

    def advance(self) -> bool:
        """Do what can be done now; return whether every thread stands still.

        Raises:
            FreezeError: it cannot be held; let go of it, and tidy up.
        """

    def on_wait_status(self, tid: int, status: int) -> None:
        """Take in what waitpid(2) reported of a thread."""

    def pending(self) -> str:
        """Return, in words, what has not stopped yet."""

    def release(self) -> bool:
        """Let every thread run on, at once; return whether none is left that only our end can free."""

    def cleanup(self) -> None:
        """Clear away what was made ready, now that the process runs on. May be called again."""

    @property
    def lost(self) -> str | None:
        """Why it did not stand still throughout, as far as :meth:`release` saw; None if it did."""


Begin = Callable[[Subject], Freezer]
"""Starts a freezer; touches nothing yet."""

"""What a session keeps of what it did: the report of a plan with the looks back at it, or of a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memtui.model.report import RefaultSample, RefaultVerdict, TargetReport, refault_verdict

if TYPE_CHECKING:
    from memtui.model.advice import Advice
    from memtui.model.restore import RestoreReport


class Result(NamedTuple):
    """A report, with the advice that it is about, and the looks back at it that were kept, and the last.

    ``was_restored`` tells that what is back was put back, so that it no longer speaks of the advice.
    """

    advice: Advice
    report: TargetReport
    looks: tuple[RefaultSample, ...] = ()
    last_is_kept: bool = True
    was_restored: bool = False

    @property
    def id(self) -> str:
        """Which target of which action it is about."""
        return self.report.id

    def looked_back(self, back: RefaultSample, *, kept: bool) -> Result:
        """Return the result after another look back."""
        looks = self.looks if self.last_is_kept else self.looks[:-1]
        return self._replace(looks=(*looks, back), last_is_kept=kept)

    @property
    def back_bytes(self) -> int | None:
        """How much had come back at the last look."""
        return self.looks[-1].back_bytes if self.looks else None

    @property
    def stayed(self) -> RefaultVerdict | None:
        """What the last look says; None where there was none, or it cannot say."""
        if self.was_restored:
            return None
        return refault_verdict(self.report.moved_bytes, self.looks[-1]) if self.looks else None


class RestoreResult(NamedTuple):
    """What came of putting back what an action had moved."""

    report: RestoreReport

    @property
    def id(self) -> str:
        """Which target of which action was put back."""
        return self.report.planned.id

"""A report: what came of a plan, target by target and range by range."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from memtui.model.plan import Freeze, PlannedRange, TargetPlan
from memtui.model.verdict import Reason


class Outcome(str, Enum):
    """How an advice ended."""

    DONE = "done"
    """The kernel took it, and an effect was seen."""
    UNVERIFIED = "unverified"
    """The kernel took it; nothing can show whether it had an effect."""
    NO_EFFECT = "no_effect"
    """The kernel took it, and nothing happened."""
    PARTIAL = "partial"
    REFUSED = "refused"
    CHANGED = "changed"
    GONE = "gone"
    RACED = "raced"
    FREEZE_LOST = "freeze_lost"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(slots=True)
class RangeReport:
    """What came of one planned range; bytes, None where it could not be seen.

    ``advised_bytes`` is the kernel's word, ``moved_bytes`` what was seen: see TargetReport.
    """

    planned: PlannedRange
    advised_bytes: int = 0
    moved_bytes: int | None = None
    rss_before_bytes: int | None = None
    rss_after_bytes: int | None = None
    swap_before_bytes: int | None = None
    swap_after_bytes: int | None = None
    outcome: Outcome = Outcome.CANCELLED
    errno: str | None = None
    reason: Reason | None = None
    reason_text: str | None = None


@dataclass(slots=True)
class Effect:
    """What changed while a target was worked on; bytes, None where not known.

    The first three are of the target's ranges, the last two of the whole machine.
    """

    rss_delta_bytes: int | None = None
    swap_delta_bytes: int | None = None
    referenced_delta_bytes: int | None = None
    mem_free_delta_bytes: int | None = None
    swap_cached_delta_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Back:
    """How much of what was moved had come back ``after_s`` seconds later."""

    after_s: float
    back_bytes: int | None
    major_faults: int | None


@dataclass(slots=True)
class TargetReport:
    """What came of a plan for one target.

    ``moved_bytes``: for PAGEOUT the bytes that left RSS, for COLLAPSE the huge-page bytes gained; for
    COLD and WILLNEED None, since their effect is not a movement: see ``effect``.
    """

    id: str
    action_id: str
    time: str
    planned: TargetPlan
    freeze: Freeze
    ranges: list[RangeReport]
    moved_bytes: int | None = None
    calls: int = 0
    holds: int = 0
    elapsed_ms: float = 0.0
    held_ms: float = 0.0
    longest_held_ms: float = 0.0
    effect: Effect = field(default_factory=Effect)
    back: list[Back] = field(default_factory=list)
    outcome: Outcome = Outcome.CANCELLED
    reason: Reason | None = None
    reason_text: str | None = None

    @property
    def requested_bytes(self) -> int:
        """What was asked for."""
        return self.planned.requested_bytes

    @property
    def advised_bytes(self) -> int:
        """The kernel's word."""
        return sum(item.advised_bytes for item in self.ranges)

    def total(self, name: str) -> int | None:
        """Return the sum of a field of the ranges over those that were looked at; None if none was."""
        seen = [value for item in self.ranges if (value := getattr(item, name)) is not None]
        return sum(seen) if seen else None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a plan has come: bytes of its ranges dealt with, of all."""

    target: str
    done_bytes: int
    total_bytes: int
    calls: int
    holding: bool

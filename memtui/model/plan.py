"""A plan: on whom, which ranges, which advice, how held still, and what is expected of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from memtui.model.freeze import DEFAULT_HOLD_MS, Freeze
from memtui.model.verdict import ReasonBytes, Verdict
from memtui.model.vma import VmaIdentity, VmaKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memtui.model.advice import Advice
    from memtui.model.process import ProcessId
    from memtui.model.ranges import Range
    from memtui.model.reasons import Reason


class Mark(NamedTuple):
    """A range that the operator marked, and what stood there then.

    ``identity`` is None for a range given by address alone: whatever stands there when the plan is
    made is meant.
    """

    range: Range
    identity: VmaIdentity | None


class PlannedRange(NamedTuple):
    """One VMA's part of a plan. ``identity`` and ``kind`` are None where nothing is mapped.

    ``swap_by_smaps`` tells that the page table shows as swapped what may be no more than markers: see
    AddressSpace.
    """

    range: Range
    name: str
    identity: VmaIdentity | None
    kind: VmaKind | None
    verdict: Verdict
    swap_by_smaps: bool = False

    @property
    def requested_bytes(self) -> int:
        """What was asked for."""
        return self.range.end - self.range.start

    @property
    def has_pages(self) -> bool:
        """Whether pages can stand there that can be looked at: something is mapped, and below the kernel."""
        return self.kind not in (None, VmaKind.VSYSCALL)

    @property
    def goes(self) -> bool:
        """Whether the range goes to the kernel at all."""
        return self.identity is not None and not self.verdict.refused


def sum_reasons(ranges: Iterable[PlannedRange]) -> tuple[ReasonBytes, ...]:
    """Add up the reasons of ranges, the weightiest first; bytes that are unknown somewhere are None."""
    totals: dict[Reason, int | None] = {}
    # Ranges that are alike share their reasons.
    for reasons, times in Counter([item.verdict.reasons for item in ranges]).items():
        for why in reasons:
            was, count = totals.get(why.reason, 0), why.count_bytes
            totals[why.reason] = None if was is None or count is None else was + count * times
    found = [ReasonBytes(reason, count) for reason, count in totals.items()]
    return tuple(sorted(found, key=lambda why: -(why.count_bytes or 0)))


def _sum_known(parts: list[int | None]) -> int | None:
    """Return the sum; None where a part is not known."""
    return None if None in parts else sum(cast("list[int]", parts))


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """One process's part of a plan.

    ``blocked`` is why nothing can be advised at all, or None. ``freeze`` is the method chosen for
    this target, ``freeze_is_ours`` tells that the operator left the choice to us, and
    ``freeze_reason`` why it is off then.
    """

    process: ProcessId
    name: str
    ranges: tuple[PlannedRange, ...]
    freeze: Freeze
    freeze_reason: str | None = None
    freeze_is_ours: bool = False
    blocked: Reason | None = None
    blocked_text: str | None = None
    self_advised: bool = False
    generation: int = 0
    """Which opening of the process was looked at: after an exec the same process is another one."""
    layout: bytes = field(default=b"", repr=False, compare=False)
    """The digest of the text of the map in which all ranges that go were found; empty if not known."""
    requested_bytes: int = field(init=False, repr=False, compare=False)
    """What was asked for, in all."""
    forecast_bytes: int | None = field(init=False, repr=False, compare=False)
    """What is expected to come of it: nothing where it is blocked; None where a part is not known."""

    def __post_init__(self) -> None:
        asked = sum([item.range.end - item.range.start for item in self.ranges])
        object.__setattr__(self, "requested_bytes", asked)
        parts = [] if self.blocked is not None else [item.verdict.forecast_bytes for item in self.ranges]
        expected = _sum_known(parts)
        object.__setattr__(self, "forecast_bytes", expected)

    @property
    def reasons(self) -> tuple[ReasonBytes, ...]:
        """Why the forecast is less than what was asked for, by reason."""
        return sum_reasons(self.ranges)


class Plan(NamedTuple):
    """What is about to be done."""

    advice: Advice
    targets: tuple[TargetPlan, ...]
    hold_ms: int = DEFAULT_HOLD_MS
    thorough: bool = False
    """PAGEOUT asks again, CPU after CPU, for what stayed in their LRU batches."""

    @property
    def requested_bytes(self) -> int:
        """What was asked for, of all targets."""
        return sum(target.requested_bytes for target in self.targets)

    @property
    def forecast_bytes(self) -> int | None:
        """What is expected, of all targets; None where a part is not known."""
        return _sum_known([target.forecast_bytes for target in self.targets])

    @property
    def reasons(self) -> tuple[ReasonBytes, ...]:
        """Why the forecast is less than what was asked for, by reason, of all targets."""
        return sum_reasons(
            item for target in self.targets if target.blocked is None for item in target.ranges
        )

    @property
    def blocked_bytes(self) -> int:
        """What was asked for of targets that are blocked: nothing will come of it."""
        return sum(target.requested_bytes for target in self.targets if target.blocked is not None)

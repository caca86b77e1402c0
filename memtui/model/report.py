"""A report: what came of a plan, target by target and range by range."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from memtui.model.advice import Advice
from memtui.model.freeze import WATCHED_S
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memtui.model.freeze import Freeze
    from memtui.model.plan import PlannedRange, TargetPlan
    from memtui.model.ranges import RangeSet
    from memtui.model.reasons import Detail
    from memtui.model.swap import SwapKind


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

    @property
    def was_taken(self) -> bool:
        """Whether the kernel took all that was asked for."""
        return self in (Outcome.DONE, Outcome.UNVERIFIED, Outcome.NO_EFFECT)


_OUTCOMES = {
    # Of one whose first thread alone has exited the memory is still there, and cannot be reached.
    **dict.fromkeys((Reason.EXITED, Reason.EXECED, Reason.NO_SUCH_PROCESS, Reason.ZOMBIE), Outcome.GONE),
    Reason.CANCELLED: Outcome.CANCELLED,
}


def outcome_of_refusal(reason: Reason) -> Outcome:
    """Return how it ended for a target on which nothing was tried."""
    return _OUTCOMES.get(reason, Outcome.REFUSED)


class RangeReport(NamedTuple):
    """What came of one planned range; bytes, None where it could not be seen.

    ``advised_bytes`` is the kernel's word, ``moved_bytes`` what was seen: see TargetReport. Of what
    moved, ``swapped_bytes`` were in swap afterwards by the page table, which does not tell of shared
    memory; ``came_bytes`` came into RSS meanwhile, ``given_up_bytes`` were dropped, as their owner had
    allowed (MADV_FREE, MAP_DROPPABLE), and ``huge_moved_bytes`` had stood in huge pages. In the place of
    ``zero_moved_bytes``, parts of huge pages that held zeroes, the shared zero page stands now.
    ``cache_delta_bytes`` is of the page cache of its stretch of a file, ``referenced_delta_bytes`` of the
    whole VMA. ``detail`` is what the reason comes down to here, or the words of an error, raw; None where the
    reason says it all.
    """

    planned: PlannedRange
    advised_bytes: int = 0
    moved_bytes: int | None = None
    rss_before_bytes: int | None = None
    rss_after_bytes: int | None = None
    swap_before_bytes: int | None = None
    swap_after_bytes: int | None = None
    swapped_bytes: int | None = None
    came_bytes: int | None = None
    given_up_bytes: int | None = None
    huge_moved_bytes: int | None = None
    zero_moved_bytes: int | None = None
    huge_delta_bytes: int | None = None
    cache_delta_bytes: int | None = None
    referenced_delta_bytes: int | None = None
    outcome: Outcome = Outcome.CANCELLED
    errno: str | None = None
    reason: Reason | None = None
    detail: Detail | str | None = None

    @property
    def reason_text(self) -> str | None:
        """The reason in the words that it has here; raw where they are the system's."""
        if self.detail:
            return self.detail if isinstance(self.detail, str) else self.detail.text
        return self.reason.text if self.reason else None

    def effect_bytes(self, advice: Advice) -> int | None:
        """What was seen, in the unit of the forecast; None where nothing can show it (COLD, swap-ins)."""
        if advice.moves:
            return self.moved_bytes
        if advice is Advice.WILLNEED and self.cache_delta_bytes is not None:
            return max(0, self.cache_delta_bytes)
        return None


class ReportGroup(NamedTuple):
    """A report that stands for ``times`` ranges: all but their names and addresses is equal."""

    report: RangeReport
    times: int


class Effect(NamedTuple):
    """What changed while a target was worked on; bytes, None where not known.

    ``mem_free_delta_bytes``, ``swap_cached_delta_bytes``, ``swapped_in_bytes`` (pswpin) and
    ``zswapped_delta_bytes`` (what zswap holds, before compression) are of the whole machine,
    ``oom_kills`` of the target's memory cgroups, the others of the target's ranges.
    """

    rss_delta_bytes: int | None = None
    swap_delta_bytes: int | None = None
    referenced_delta_bytes: int | None = None
    mem_free_delta_bytes: int | None = None
    swap_cached_delta_bytes: int | None = None
    swapped_in_bytes: int | None = None
    huge_delta_bytes: int | None = None
    cache_delta_bytes: int | None = None
    oom_kills: int | None = None
    zswapped_delta_bytes: int | None = None


class RefaultSample(NamedTuple):
    """How much of what was moved was resident again ``after_s`` seconds later; None is not known.

    That is what stands at its addresses, in a mapping that looks the same: whether the pages came back or
    new memory was mapped and touched there since, the map does not tell.

    ``major_faults`` are the target's since the action, ``psi_some_avg10`` is the machine's, in percent.
    ``warning`` says in words why the look was to be recorded and is not.
    """

    after_s: float
    back_bytes: int | None
    major_faults: int | None
    psi_some_avg10: float | None = None
    warning: str | None = None


class RefaultVerdict(str, Enum):
    """What a look back says of an action."""

    SO_FAR = "so_far"
    OUT = "out"
    PARTLY = "partly"
    BACK = "back"


def refault_verdict(moved_bytes: int | None, back: RefaultSample) -> RefaultVerdict | None:
    """Return what a look back says; None where nothing moved, or nobody knows.

    A twentieth is nothing: a process touches a few pages of everything. Half is wrong advice, or another
    mapping at the same place.
    """
    if not moved_bytes or back.back_bytes is None:
        return None
    if back.back_bytes * 20 <= moved_bytes:
        return RefaultVerdict.OUT if back.after_s >= WATCHED_S else RefaultVerdict.SO_FAR
    return RefaultVerdict.BACK if back.back_bytes * 2 >= moved_bytes else RefaultVerdict.PARTLY


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
    back: list[RefaultSample] = field(default_factory=list)
    outcome: Outcome = Outcome.CANCELLED
    reason: Reason | None = None
    reason_text: str | None = None
    swap_kinds: frozenset[SwapKind] = frozenset()
    """Of which kinds the swap areas are that took what was swapped out, as far as can be told."""
    unswept: str | None = None
    """The system's words for why old records of moved pages could not be removed, raw."""
    bystanders: str = ""
    """Who stopped because the target was stopped, and what was done, in words; empty for nobody. Raw."""
    moved_pages: RangeSet = ()
    """Which pages left RSS: what a look back counts, and a restore brings back.

    They can be many: whoever has the report from the host finds them dropped, once they are on record.
    """
    pages_seen: bool = False
    """Whether it was seen which pages left RSS, and there are some."""
    alike: Sequence[ReportGroup] = field(default=(), repr=False, compare=False)
    """The sorts of ``ranges``, each with how many there are: see :attr:`sorts`."""

    @property
    def is_unseen(self) -> bool:
        """Whether pages left RSS and could not be seen; those that became the zero page left nothing out."""
        return not self.pages_seen and (self.moved_bytes or 0) > (self.total("zero_moved_bytes") or 0)

    @property
    def requested_bytes(self) -> int:
        """What was asked for."""
        return self.planned.requested_bytes

    @property
    def forecast_bytes(self) -> int | None:
        """What was expected: nothing of a target that could not be advised at all; None is unknown."""
        return 0 if self.planned.blocked is not None else self.planned.forecast_bytes

    @property
    def sorts(self) -> Sequence[ReportGroup]:
        """All ranges, those that are alike only once: what adds up is added up by these."""
        return self.alike or [ReportGroup(item, 1) for item in self.ranges]

    @property
    def advised_bytes(self) -> int:
        """The kernel's word."""
        return sum(item.advised_bytes * times for item, times in self.sorts)

    def total(self, name: str) -> int | None:
        """Return the sum of a field of the ranges over those that were looked at; None if none was."""
        return total_of(self.sorts, name)

    def held(self, name: str) -> int | None:
        """Return RSS or swap, before or after, of all ranges; None if that of one is not known."""
        return held_total(self.sorts, name)


def held_total(sorts: Iterable[ReportGroup], name: str) -> int | None:
    """Return the sum of what ranges hold, RSS or swap; None if that of one with pages is not known."""
    with_pages = [alike for alike in sorts if alike.report.planned.has_pages]
    if any(getattr(item, name) is None for item, _ in with_pages):
        return None
    return total_of(with_pages, name)


def total_of(sorts: Iterable[ReportGroup], name: str) -> int | None:
    """Return the sum of a field over the ranges of which it is known; None if of none."""
    seen = [value * times for item, times in sorts if (value := getattr(item, name)) is not None]
    return sum(seen) if seen else None


class Score(NamedTuple):
    """A forecast against what was seen, over the ranges of which both are known; bytes.

    ``wrong_ranges`` of ``judged_ranges`` were forecast to do something and did nothing, or the other
    way round: judged is what the kernel took whole and whose outcome is certain.
    """

    forecast_bytes: int | None
    effect_bytes: int | None
    off_by_bytes: int | None
    judged_ranges: int
    wrong_ranges: int


_CERTAIN = frozenset({Outcome.DONE, Outcome.NO_EFFECT})


def score_of(report: TargetReport, advice: Advice) -> Score:
    """Hold the forecast of a target against its effect."""
    forecast = effect = off_by = known = judged = wrong = 0
    for item, times in report.sorts:
        expected, seen = item.planned.verdict.forecast_bytes, item.effect_bytes(advice)
        if expected is None:
            continue
        if seen is not None:
            known += times
            forecast += expected * times
            effect += seen * times
            off_by += abs(seen - expected) * times
        if item.outcome in _CERTAIN:
            judged += times
            wrong += times * ((expected > 0) != (item.outcome is Outcome.DONE))
    if not known:
        return Score(None, None, None, judged, wrong)
    return Score(forecast, effect, off_by, judged, wrong)


class Progress(NamedTuple):
    """How far a plan has come: bytes of its ranges dealt with, of all."""

    target: str
    done_bytes: int
    total_bytes: int
    calls: int
    holding: bool

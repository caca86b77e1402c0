"""Plans on this machine: what an advice would do to each target, and how each would be held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.advise.forecast import Part, SwapBudget, choose_marks, choose_rows, forecast
from memtui.advise.gc_pause import gc_paused
from memtui.advise.headroom import BRINGS_IN, fit_in_room
from memtui.advise.plan_lookup import PlanLookup
from memtui.freeze.method_info import choices, why_not
from memtui.linux import sysinfo
from memtui.linux.capabilities import probe
from memtui.linux.cgroup import swap_rooms
from memtui.linux.vma_table import MapTable
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze, FreezeChoice
from memtui.model.plan import Mark, PlannedRange, TargetPlan
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.model.verdict import judge

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from memtui.host.api import SelfAdviser
    from memtui.host.target import LocalTarget
    from memtui.model.filter import Filter


class Planner:
    """Makes the target plans of one plan: they share what swap is free."""

    def __init__(
        self,
        advice: Advice,
        freeze: Freeze | None,
        self_adviser: SelfAdviser | None,
        cancelled: threading.Event | None,
        *,
        allow_protected: bool,
    ) -> None:
        self._advice = advice
        self._freeze = freeze
        self._self_adviser = self_adviser
        self._cancelled = cancelled
        self._allow_protected = allow_protected
        self._purse = SwapBudget(sysinfo.facts())

    def plan(self, target: LocalTarget, marks: Sequence[Mark] | None, select: Filter | None) -> TargetPlan:
        """Plan for the marks of a target, or else for all VMAs that ``select`` takes, or else for all.

        What cannot be advised is in it with ``blocked`` set.

        Raises:
            MemtuiError: CANCELLED.
        """
        refused, self_advised = may_advise(target, self._advice, self._self_adviser)
        ranges: Sequence[PlannedRange] = ()
        layout, text = b"", None
        try:
            ranges, layout = self._forecast(target, marks, select)
        except MemtuiError as error:
            if error.reason is Reason.CANCELLED:
                raise
            refused, text = error.reason, error.words
        method, words, blocked = _freeze_for(target, self._freeze, self_advised, self._allow_protected)
        if refused is None and blocked is not None:
            refused, text = blocked, words
        return TargetPlan(
            process=target.process,
            name=target.name,
            ranges=tuple(ranges),
            freeze=method,
            freeze_reason=words,
            freeze_is_ours=self._freeze is None,
            blocked=refused,
            blocked_text=text,
            self_advised=self_advised,
            generation=target.generation,
            layout=layout,
        )

    def _forecast(
        self, target: LocalTarget, marks: Sequence[Mark] | None, select: Filter | None
    ) -> tuple[Sequence[PlannedRange], bytes]:
        """Look closely; return range by range what would come of it, and the digest of the map.

        Raises:
            MemtuiError: CANCELLED; if it is gone, has exec'ed, or may not be read.
        """
        advice = self._advice
        with gc_paused():
            space = target.look(details=True)
            chosen: Sequence[Part | PlannedRange]
            if marks is None:
                chosen = choose_rows(space, advice, target.judge, select)
            else:
                chosen = choose_marks(space, marks, target.measure)
            parts = [item for item in chosen if isinstance(item, Part)]
            ranges = forecast(
                parts,
                PlanLookup(target.handle, sysinfo.huge_page_bytes(), self._cancelled).of(parts, advice),
                lambda row, facts: judge(row, advice, facts, target.may_write),
                self._purse,
                swap_rooms(target.process.pid) if advice is Advice.PAGEOUT else None,
            )
            if advice in BRINGS_IN:
                ranges = fit_in_room(ranges, advice, target.process.pid, sysinfo.huge_page_bytes())
            if marks is None and select is None:
                # What only the closer look found the kernel to refuse.
                ranges = [item for item in ranges if not item.verdict.refused]
            missing = [item for item in chosen if isinstance(item, PlannedRange)]
            if missing:
                ranges = sorted((*ranges, *missing), key=lambda item: item.range.start)
            return ranges, space.vmas.digest if isinstance(space.vmas, MapTable) else b""


def may_advise(
    target: LocalTarget, advice: Advice, self_adviser: SelfAdviser | None
) -> tuple[Reason | None, bool]:
    """Return why we may not advise a target, and whether it advises itself instead."""
    refused = probe(target.handle, advice)
    if refused is None or refused is Reason.FOREIGN_PROC or self_adviser is None:
        return refused, False
    is_it = (target.process.pid, target.process.start_time) == (self_adviser.pid, self_adviser.start_time)
    return (None, True) if is_it else (refused, False)


def freeze_choices(target: LocalTarget, self_adviser: SelfAdviser | None) -> list[FreezeChoice]:
    """Return what each freeze method would do to a target, and why not where it cannot."""
    if target.handle.is_foreign:
        return [FreezeChoice(method, method is Freeze.OFF, Reason.FOREIGN_PROC) for method in Freeze]
    return choices(target.process, self_advised=may_advise(target, Advice.COLD, self_adviser)[1])


def _freeze_for(
    target: LocalTarget, freeze: Freeze | None, self_advised: bool, allow_protected: bool
) -> tuple[Freeze, str | None, Reason | None]:
    """Return the method, the words about it, and why the plan is blocked by it."""
    if freeze is Freeze.OFF:
        return Freeze.OFF, None, None
    if self_advised:
        # It could not answer while it stands still.
        return Freeze.OFF, Detail(DetailCode.ADVISES_ITSELF).text, None
    # Whether ptrace is permitted is told best by trying.
    only_protected = freeze is None or freeze is Freeze.PTRACE
    refused = why_not(target.process, freeze or Freeze.PTRACE, allow_protected=allow_protected)
    if refused is None or (only_protected and refused.reason is not Reason.FREEZE_REFUSED):
        return freeze or Freeze.PTRACE, None, None
    words = refused.detail or refused.reason.text
    if freeze is None:
        return Freeze.OFF, words, None
    return freeze, words, refused.reason

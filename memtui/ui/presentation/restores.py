"""Whole sentences about putting back: what could be, what it takes, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.format import SafeText, count, safe, size
from memtui.model.errors import with_step
from memtui.model.restore import INTERRUPTED
from memtui.ui.presentation.results import time_of_day, why

if TYPE_CHECKING:
    from memtui.host import MachineState
    from memtui.model.restore import RestorePlan, RestoreReport


def wanted_of(plans: Sequence[RestorePlan]) -> tuple[RestorePlan, ...]:
    """Return the plans that can be carried out."""
    return tuple(plan for plan in plans if plan.blocked is None and plan.wanted_bytes != 0)


def describe_restore(plan: RestorePlan) -> tuple[SafeText, ...]:
    """Return what was moved, what of it is still out, and what blocks its way back."""
    lines = [
        f"{plan.process.pid} {plan.name}, {plan.advice.upper()} at {plan.time}",
        f"  by         {plan.whose}",
        f"  moved      {size(plan.moved_bytes)}",
        f"  still out  {size(plan.wanted_bytes)}",
    ]
    if plan.is_interrupted:
        lines.append(f"  note       {INTERRUPTED}")
    if plan.blocked is not None:
        lines.append(f"  BLOCKED    {with_step(plan.blocked_text or plan.blocked.text, plan.blocked)}")
    return tuple(safe(line) for line in lines)


def _sum(parts: Sequence[int | None]) -> int | None:
    """Return the sum; None where a part is not known."""
    return None if None in parts else sum(part for part in parts if part is not None)


def describe_restore_forecast(plans: Sequence[RestorePlan], machine: MachineState | None) -> SafeText:
    """Return in one line how much would be put back, of how much."""
    wanted = wanted_of(plans)
    if not wanted:
        return SafeText("nothing can be put back")
    still_out, moved = (
        _sum([plan.wanted_bytes for plan in wanted]),
        _sum([plan.moved_bytes for plan in wanted]),
    )
    available = None if machine is None else machine.mem_available_bytes
    words = f"{size(still_out)} of {size(moved)} moved is still out; {size(available)} is available"
    blocked = sum(plan.blocked is not None for plan in plans)
    return safe(f"{words}; {count(blocked, 'process', 'processes')} blocked" if blocked else words)


def describe_restore_needs(
    plans: Sequence[RestorePlan], machine: MachineState | None
) -> tuple[SafeText, ...]:
    """Return what a restore takes: memory, and how it is done."""
    wanted = _sum([plan.wanted_bytes for plan in plans])
    available = None if machine is None else machine.mem_available_bytes
    return (
        SafeText(""),
        safe(f"needs      {size(wanted)} of memory; {size(available)} is available now"),
        SafeText("           the right to read the memory of the target (ptrace)"),
        SafeText("does       reads a byte of each page; the target is not held"),
        SafeText("           stops where memory gets short; Esc and ! end it"),
    )


def describe_restored(report: RestoreReport) -> SafeText:
    """Return what came of a restore, in one line."""
    planned = report.planned
    words = f"restore {planned.process.pid} {planned.name}: {report.outcome.value}"
    words += f"; {size(report.restored_bytes)} of {size(report.wanted_bytes)} put back"
    if report.still_out_bytes:
        words += f", {size(report.still_out_bytes)} still out"
    reason = why(report.reason, report.reason_text)
    return safe(f"{words}; {reason}" if reason else words)


def describe_restore_report(report: RestoreReport) -> list[SafeText]:
    """Return what a report of a restore says, line by line."""
    planned = report.planned
    reason = why(report.reason, report.reason_text)
    step = with_step(reason, report.reason) if report.reason else reason
    lines = [
        f"RESTORE of {planned.process.pid} {planned.name}, {time_of_day(report.time)} UTC",
        f"of         {planned.advice.upper()} at {planned.time}, id {planned.id}, "
        f"which moved {size(planned.moved_bytes)}",
        f"outcome    {report.outcome.value}  {step}",
        f"wanted     {size(report.wanted_bytes)}  moved then, and still out",
        f"restored   {size(report.restored_bytes)}  of these, seen in RAM again",
        f"also back  {size(report.also_back_bytes)}  came along: was not asked for",
        f"still out  {size(report.still_out_bytes)}  was wanted and did not come",
        *report.told,
    ]
    return [safe(line) for line in lines]

"""Whole sentences about putting back: what could be, what it takes, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count, safe, size, time_of_day
from memtui.model.errors import with_step
from memtui.model.reasons import Reason
from memtui.model.restore import LOST
from memtui.render.reasons import why

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from memtui.host import MachineState
    from memtui.model.restore import Restored, RestorePlan, RestoreReport


INTERRUPTED = "the action was interrupted: what its last hold moved is not on record, and stays where it is"

_LOST_WORDS = {
    Reason.GONE: "were unmapped",
    Reason.CHANGED: "became another mapping",
    Reason.PAGE_GONE: "were dropped (by MADV_FREE perhaps at the action itself), punched out or cut off",
}


def describe_operator(operator: Mapping[str, object]) -> str:
    """Return who did something, in words, raw: the user, who is behind it, and where."""
    uid = operator.get("uid")
    words = "an unknown user" if uid is None else f"uid {uid}"
    behind = operator.get("sudo_user")
    if behind is not None:
        words += f" (sudo by {behind})"
    elif operator.get("login_uid") not in (None, uid):
        words += f" (login uid {operator.get('login_uid')})"
    tty = operator.get("tty")
    return f"{words} on {tty}" if tty is not None else f"{words} without a terminal"


def summary(report: RestoreReport) -> tuple[str, ...]:
    """Return in sentences, raw, what came of a restore, and why not the rest."""
    if report.seen is None:
        return (report.reason_text,) if report.reason_text else ()
    return describe_seen(report.seen, is_interrupted=report.planned.is_interrupted)


def describe_seen(seen: Restored, *, is_interrupted: bool = False) -> tuple[str, ...]:
    """Return in sentences what came of a restore, and why not the rest."""
    lines = [f"of {size(seen.moved_bytes)} moved, {size(seen.already_back_bytes)} were in RAM already"]
    if seen.wanted_bytes:
        lines.append(f"{size(seen.wanted_bytes)} were out, and {size(seen.restored_bytes)} of them came back")
    for lost, when in ((seen.lost, "since"), (seen.left, "meanwhile")):
        lines += [f"{size(lost[reason])} {_LOST_WORDS[reason]} {when}" for reason in LOST if lost.get(reason)]
    lines += [
        f"{size(count)} not brought back: {reason.text}"
        for reason, count in seen.left.items()
        if count and reason not in LOST
    ]
    rest = seen.wanted_bytes - (seen.restored_bytes or 0) - sum(seen.left.values())
    if seen.stopped is not None and seen.restored_bytes is not None and rest > 0:
        lines.append(_not_back(seen.stopped, rest))
    if not seen.program_is_certain:
        lines.append(
            "that it runs the same program still was told by where its code, stack and heap begin alone:"
            " without address space randomisation another one may have them there too"
        )
    if seen.also_back_bytes:
        lines.append(
            f"{size(seen.also_back_bytes)} were also restored, not asked for: neighbours that the kernel"
            " maps with them, and what the target touched meanwhile"
        )
    if is_interrupted:
        lines.append(INTERRUPTED)
    return tuple(lines)


def _not_back(reason: Reason, count_bytes: int) -> str:
    return f"{size(count_bytes)} not brought back: {with_step(reason.text, reason)}"


def wanted_of(plans: Sequence[RestorePlan]) -> tuple[RestorePlan, ...]:
    """Return the plans that can be carried out."""
    return tuple(plan for plan in plans if plan.blocked is None and plan.wanted_bytes != 0)


def describe_restore(plan: RestorePlan) -> tuple[SafeText, ...]:
    """Return what was moved, what of it is still out, and what blocks its way back."""
    lines = [
        f"{plan.process.pid} {plan.name}, {plan.advice.upper()} at {plan.time}",
        f"  by         {describe_operator(plan.operator)}",
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
        f"also back  {size(report.also_back_bytes)}  neighbours: not asked for",
        f"still out  {size(report.still_out_bytes)}  was wanted and did not come",
        *summary(report),
    ]
    return [safe(line) for line in lines]


def describe_action(planned: RestorePlan) -> SafeText:
    """Return which action would be put back: what was done, on whom, when, by whom."""
    who = f"{planned.process.pid} {planned.name}"
    by = describe_operator(planned.operator)
    return safe(f"{planned.advice} on {who} at {planned.time}, by {by}")


def restore_plan_lines(planned: RestorePlan) -> Iterator[SafeText]:
    """Yield what ``memtui restore --dry-run`` prints of one target."""
    yield SafeText(f"{describe_action(planned)}, {safe(planned.id)}")
    yield SafeText(f"  moved {size(planned.moved_bytes)}, would be put back: {size(planned.wanted_bytes)}")
    if planned.is_interrupted:
        yield SafeText(f"  {INTERRUPTED}")


def restore_lines(report: RestoreReport) -> Iterator[SafeText]:
    """Yield what ``memtui restore`` prints of one target."""
    planned = report.planned
    what = f"{planned.advice} on {planned.process.pid} {planned.name}, {planned.time}"
    yield safe(f"restore of {planned.id} ({what}): {report.outcome.value}")
    yield SafeText(
        f"  wanted {size(report.wanted_bytes)}, restored {size(report.restored_bytes)}"
        f", also restored (neighbours) {size(report.also_back_bytes)}"
        f", still out {size(report.still_out_bytes)}"
    )
    told = summary(report)
    yield from (safe(f"  {line}") for line in told)
    words = report.reason_text
    if words and not any(words in line for line in told):
        yield safe(f"  {words}")

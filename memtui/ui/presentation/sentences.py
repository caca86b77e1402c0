"""Whole sentences: about a VMA, a plan, a report. They claim no effect that was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.format import SafeText, address_range, count, duration, safe, signed_size, size
from memtui.model.advice import CATALOGUE, Advice
from memtui.model.errors import with_step
from memtui.model.foretold import forecast_in_words
from memtui.model.freeze import FREEZE_NOTE, Freeze, FreezeChoice
from memtui.model.report import RangeReport, RefaultSample, refault_verdict
from memtui.model.vma import FLAG_WORDS, MappedVma
from memtui.ui.presentation.map import NOTABLE_FLAGS, name_of
from memtui.ui.presentation.results import Result, forecast_of, time_of_day, why

if TYPE_CHECKING:
    from memtui.model.plan import Plan, TargetPlan

_MOVED_MEANS = {
    Advice.PAGEOUT: "left RSS",
    Advice.COLLAPSE: "became huge pages",
}


def describe_vma(row: MappedVma) -> SafeText:
    """Return a VMA in one line, its flags in words."""
    vma = row.vma
    parts = [address_range(vma.start, vma.end), vma.perms, row.kind.value]
    if name := name_of(row):
        parts.append(name)
    words = [FLAG_WORDS[flag] for flag in NOTABLE_FLAGS if flag in (row.flags or ())]
    if words:
        parts.append(f"({', '.join(words)})")
    return safe(" ".join(parts))


def describe_forecast(plan: Plan) -> SafeText:
    """Return of what is asked for how much is expected to come of it, and why not the rest."""
    words = forecast_in_words(plan.advice, plan)
    return SafeText(f"{words}; {size(plan.blocked_bytes)} blocked") if plan.blocked_bytes else words


def describe_thorough(advice: Advice) -> SafeText:
    """Return what asking again does."""
    if advice is not Advice.PAGEOUT:
        return SafeText("for PAGEOUT only")
    return SafeText("asks again, CPU by CPU, for batched pages; slower")


def describe_freeze(target: TargetPlan) -> SafeText:
    """Return who is advised and how it is held, and why not otherwise."""
    who = f"{target.process.pid} {target.name}"
    if target.blocked is not None:
        words = with_step(target.blocked_text or target.blocked.text, target.blocked)
        return safe(f"{who}: BLOCKED, {words}")
    if target.self_advised:
        return safe(f"{who}: it advises itself (you may not advise it from outside); not held")
    held = "not held" if target.freeze is Freeze.OFF else f"will be held by {target.freeze.value}"
    reason = f" ({target.freeze_reason})" if target.freeze_reason else ""
    chosen = ", chosen for you" if target.freeze_is_ours else ""
    return safe(f"{who}: {held}{chosen}{reason}, {count(len(target.ranges), 'range')}")


def describe_choices(
    choices: Sequence[FreezeChoice], plan: Plan, *, all_of_them: bool
) -> tuple[SafeText, ...]:
    """Return what each freeze method would do to the first target, or only the one that is chosen."""
    if not plan.targets:
        return ()
    chosen = plan.targets[0].freeze
    lines = [
        safe(f"{'>' if item.method is chosen else ' '} {item.method.value:<8}{item.line}")
        for item in choices
        if all_of_them or item.method is chosen
    ]
    lines.append(safe(FREEZE_NOTE))
    if all_of_them and len(plan.targets) > 1:
        first = plan.targets[0]
        lines.insert(0, safe(f"To {first.process.pid} {first.name}, the first of them:"))
    return tuple(lines)


def describe_result(result: Result) -> SafeText:
    """Return a result in one line."""
    report = result.report
    parts = [
        f"{result.advice.value} {report.planned.process.pid} {report.planned.name}: {report.outcome.value}"
    ]
    if not report.advised_bytes and report.moved_bytes is None:
        parts.append("nothing was advised")
    elif result.advice.moves:
        parts.append(
            f"{size(report.moved_bytes)} of {size(report.requested_bytes)} {_MOVED_MEANS[result.advice]}"
        )
    else:
        parts.append(_effect_in_short(result))
    if reason := why(report.reason, report.reason_text):
        parts.append(reason)
    return safe("; ".join(parts))


def _effect_in_short(result: Result) -> str:
    effect = result.report.effect
    if result.advice is Advice.COLD:
        return f"Referenced {signed_size(effect.referenced_delta_bytes)}"
    return f"swap cache {signed_size(effect.swap_cached_delta_bytes)} (system-wide)"


def describe_report(result: Result) -> list[SafeText]:
    """Return what a report says in total, line by line."""
    report, advice = result.report, result.advice
    target, effect = report.planned, report.effect
    moved_words = (
        f"{size(report.moved_bytes)}  {_MOVED_MEANS[advice]}"
        if advice.moves
        else f"-  {advice.value.upper()} moves nothing: {CATALOGUE[advice].shows}"
    )
    held = (
        "not held"
        if report.freeze is Freeze.OFF
        else f"held by {report.freeze.value} for {duration(report.held_ms)}, at most "
        f"{duration(report.longest_held_ms)} in one go"
    )
    lines = [
        f"{advice.value.upper()} on {target.process.pid} {target.name}, {time_of_day(report.time)} UTC",
        f"outcome    {report.outcome.value}  {why(report.reason, report.reason_text)}",
        f"requested  {size(report.requested_bytes)}",
        f"forecast   {size(forecast_of(report))}",
        f"advised    {size(report.advised_bytes)}  the kernel's word: what it walked, not what it did",
        f"moved      {moved_words}",
        *_backs(result),
        *report.told,
        *filter(None, [report.bystanders]),
        f"work       {count(report.calls, 'call')} in {count(report.holds, 'hold')}, "
        f"{duration(report.elapsed_ms)}; {held}",
        f"effect     rss {signed_size(effect.rss_delta_bytes)}  swap {signed_size(effect.swap_delta_bytes)}"
        + (f"  Referenced {signed_size(effect.referenced_delta_bytes)}" if advice is Advice.COLD else ""),
    ]
    if not report.told:
        # Told in a sentence otherwise.
        lines.append(
            f"           system-wide: MemFree {signed_size(effect.mem_free_delta_bytes)}  "
            f"SwapCached {signed_size(effect.swap_cached_delta_bytes)}"
        )
    return [safe(line) for line in lines]


def _backs(result: Result) -> list[str]:
    lines = [f"back       {describe_back(result.report.moved_bytes, back)}" for back in result.looks]
    if result.was_restored:
        lines.append("           restored since: what is back now was put back")
    return lines


def describe_back(moved_bytes: int | None, back: RefaultSample) -> SafeText:
    """Return a look back in one line."""
    faults = "?" if back.major_faults is None else f"{back.major_faults:,}"
    words = f"{size(back.back_bytes)} after {back.after_s:.0f} s, {faults} major faults"
    if back.psi_some_avg10 is not None:
        words += f", psi {back.psi_some_avg10:.1f}%"
    how = refault_verdict(moved_bytes, back)
    return safe(f"{words}: {how.value}" if how is not None else words)


def describe_range(item: RangeReport) -> SafeText:
    """Return a range of a report in one line, with its reason and what can be done."""
    planned = item.planned
    parts = [address_range(planned.range.start, planned.range.end), planned.name or "(no name)"]
    parts.append(item.outcome.value)
    if item.errno:
        parts.append(item.errno)
    words = why(item.reason, item.reason_text)
    if words:
        step = f"; {item.reason.next_step}" if item.reason and item.reason.next_step else ""
        parts.append(f"{words}{step}")
    return safe("  ".join(parts))

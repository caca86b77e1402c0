"""What came of a plan, in words: of a target in a line or in all, and of a range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, address_range, count, duration, safe, signed_size, size, time_of_day
from memtui.model.advice import Advice
from memtui.model.errors import with_step
from memtui.model.freeze import Freeze
from memtui.model.plan import sum_reasons
from memtui.model.report import Outcome, RangeReport
from memtui.render.advice import ADVICE_WORDS
from memtui.render.effect import summary
from memtui.render.reasons import why
from memtui.render.refault import describe_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.model.reasons import Reason
    from memtui.model.result import Result

_OUTCOME_MEANS: dict[Outcome, str] = {
    Outcome.DONE: "the kernel took it, and an effect was seen",
    Outcome.UNVERIFIED: "the kernel took it; nothing that could be read shows whether it had an effect",
    Outcome.NO_EFFECT: "the kernel took it, and nothing happened",
    Outcome.PARTIAL: "a part of it was done, and a part not: the reasons stand below",
    Outcome.REFUSED: "nothing was advised, or the kernel answered with an error",
    Outcome.CHANGED: "something else was mapped there when it came to the call, so it was left alone",
    Outcome.GONE: "it was unmapped, or the process ended, before the call",
    Outcome.RACED: "the map changed while the advice was given: what was advised is not certain",
    Outcome.FREEZE_LOST: "the target ran on before the work was done, so the work was stopped",
    Outcome.CANCELLED: "it was cancelled before all of it was done",
    Outcome.FAILED: "the system failed in a way that is told below",
}

_MOVED_MEANS = {
    Advice.PAGEOUT: "left RSS",
    Advice.COLLAPSE: "became huge pages",
}


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
    target, effect, told = report.planned, report.effect, summary(report, advice)
    moved_words = (
        f"{size(report.moved_bytes)}  {_MOVED_MEANS[advice]}"
        if advice.moves
        else f"-  {advice.value.upper()} moves nothing: {ADVICE_WORDS[advice].shows}"
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
        f"forecast   {size(report.forecast_bytes)}",
        f"advised    {size(report.advised_bytes)}  the kernel's word: what it walked, not what it did",
        f"moved      {moved_words}",
        *_backs(result),
        *told,
        *filter(None, [report.bystanders]),
        f"work       {count(report.calls, 'call')} in {count(report.holds, 'hold')}, "
        f"{duration(report.elapsed_ms)}; {held}",
        f"effect     rss {signed_size(effect.rss_delta_bytes)}  swap {signed_size(effect.swap_delta_bytes)}"
        + (f"  Referenced {signed_size(effect.referenced_delta_bytes)}" if advice is Advice.COLD else ""),
    ]
    if not told:
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


def explain_result(result: Result) -> list[SafeText]:
    """Return a result: its numbers, what its outcome means, and reason by reason what can be done."""
    report = result.report
    lines = [*describe_report(result), SafeText("")]
    lines.append(safe(f"{report.outcome.value}: {_OUTCOME_MEANS[report.outcome]}"))
    if report.reason is not None:
        lines.append(safe(f"  {with_step(report.reason_text or report.reason.text, report.reason)}"))
    expected = sum_reasons(item.planned for item in report.ranges)
    if expected:
        lines += [SafeText(""), SafeText("Expected before, and why not all of it")]
        lines += [
            safe(f"  {size(why.count_bytes):>6}  {with_step(why.reason.text, why.reason)}")
            for why in expected
        ]
    seen = _reasons_seen(report.ranges)
    if seen:
        lines += [SafeText(""), SafeText("Seen then")]
        for (reason, words), items in seen.items():
            of_bytes = sum(item.planned.requested_bytes for item in items)
            where = f"{count(len(items), 'range')} of {size(of_bytes)}"
            lines.append(safe(f"  {where}: {with_step(words, reason)}"))
    return lines


def _reasons_seen(ranges: Sequence[RangeReport]) -> dict[tuple[Reason, str], list[RangeReport]]:
    seen: dict[tuple[Reason, str], list[RangeReport]] = {}
    for item in ranges:
        if item.reason is not None:
            seen.setdefault((item.reason, item.reason_text or item.reason.text), []).append(item)
    return seen

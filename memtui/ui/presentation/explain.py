"""Explanations in whole sentences: of a VMA and what each advice would do to it, and of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.format import SafeText, address_range, count, safe, size
from memtui.model.errors import with_step
from memtui.model.foretold import FORECAST_MEANS, forecast_size
from memtui.model.plan import sum_reasons
from memtui.model.report import Outcome, RangeReport
from memtui.model.vma import FLAG_WORDS, Kind, MappedVma
from memtui.ui.presentation.map import name_of
from memtui.ui.presentation.sentences import describe_report
from memtui.ui.presentation.words import will_glyph

if TYPE_CHECKING:
    from memtui.model.advice import Advice
    from memtui.model.reasons import Reason
    from memtui.model.restore import Mappers
    from memtui.model.verdict import Verdict
    from memtui.ui.presentation.results import Result

_MAPPERS_TOLD = 40

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


def explain_vma(row: MappedVma) -> list[SafeText]:
    """Return what a VMA is, and its numbers."""
    vma, details = row.vma, row.details
    whose = "shared: writes reach others" if vma.is_shared else "private"
    lines = [
        f"{address_range(vma.start, vma.end)}  {name_of(row) or '(no name)'}",
        f"kind        {row.kind.value}, {vma.perms} ({whose})",
    ]
    if vma.inode:
        lines.append(f"file        device {vma.device}, inode {vma.inode}, from byte {vma.offset:,} of it on")
    lines += [
        f"size        {size(vma.size_bytes):<7} addresses; what is in RAM is RSS",
        f"RSS         {size(row.rss_bytes):<7} in RAM",
        f"swap        {size(row.swap_bytes):<7} in swap",
    ]
    if details is None:
        lines.append("PSS         ?       smaps was not read, or may not be")
        return [safe(line) for line in lines]
    numbers = [
        ("PSS", details.pss_bytes, "its share, where several map the same pages"),
        ("shared", details.shared_bytes, "mapped more than once: COLD and PAGEOUT skip these pages"),
        ("referenced", details.referenced_bytes, "marked as used since the kernel last looked"),
        ("anonymous", details.anonymous_bytes, "has no file behind it: goes to swap"),
        ("huge", details.huge_bytes, "in huge pages"),
        ("locked", details.locked_bytes, "may not leave RAM"),
    ]
    if row.kind is Kind.HUGETLB:
        numbers.append(("hugetlb", details.hugetlb_bytes, "in RAM for good; the kernel leaves it out of RSS"))
    lines += [f"{name:<11} {size(number):<7} {words}" for name, number, words in numbers]
    return [safe(line) for line in lines]


def explain_flags(row: MappedVma) -> list[SafeText]:
    """Return the VmFlags in words."""
    lines = ["", "Flags"]
    if row.flags is None:
        lines.append("  ?         smaps was not read, or may not be")
    lines += [
        f"  {flag:<9} {FLAG_WORDS.get(flag, 'a flag that memtui does not know')}" for flag in row.flags or ()
    ]
    return [safe(line) for line in lines]


def explain_verdicts(verdicts: Sequence[tuple[Advice, Verdict]] | None) -> list[SafeText]:
    """Return what each advice would do, why not all of it, and what could be done about that."""
    lines = ["", "What each advice would do to it now"]
    if verdicts is None:
        lines.append("  looking ...")
    for advice, verdict in verdicts or ():
        will = "refused" if verdict.refused else verdict.will.value
        forecast = forecast_size(verdict) if verdict.forecast_bytes is not None else "? (not known how much)"
        expected = "" if verdict.refused else f"{forecast} {FORECAST_MEANS[advice]}"
        lines.append(f"{will_glyph(verdict)} {advice.value.upper():<9} {will:<8} {expected}".rstrip())
        for why in verdict.reasons:
            lines.append(f"{'':<12}{size(why.count_bytes)}: {with_step(why.reason.text, why.reason)}")
    return [safe(line) for line in lines]


def explain_mappers(mappers: Mappers | None, words: str) -> list[SafeText]:
    """Return who else maps the file; ``words`` stand where that is not known, or not yet."""
    lines = ["", "Other processes that map it"]
    if mappers is None:
        return [safe(line) for line in (*lines, f"  {words}")]
    lines += [f"  {item.pid:>7} {item.name}" for item in mappers.found[:_MAPPERS_TOLD]]
    if len(mappers.found) > _MAPPERS_TOLD:
        lines.append(f"  and {len(mappers.found) - _MAPPERS_TOLD:,} more")
    unread = f"{count(mappers.unreadable, 'process', 'processes')} could not be looked at"
    if not mappers.found:
        lines.append("  none was seen" if mappers.unreadable or mappers.possible else "  none")
    lines += [
        f"  ? {item.pid:>5} {item.name} (the same file on another device: its pages cannot be compared)"
        for item in mappers.possible[:_MAPPERS_TOLD]
    ]
    if mappers.mapped_again:
        lines.append(f"  this process itself maps it {count(mappers.mapped_again, 'time', 'times')} more")
    if mappers.unreadable:
        lines.append(f"  ? {unread}")
    return [safe(line) for line in lines]


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

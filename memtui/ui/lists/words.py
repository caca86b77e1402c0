"""Words and glyphs for outcomes and verdicts, and the lists' common cells."""

from __future__ import annotations

from collections.abc import Sequence

from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from memtui.model.verdict import Verdict, WhyBytes, Will
from memtui.text import SafeText, safe, size
from memtui.ui.rows import Cell

_OUTCOMES: dict[Outcome, tuple[str, str]] = {
    Outcome.DONE: ("+", "good"),
    Outcome.UNVERIFIED: ("?", "warn"),
    Outcome.NO_EFFECT: ("=", "warn"),
    Outcome.PARTIAL: ("~", "warn"),
    Outcome.REFUSED: ("x", "bad"),
    Outcome.CHANGED: ("!", "warn"),
    Outcome.GONE: ("!", "warn"),
    Outcome.RACED: ("!", "warn"),
    Outcome.FREEZE_LOST: ("!", "bad"),
    Outcome.CANCELLED: ("/", "warn"),
    Outcome.FAILED: ("x", "bad"),
}

_WILL: dict[Will, tuple[str, str]] = {
    Will.YES: ("+", "good"),
    Will.PARTLY: ("~", "warn"),
    Will.NO: ("=", "warn"),
}

_IN_SHORT: dict[Reason, str] = {
    Reason.ALREADY_OUT: "already out",
    Reason.SHARED_PAGES: "shared",
    Reason.FILE_NOT_WRITABLE: "of files you may not write",
    Reason.NO_SWAP: "without free swap",
    Reason.SWAP_LIMIT: "over its cgroup's swap limit",
    Reason.PFNMAP: "device or kernel pages",
    Reason.HUGETLB: "hugetlb",
    Reason.NO_HUGE_PAGE: "without a whole huge page",
    Reason.ALL_HUGE: "huge already",
    Reason.LOCKED_IN_RAM: "in RAM for good",
    Reason.NOTHING_RESIDENT: "not in RAM",
    Reason.NOTHING_SWAPPED: "not in swap",
    Reason.UNTOUCHED: "never touched",
    Reason.CACHE_UNKNOWN: "perhaps in the page cache",
}


def reason_in_short(reason: Reason) -> str:
    """Return a reason in a few words, to stand behind a number of bytes."""
    return _IN_SHORT.get(reason, reason.value.replace("_", " "))


def rest_in_words(reasons: Sequence[WhyBytes]) -> SafeText:
    """Return why not all of a plan will move, in bytes: ``20M shared, 8M locked, 4M already out``."""
    parts = [
        f"{size(why.count_bytes)} {reason_in_short(why.reason)}"
        for why in reasons
        if why.reason is not Reason.RSS_GROWS and why.count_bytes != 0
    ]
    grows = next((why for why in reasons if why.reason is Reason.RSS_GROWS and why.count_bytes != 0), None)
    if grows is not None:
        parts.append(f"RSS will grow by {size(grows.count_bytes)}")
    return SafeText(", ".join(parts))


def outcome_cell(outcome: Outcome) -> Cell:
    """Return an outcome's stable word, in its colour."""
    return Cell(SafeText(outcome.value), _OUTCOMES[outcome][1])


def outcome_glyph(outcome: Outcome) -> SafeText:
    """Return an outcome's glyph, which says the same without colour."""
    return SafeText(_OUTCOMES[outcome][0])


def will_cell(verdict: Verdict) -> Cell:
    """Return what is expected, in a word and its colour."""
    return Cell(SafeText(verdict.will.value), _WILL[verdict.will][1])


def will_glyph(verdict: Verdict) -> SafeText:
    """Return the glyph of what is expected."""
    return SafeText("x" if verdict.refused else _WILL[verdict.will][0])


def change(before_bytes: int | None, after_bytes: int | None) -> SafeText:
    """Return ``before >after`` in thirteen cells, each number over the other rows' ones."""
    return SafeText(f"{size(before_bytes):>6}>{size(after_bytes):>6}")


def reasons_in_words(verdict: Verdict) -> SafeText:
    """Return all reasons of a verdict, with their bytes."""
    parts = []
    for why in verdict.reasons:
        amount = f"{size(why.count_bytes)}: " if why.count_bytes else ""
        parts.append(f"{amount}{why.reason.text}")
    return safe("; ".join(parts))

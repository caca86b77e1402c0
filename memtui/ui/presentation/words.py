"""Words and glyphs for outcomes and verdicts, and the lists' common cells."""

from __future__ import annotations

from memtui.format import DOES_NOT_APPLY, SafeText, size
from memtui.model.report import Outcome
from memtui.model.verdict import Expectation, Verdict
from memtui.ui.presentation.rows import Cell

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

_WILL_ROLES = {Expectation.YES: "good", Expectation.PARTLY: "warn", Expectation.NO: "warn"}


def outcome_cell(outcome: Outcome) -> Cell:
    """Return an outcome's stable word, in its colour."""
    return Cell(SafeText(outcome.value), _OUTCOMES[outcome][1])


def outcome_glyph(outcome: Outcome) -> SafeText:
    """Return an outcome's glyph, which says the same without colour."""
    return SafeText(_OUTCOMES[outcome][0])


def will_cell(verdict: Verdict) -> Cell:
    """Return what is expected, in a word and its colour."""
    return Cell(SafeText(verdict.will.value), _WILL_ROLES[verdict.will])


def change(before_bytes: int | None, after_bytes: int | None, applies: bool = True) -> SafeText:
    """Do what format.change() does in thirteen cells, each number over the other rows' ones."""
    if not applies:
        return SafeText(f"{DOES_NOT_APPLY:>6}")
    return SafeText(f"{size(before_bytes):>6}>{size(after_bytes):>6}")

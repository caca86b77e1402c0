"""A forecast in words: the same on the screen and in the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size
from memtui.model.advice import Advice
from memtui.model.errors import with_step
from memtui.model.pages import LRU_BATCH_PAGES
from memtui.model.plan import Plan, TargetPlan
from memtui.model.ranges import PAGE_BYTES
from memtui.model.reasons import Reason
from memtui.model.verdict import Expectation
from memtui.render.reasons import rest_in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.model.verdict import Verdict

FORECAST_MEANS = {
    Advice.PAGEOUT: "will leave RSS",
    Advice.COLLAPSE: "will become huge",
    Advice.COLD: "is resident and will be aged",
    Advice.WILLNEED: "will be read in",
}

BUT_FOR_BATCHES = f", but for what each CPU touched last (up to {size(LRU_BATCH_PAGES * PAGE_BYTES)} a CPU)"
"""COLD skips pages in a CPU's LRU batch (docs/kernel-facts.md 12.14); no file says which those are."""

_WILL_GLYPHS = {Expectation.YES: "+", Expectation.PARTLY: "~", Expectation.NO: "="}


def forecast_size(verdict: Verdict) -> SafeText:
    """Return a forecast with ``~`` before what is but an estimate; ``?`` where it is not known."""
    amount = size(verdict.forecast_bytes)
    return SafeText(f"~{amount}") if verdict.is_estimate and verdict.forecast_bytes is not None else amount


def will_glyph(verdict: Verdict) -> SafeText:
    """Return the glyph of what is expected, which says the same without colour."""
    return SafeText("x" if verdict.refused else _WILL_GLYPHS[verdict.will])


def forecast_in_words(advice: Advice, of: Plan | TargetPlan) -> SafeText:
    """Return of what is asked for how much is expected to come of it, and why not the rest."""
    forecast = of.forecast_bytes
    expected = "? (not known how much)" if forecast is None else size(forecast)
    targets = of.targets if isinstance(of, Plan) else (of,)
    if forecast is not None and any(item.verdict.is_estimate for target in targets for item in target.ranges):
        if advice is Advice.WILLNEED:
            expected = f"at most {expected} (what of it is in RAM already cannot be seen)"
        elif any(why.reason is Reason.SWAPPED_OUT for why in of.reasons):
            expected = f"at least {expected} (what of the rest is in the swap cache cannot be seen)"
        else:
            expected = f"about {expected} (estimated: not all of its pages may be seen)"
    words = f"{expected} of {size(of.requested_bytes)} {FORECAST_MEANS[advice]}"
    if advice is Advice.COLD and forecast != 0:
        words += BUT_FOR_BATCHES
    rest = rest_in_words(of.reasons)
    return SafeText(f"{words}; {rest}" if rest else words)


def describe_forecast(plan: Plan) -> SafeText:
    """Return of what is asked for how much is expected to come of it, and why not the rest."""
    words = forecast_in_words(plan.advice, plan)
    return SafeText(f"{words}; {size(plan.blocked_bytes)} blocked") if plan.blocked_bytes else words


def describe_thorough(advice: Advice) -> SafeText:
    """Return what asking again does."""
    if advice is not Advice.PAGEOUT:
        return SafeText("for PAGEOUT only")
    return SafeText("asks again, CPU by CPU, for batched pages; slower")


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

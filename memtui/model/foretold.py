"""A forecast in words: the same on the screen and in the command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.model.advice import Advice
from memtui.model.pages import LRU_BATCH_PAGES
from memtui.model.plan import Plan, TargetPlan
from memtui.model.ranges import PAGE_BYTES
from memtui.model.reasons import GIVEN_UP, Reason
from memtui.text import SafeText, size

if TYPE_CHECKING:
    from memtui.model.verdict import Verdict, WhyBytes

FORECAST_MEANS = {
    Advice.PAGEOUT: "will leave RSS",
    Advice.COLLAPSE: "will become huge",
    Advice.COLD: "is resident and will be aged",
    Advice.WILLNEED: "will be read in",
}

BUT_FOR_BATCHES = f", but for what each CPU touched last (up to {size(LRU_BATCH_PAGES * PAGE_BYTES)} a CPU)"
"""COLD skips pages in a CPU's LRU batch (docs/kernel-facts.md 12.14); no file says which those are."""

_IN_SHORT: dict[Reason, str] = {
    Reason.ALREADY_OUT: "already out",
    Reason.OUT_OR_MARKED: "out already, or untouched",
    Reason.SHARED_PAGES: "shared",
    Reason.MERGED_PAGES: "merged by KSM",
    Reason.UNEVICTABLE: "that never leaves RAM",
    Reason.PINNED: "pinned",
    Reason.FILE_NOT_WRITABLE: "of files you may not write",
    Reason.NO_SWAP: "without free swap",
    Reason.SWAP_LIMIT: "over its cgroup's swap limit",
    Reason.PFNMAP: "device or kernel pages",
    Reason.HUGETLB: "hugetlb",
    Reason.NO_HUGE_PAGE: "without a whole huge page",
    Reason.ALL_HUGE: "huge already",
    Reason.FILE_NOT_HUGE: "of files without huge pages",
    Reason.SHMEM_NOT_HUGE: "shared memory without huge pages",
    Reason.FILE_HUGE_UNKNOWN: "of files that may have no huge pages",
    Reason.OWN_COPIES: "with copies of its own",
    Reason.HUGE_MISALIGNED: "where no huge page fits",
    Reason.WATCHED: "watched by a userfaultfd",
    Reason.SWAPPED_OUT: "partly in swap (read it in first: WILLNEED)",
    Reason.LOCKED_IN_RAM: "in RAM for good",
    Reason.NOTHING_RESIDENT: "not in RAM",
    Reason.NOTHING_SWAPPED: "not in swap",
    Reason.UNTOUCHED: "untouched",
    Reason.UNMAPPED_HERE: "not mapped in",
    Reason.ZERO_PAGE: "of the zero page",
    Reason.CACHE_UNKNOWN: "perhaps in the page cache",
    Reason.CACHED_ALREADY: "in the page cache already",
    Reason.SWAP_CACHED: "perhaps in the swap cache already",
    Reason.SKIPPED: "that the kernel skips",
    Reason.MEMORY_LIMIT: "for which its cgroup has no room",
    Reason.MEMORY_LOW: "for which too little memory is available",
}


_GIVEN_UP_WORDS = {
    Reason.LAZY_FREE: "will be freed (MADV_FREE: its owner gave it up)",
    Reason.DROPPABLE: "will be dropped and is lost (MAP_DROPPABLE: its owner allowed it)",
}


def forecast_size(verdict: Verdict) -> SafeText:
    """Return a forecast with ``~`` before what is but an estimate; ``?`` where it is not known."""
    amount = size(verdict.forecast_bytes)
    return SafeText(f"~{amount}") if verdict.is_estimate and verdict.forecast_bytes is not None else amount


def reason_in_short(reason: Reason) -> str:
    """Return a reason in a few words, to stand behind a number of bytes."""
    return _IN_SHORT.get(reason, reason.value.replace("_", " "))


def rest_in_words(reasons: Sequence[WhyBytes]) -> SafeText:
    """Return why not all of a plan will move, in bytes: ``20M shared, 8M locked, 4M already out``."""
    parts = [
        f"{size(why.count_bytes)} {reason_in_short(why.reason)}"
        for why in reasons
        if why.reason is not Reason.RSS_GROWS and why.reason not in GIVEN_UP and why.count_bytes != 0
    ]
    parts += [
        f"{size(why.count_bytes)} of it {_GIVEN_UP_WORDS[why.reason]}"
        for why in reasons
        if why.reason in GIVEN_UP and why.count_bytes != 0
    ]
    grows = next((why for why in reasons if why.reason is Reason.RSS_GROWS and why.count_bytes != 0), None)
    if grows is not None:
        parts.append(f"RSS will grow by {size(grows.count_bytes)}")
    return SafeText(", ".join(parts))


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
    words = f"of {size(of.requested_bytes)} requested {expected} {FORECAST_MEANS[advice]}"
    if advice is Advice.COLD and forecast != 0:
        words += BUT_FOR_BATCHES
    rest = rest_in_words(of.reasons)
    return SafeText(f"{words}; {rest}" if rest else words)

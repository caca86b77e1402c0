"""Reasons in words: alone, and behind the bytes that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size
from memtui.model.reasons import GIVEN_UP, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.model.verdict import ReasonBytes, Verdict

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


def why(reason: Reason | None, reason_text: str | None) -> SafeText:
    """Return a reason in words; nothing where there is none."""
    return safe(reason_text or (reason.text if reason else ""))


def reason_in_short(reason: Reason) -> str:
    """Return a reason in a few words, to stand behind a number of bytes."""
    return _IN_SHORT.get(reason, reason.value.replace("_", " "))


def rest_in_words(reasons: Sequence[ReasonBytes]) -> SafeText:
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


def reasons_in_words(verdict: Verdict) -> SafeText:
    """Return all reasons of a verdict, with their bytes."""
    parts = []
    for why in verdict.reasons:
        amount = f"{size(why.count_bytes)}: " if why.count_bytes else ""
        parts.append(f"{amount}{why.reason.text}")
    return safe("; ".join(parts))

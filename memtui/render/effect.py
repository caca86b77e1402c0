"""What became of the bytes, in sentences: the same on the screen and in the command.

Unmapped (left RSS), in swap and freed are three things, and each is told only as far as it was seen.
What the machine's counters show is told of the whole machine, never of the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import signed_size, size
from memtui.model.advice import Advice
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.model.report import Effect, Outcome, RangeReport, ReportGroup, TargetReport, total_of
from memtui.model.swap import SwapKind
from memtui.model.vma import ANONYMOUS_KINDS, VmaKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_SWAP_WORDS = {
    SwapKind.DISK: "Swap on a disk or in a file keeps written pages in the swap cache, in RAM,"
    " until reclaim takes them: unmapped is not freed, and MemFree need not rise.",
    SwapKind.ZSWAP: "zswap compresses pages on their way to swap: what it takes is freed at once, less the"
    " room for it, compressed. What it does not take is written, and stays in the swap cache, in RAM, until"
    " reclaim takes it.",
    SwapKind.ZRAM: "Swap on zram keeps no page in the swap cache: it is freed at once, less what zram"
    " takes for it, compressed. MemFree may show it later: freed pages wait in lists of their CPU.",
}


def summary(report: TargetReport, advice: Advice) -> tuple[str, ...]:
    """Return in sentences, raw, what came of a target, and what cannot be restored of it later."""
    lines = [*describe_effect(report, advice)]
    if advice is Advice.PAGEOUT and report.is_unseen:
        what = "what of them comes back cannot be counted, and nothing be restored later"
        lines.append(f"{Reason.PAGES_UNSEEN.text}; {what}")
    if report.unswept is not None:
        lines.append(f"old records of moved pages cannot be removed: {report.unswept}")
    return tuple(lines)


def describe_effect(report: TargetReport, advice: Advice) -> tuple[str, ...]:
    """Return what became of the bytes of a target.

    Nothing where nothing was tried. No text of the system is in it.
    """
    if report.planned.blocked is not None or not report.calls:
        return ()
    words = [f"Advised is the kernel's word: it walked {size(report.advised_bytes)}."]
    words += _EFFECTS[advice](report)
    if report.effect.oom_kills:
        words.append(Detail(DetailCode.OOM_KILLED, report.effect.oom_kills).text)
    machine = _machine(report.effect, advice)
    return (*words, machine) if machine else tuple(words)


def describe_range_effect(item: RangeReport, advice: Advice) -> str:
    """Return in a few words what became of the bytes of one range; empty where nothing is known."""
    if advice is Advice.PAGEOUT and item.moved_bytes:
        where = _where([ReportGroup(item, 1)])
        parts = [words if len(where) == 1 else f"{size(count)} {words}" for count, words in where]
        if item.came_bytes:
            parts.append(f"{size(item.came_bytes)} came meanwhile")
        return f"{size(item.moved_bytes)} left RSS" + (f": {', '.join(parts)}" if parts else "")
    if advice is Advice.COLLAPSE and item.moved_bytes and item.moved_bytes > 0:
        return f"{size(item.moved_bytes)} became huge, RSS {signed_size(_rss_delta(item))}"
    if advice is Advice.COLD and item.referenced_delta_bytes:
        return f"Referenced {signed_size(item.referenced_delta_bytes)}"
    if advice is Advice.WILLNEED and item.cache_delta_bytes:
        return f"page cache {signed_size(item.cache_delta_bytes)}"
    return ""


def _machine(effect: Effect, advice: Advice) -> str | None:
    parts = [
        f"{name} {signed_size(delta)}"
        for name, delta in (
            ("MemFree", effect.mem_free_delta_bytes),
            ("SwapCached", effect.swap_cached_delta_bytes),
        )
        if delta is not None
    ]
    if effect.zswapped_delta_bytes:
        parts.append(f"Zswapped {signed_size(effect.zswapped_delta_bytes)}")
    if effect.swapped_in_bytes is not None and (effect.swapped_in_bytes or advice is Advice.WILLNEED):
        parts.append(f"{size(effect.swapped_in_bytes)} read in from swap")
    return f"System-wide change meanwhile: {', '.join(parts)}." if parts else None


def _pageout(report: TargetReport) -> Iterator[str]:
    moved = report.moved_bytes
    if moved is None:
        yield "Whether anything left RSS could not be seen."
        return
    seen = [alike for alike in report.sorts if alike.report.moved_bytes is not None]
    unseen = sum(item.advised_bytes * times for item, times in report.sorts if item.moved_bytes is None)
    where = [f"{size(count)} {words}" for count, words in _where(seen)]
    if moved:
        yield f"{size(moved)} left RSS" + (f": {', '.join(where)}." if where else ".")
    else:
        yield "Nothing left RSS."
    shared_memory = [alike for alike in seen if _is(alike, VmaKind.SHMEM) and alike.report.moved_bytes]
    if (moved and _total(seen, "swapped_bytes")) or _may_be_in_swap(shared_memory):
        yield from _of_swap(report.swap_kinds)
    if huge := _total([alike for alike in seen if _is(alike, *ANONYMOUS_KINDS)], "huge_moved_bytes"):
        yield f"{size(huge)} of it were huge pages; they come back as small ones."
    if freed := _total([alike for alike in seen if not _is_droppable(alike.report)], "given_up_bytes"):
        yield f"{size(freed)} were freed: their owner had given them up (MADV_FREE)."
    if dropped := _total([alike for alike in seen if _is_droppable(alike.report)], "given_up_bytes"):
        yield f"{size(dropped)} were dropped and are lost: their owner had allowed that (MAP_DROPPABLE)."
    yield from _of_shared_memory(shared_memory)
    yield from _of_files([alike for alike in seen if _is(alike, VmaKind.FILE)])
    if came := _total(seen, "came_bytes"):
        yield f"{size(came)} came into RSS meanwhile."
    if unseen:
        yield f"What became of {size(unseen)} more could not be seen."
    split = -(report.effect.huge_delta_bytes or 0) - moved
    if split > 0:
        yield f"At least {size(split)} of huge pages were split into small ones."


def _where(sorts: Sequence[ReportGroup]) -> list[tuple[int, str]]:
    """Return where what left RSS is, by the page table, with its bytes: in swap, or only unmapped."""
    swapped = files = shmem = given = freed = dropped = zero = unknown = 0
    for item, times in sorts:
        moved = item.moved_bytes or 0
        out = min(moved, item.swapped_bytes or 0)
        swapped += out * times
        if item.planned.kind in ANONYMOUS_KINDS:
            gone = moved - out if item.swapped_bytes is not None else 0
            zeroed = min(gone, item.zero_moved_bytes or 0)
            free = min(gone - zeroed, item.given_up_bytes or 0)
            zero += zeroed * times
            if _is_droppable(item):
                dropped += free * times
            else:
                freed += free * times
            if item.zero_moved_bytes is None:
                unknown += (gone - free) * times
            else:
                given += (gone - zeroed - free) * times
        elif item.planned.kind is VmaKind.SHMEM:
            shmem += (moved - out) * times
        else:
            files += (moved - out) * times
    told = (
        (swapped, "in swap"),
        (files, "unmapped pages of files"),
        (shmem, "unmapped shared memory"),
        (freed, "freed (MADV_FREE)"),
        (zero, "freed (the zero page stands there now)"),
        (dropped, "dropped (MAP_DROPPABLE)"),
        (given, "neither in RAM nor in swap (the target let go of it)"),
        (unknown, "neither in RAM nor in swap (zeroes in huge pages, or the target let go of it)"),
    )
    return [(count, words) for count, words in told if count]


def _is_droppable(item: RangeReport) -> bool:
    return any(why.reason is Reason.DROPPABLE for why in item.planned.verdict.reasons)


def _of_swap(swaps: Collection[SwapKind]) -> Iterator[str]:
    for kind in SwapKind:
        if kind in swaps:
            yield _SWAP_WORDS[kind]
    if len(set(swaps)) > 1:
        yield "Which of these took the pages is not known."


def _of_files(sorts: Sequence[ReportGroup]) -> Iterator[str]:
    known = [alike for alike in sorts if alike.report.cache_delta_bytes is not None]
    unmapped = _unmapped(known)
    unseen = _unmapped(sorts) - unmapped
    if unseen > 0:
        yield f"Whether {size(unseen)} of the files also left the page cache could not be seen."
    delta = _total(known, "cache_delta_bytes")
    if unmapped <= 0:
        return
    if delta < 0:
        rest = unmapped + delta
        more = f", {size(rest)} is still in it: unmapped, not freed" if rest > 0 else ""
        yield f"{size(-delta)} of the files left the page cache and is free{more}."
    else:
        yield f"{size(unmapped)} of the files is still in the page cache: unmapped, not freed."


def _unmapped(sorts: Iterable[ReportGroup]) -> int:
    return sum(max(0, (item.moved_bytes or 0) - (item.swapped_bytes or 0)) * times for item, times in sorts)


def _of_shared_memory(sorts: Sequence[ReportGroup]) -> Iterator[str]:
    """Say where unmapped shared memory is: what was never written is dropped, and takes no swap."""
    unmapped = _unmapped(sorts)
    if unmapped <= 0:
        return
    swapped, delta = _shared_memory_swapped(sorts), _cache_delta(sorts)
    if delta is None and swapped is None:
        yield "Whether the shared memory went to swap or stays in RAM could not be seen."
        return
    left_ram = max(0, -(delta or 0))
    if swapped is None:
        if left_ram:
            yield f"{size(left_ram)} of the shared memory left RAM: to swap, or dropped where never written."
    else:
        in_swap = max(0, swapped if delta is None else min(swapped, left_ram))
        if in_swap:
            yield f"{size(in_swap)} of the shared memory went to swap."
        if left_ram > in_swap:
            yield f"{size(left_ram - in_swap)} of the shared memory was never written: dropped, and freed."
    stays = unmapped - left_ram if delta is not None else 0
    if stays > 0:
        yield f"{size(stays)} of the shared memory is unmapped and still in RAM: not freed."
    unseen = unmapped - max(0, swapped or 0)
    if delta is None and unseen > 0:
        yield f"Whether {size(unseen)} of the shared memory stays in RAM could not be seen."


def _shared_memory_swapped(sorts: Sequence[ReportGroup]) -> int | None:
    """Return how much more shared memory is in swap, by smaps, but for own copies; None where not known."""
    total = 0
    for item, times in sorts:
        if item.swap_before_bytes is None or item.swap_after_bytes is None:
            return None
        total += (item.swap_after_bytes - item.swap_before_bytes - (item.swapped_bytes or 0)) * times
    return total


def _may_be_in_swap(shared_memory: Sequence[ReportGroup]) -> bool:
    swapped = _shared_memory_swapped(shared_memory)
    return (_cache_delta(shared_memory) or 0) < 0 if swapped is None else swapped > 0


def _cold(report: TargetReport) -> Iterator[str]:
    delta = report.effect.referenced_delta_bytes
    stays = [alike for alike in report.sorts if alike.report.reason in (Reason.UNEVICTABLE, Reason.PINNED)]
    of_these = _total(stays, "referenced_delta_bytes")
    if delta is not None and of_these < 0:
        # They were aged as well, and reclaim does not take them.
        delta -= of_these
    if delta is None:
        yield "Referenced was not read: whether pages were aged is not known."
    elif delta < 0:
        yield f"Referenced fell by {size(-delta)} (the VMAs advised): reclaim takes these pages first."
    else:
        yield "Referenced did not fall (the VMAs advised)."
    if of_these < 0:
        yield f"Referenced fell by {size(-of_these)} of memory that reclaim does not take."
    yield "COLD takes nothing out of RAM."
    huge = report.effect.huge_delta_bytes
    if huge and huge < 0:
        yield f"{size(-huge)} of huge pages were split into small ones."


def _willneed(report: TargetReport) -> Iterator[str]:
    advised = [alike for alike in report.sorts if alike.report.advised_bytes]
    files = [alike for alike in advised if _is(alike, VmaKind.FILE)]
    if files:
        known = [alike for alike in files if alike.report.cache_delta_bytes is not None]
        came = sum(max(0, item.cache_delta_bytes or 0) * times for item, times in known)
        if came > 0:
            yield f"{size(came)} of files came into the page cache."
        elif known:
            yield "Nothing of the files came into the page cache."
        if len(known) < len(files):
            unseen = _total(files, "advised_bytes") - _total(known, "advised_bytes")
            yield f"What of {size(unseen)} of files came into the page cache could not be seen."
    if any(_may_come_from_swap(item) for item, _ in advised):
        yield "What came from swap stands in the swap cache: only counters of the whole machine show it."
    yield "WILLNEED maps nothing, RSS does not rise by it: the first touch of each page takes a minor fault."


def _may_come_from_swap(item: RangeReport) -> bool:
    if item.outcome is Outcome.NO_EFFECT:
        return False
    return item.planned.kind in ANONYMOUS_KINDS or item.planned.kind is VmaKind.SHMEM


def _collapse(report: TargetReport) -> Iterator[str]:
    moved = report.moved_bytes
    if moved is None:
        yield "Whether pages became huge could not be seen."
        return
    if moved <= 0:
        yield "No page became huge."
    else:
        yield f"{size(moved)} became huge pages."
    grown = report.effect.rss_delta_bytes
    if grown is None:
        yield "What RSS grew by could not be seen."
    elif grown > 0:
        back = -min(0, report.effect.swap_delta_bytes or 0)
        parts = ["holes were filled"] if grown > back else []
        parts += [f"{size(back)} came back from swap"] if back else []
        yield f"RSS grew by {size(grown)}: {', '.join(parts)}."
    else:
        yield "RSS did not grow."


_EFFECTS = {
    Advice.PAGEOUT: _pageout,
    Advice.COLD: _cold,
    Advice.WILLNEED: _willneed,
    Advice.COLLAPSE: _collapse,
}


def _is(alike: ReportGroup, *kinds: VmaKind) -> bool:
    return alike.report.planned.kind in kinds


def _cache_delta(sorts: Sequence[ReportGroup]) -> int | None:
    """Return by how much the page cache of these ranges changed; None if of one it is not known."""
    worked_on = [alike for alike in sorts if alike.report.advised_bytes or alike.report.moved_bytes]
    if any(alike.report.cache_delta_bytes is None for alike in worked_on):
        return None
    return total_of(worked_on, "cache_delta_bytes")


def _total(sorts: Iterable[ReportGroup], name: str) -> int:
    return total_of(sorts, name) or 0


def _rss_delta(item: RangeReport) -> int | None:
    if item.rss_after_bytes is None or item.rss_before_bytes is None:
        return None
    return item.rss_after_bytes - item.rss_before_bytes

"""What is looked at before and after the holds: smaps, the page cache, the whole machine."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from memtui.advise.alignment import Alignment
from memtui.advise.classify import Circumstances
from memtui.advise.range_rss import RangeRss
from memtui.linux import sysinfo
from memtui.linux.filecache import cached_bytes
from memtui.linux.memory_limit import OomKills
from memtui.linux.procfs import parse_maps, read_smaps
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.process import Liveness
from memtui.model.ranges import PAGE_BYTES, AddressColumns, Range
from memtui.model.report import Effect, RangeReport, ReportGroup, held_total, total_of
from memtui.model.swap import SwapKind, swap_kind
from memtui.model.vma import Vma, VmaDetails, VmaKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memtui.advise.range_stats import RangeStats
    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.plan import PlannedRange, TargetPlan
    from memtui.model.reasons import Reason

_CACHE_RANGES = 256
_CACHE_BYTES = 8 << 30
"""How much of files a PAGEOUT looks up in the page cache, twice; beyond it that stays unknown."""


class Measurement:
    """What is looked at before and after the holds: smaps, the page cache, the whole machine."""

    def __init__(
        self, advice: Advice, planned: TargetPlan, handle: ProcessHandle, smaps_is_cheap: bool
    ) -> None:
        self._advice = advice
        self._handle = handle
        self._smaps_is_cheap = smaps_is_cheap
        self._planned = planned
        self._vmas: tuple[Vma, ...] = ()
        self._cache_before: dict[int, int] = {}
        self._memory_before: sysinfo.Memory
        self._memory_after: sysinfo.Memory
        self._swaps_before: list[sysinfo.Swap]
        self._swaps_after: list[sysinfo.Swap]
        self._wholes = RangeRss(advice, planned, handle)
        self.details_before: dict[int, VmaDetails] = {}
        self.details_after: dict[int, VmaDetails] = {}
        self._oom_kills: OomKills
        self._killed: int | None = None
        self.grain = Alignment(
            advice, sysinfo.huge_page_bytes() or PAGE_BYTES, self._read_ahead(), self._unseen_swap()
        )

    def _read_ahead(self) -> dict[int, int]:
        if self._advice is not Advice.WILLNEED:
            return {}
        return {
            index: sysinfo.read_ahead_bytes(item.identity.device)
            for index, item in enumerate(self._planned.ranges)
            if item.identity is not None and item.kind is VmaKind.FILE
        }

    def _unseen_swap(self) -> frozenset[int]:
        """Return of which ranges the page table has no trace of what stands in swap."""
        if self._advice is not Advice.WILLNEED:
            return frozenset()
        return frozenset(at for at, item in enumerate(self._planned.ranges) if item.kind is VmaKind.SHMEM)

    def before(self) -> None:
        """Look for the first time. Raises MemtuiError if the target has gone."""
        handle = self._handle
        # A record of what it moved needs it, and after the action it may be out of RAM.
        if self._advice is Advice.PAGEOUT:
            handle.program()
        if filed := self._with_page_cache():
            self._vmas = parse_maps(handle.read_maps(), sysinfo.shmem_devices(handle.pid))
            for index in filed:
                cached = self._cached(self._planned.ranges[index].range)
                if cached is not None:
                    self._cache_before[index] = cached
        self._wholes.before()
        if self._wants_details():
            self.details_before = read_smaps(handle.pid)
        self._oom_kills = OomKills(handle.pid)
        self._swaps_before = sysinfo.swaps() or []
        self._memory_before = sysinfo.memory()

    def after(self, tallies: RangeStats) -> None:
        """Look again. What can no longer be seen stays unknown."""
        self._memory_after = sysinfo.memory()
        self._swaps_after = sysinfo.swaps() or []
        self._killed = self._oom_kills.since()
        self._wholes.after(tallies)
        for index, cached in self._cache_before.items():
            now = self._cached(self._planned.ranges[index].range)
            if now is not None:
                tallies.set("cache_came_bytes", index, now - cached)
        if self.details_before:
            self.details_after = self._details_now()
        self._see_by_details(tallies)

    def swap_kinds(self) -> frozenset[SwapKind]:
        """Return the kinds of the swap areas of which more is in use than before; if none, of all.

        zswap stands before an area on a disk; where it holds no more than before, it took nothing.
        """
        used = {swap.path: swap.used_bytes for swap in self._swaps_before}
        grown = [swap for swap in self._swaps_after if swap.used_bytes > used.get(swap.path, 0)]
        kinds = frozenset(swap_kind(swap.path) for swap in grown or self._swaps_after)
        took = self._zswapped()
        if sysinfo.zswap_is_on() if took is None else took > 0:
            return kinds - {SwapKind.DISK} | {SwapKind.ZSWAP}
        return kinds

    def _zswapped(self) -> int | None:
        return _delta(self._memory_before.zswapped_bytes, self._memory_after.zswapped_bytes)

    def _with_page_cache(self) -> list[int]:
        """Return which ranges have a page cache behind them that may be looked at."""
        if self._advice not in (Advice.WILLNEED, Advice.PAGEOUT):
            return []
        filed = [
            index
            for index, item in enumerate(self._planned.ranges)
            if item.goes and item.kind in (VmaKind.FILE, VmaKind.SHMEM)
        ]
        if self._advice is Advice.PAGEOUT:
            size = sum(self._planned.ranges[index].requested_bytes for index in filed)
            if len(filed) > _CACHE_RANGES or size > _CACHE_BYTES:
                return []
        return filed

    def _details_now(self) -> dict[int, VmaDetails]:
        handle = self._handle
        try:
            details = read_smaps(handle.pid)
        except MemtuiError:
            # The target has gone: the outcome says so, and there is nothing to compare with.
            return {}
        # Smaps is found by the pid: of a target that has exec'ed meanwhile it is another map's.
        return details if handle.standing() is Liveness.ALIVE else {}

    def _wants_details(self) -> bool:
        if not self._smaps_is_cheap:
            return False
        if self._advice is Advice.COLD or self._handle.pagemap_fd is None:
            return True
        return any(item.goes and _swap_is_untold(item) for item in self._planned.ranges)

    def _cached(self, part: Range) -> int | None:
        at = bisect_right(self._vmas, part.start, key=lambda vma: vma.start) - 1
        if at < 0 or self._vmas[at].end < part.end or not self._vmas[at].inode:
            return None
        return cached_bytes(self._handle.pid, self._vmas[at], part)

    def _see_by_details(self, tallies: RangeStats) -> None:
        """Where the page table may not be read or does not tell, smaps shows what became of whole VMAs."""
        if not self.details_after:
            return
        seen, ranges = frozenset(tallies.where("seen_bytes")), self._planned.ranges
        for index in [at for at, item in enumerate(ranges) if at not in seen or _swap_is_untold(item)]:
            planned = ranges[index]
            start = planned.range.start
            was, now = self.details_before.get(start), self.details_after.get(start)
            tally = tallies.of(index)
            if not tally.advised_bytes or was is None or now is None:
                continue
            if was.size_bytes != planned.requested_bytes or now.size_bytes != was.size_bytes:
                continue
            if not tally.seen:
                tally.see_whole(was, now, self._advice)
            elif _swap_is_untold(planned):
                tally.swap_before_bytes, tally.swap_after_bytes = was.swap_bytes, now.swap_bytes
                tally.smaps_seen = True
            tallies.put(index, tally)

    def circumstances(
        self, stopped: Reason | None, stopped_text: str | None, batches_were_emptied: bool
    ) -> Circumstances:
        """Return what the outcomes depend on."""
        spans = AddressColumns.from_items([item.range for item in self._planned.ranges])
        return Circumstances(
            advice=self._advice,
            stopped=stopped,
            stopped_text=stopped_text,
            swapped_in_bytes=self._swapped_in(),
            swap_free_bytes=self._memory_after.swap_free_bytes,
            batches_were_emptied=batches_were_emptied,
            referenced_before=_referenced(self.details_before, spans),
            referenced_after=_referenced(self.details_after, spans),
        )

    def effect(self, ranges: Sequence[RangeReport], sorts: Sequence[ReportGroup]) -> Effect:
        """Return what changed, of the target's ranges, whose ``sorts`` these are, and of the machine."""
        was, now = self._memory_before, self._memory_after
        return Effect(
            rss_delta_bytes=_held_delta(sorts, "rss"),
            swap_delta_bytes=_held_delta(sorts, "swap"),
            referenced_delta_bytes=self._referenced_delta(ranges, sorts),
            mem_free_delta_bytes=_delta(was.free_bytes, now.free_bytes),
            swap_cached_delta_bytes=_delta(was.swap_cached_bytes, now.swap_cached_bytes),
            swapped_in_bytes=self._swapped_in(),
            huge_delta_bytes=total_of(sorts, "huge_delta_bytes"),
            cache_delta_bytes=total_of(sorts, "cache_delta_bytes"),
            oom_kills=self._killed,
            zswapped_delta_bytes=self._zswapped(),
        )

    def _swapped_in(self) -> int | None:
        return _delta(self._memory_before.swapped_in_bytes, self._memory_after.swapped_in_bytes)

    def _referenced_delta(self, ranges: Sequence[RangeReport], sorts: Sequence[ReportGroup]) -> int | None:
        if self._advice is not Advice.COLD or not self.details_after:
            return None
        if all(item.referenced_delta_bytes is not None for item, _ in sorts if item.advised_bytes):
            return total_of(sorts, "referenced_delta_bytes")
        # Of a part of a VMA nothing is known but what became of the whole, which counts once.
        whole = self.details_before.keys()
        advised = {item.planned.range.start for item in ranges if item.advised_bytes}
        touched = advised & whole
        if parts := advised - whole:
            starts = sorted(whole)
            touched |= {_vma_start(starts, part) for part in parts}
        # Alike VMAs share their details: most of these are the very same.
        pairs = [(self.details_before.get(start), self.details_after.get(start)) for start in touched]
        both = [now.referenced_bytes - was.referenced_bytes for was, now in pairs if was and now]
        return sum(both) if both else None


def _swap_is_untold(planned: PlannedRange) -> bool:
    """Whether only smaps tells of its swap: the page table has no trace of shared memory, or markers."""
    return planned.kind is VmaKind.SHMEM or planned.swap_by_smaps


def _vma_start(starts: Sequence[int], address: int) -> int:
    at = bisect_right(starts, address) - 1
    return starts[at] if at >= 0 else -1


def _referenced(details: Mapping[int, VmaDetails], spans: AddressColumns) -> dict[int, int]:
    """Return Referenced of each range that is a whole VMA, by its start: of a part nothing is known."""
    rows = map(details.get, spans.starts)
    return {
        start: row.referenced_bytes
        for (start, end), row in zip(spans, rows, strict=True)
        if row is not None and row.size_bytes == end - start
    }


def _delta(was: int | None, now: int | None) -> int | None:
    return None if was is None or now is None else now - was


def _held_delta(sorts: Sequence[ReportGroup], what: str) -> int | None:
    return _delta(held_total(sorts, f"{what}_before_bytes"), held_total(sorts, f"{what}_after_bytes"))

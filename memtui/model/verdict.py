"""Will this VMA take this advice, how much will come of it, and if not all, why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from memtui.model.advice import Advice
from memtui.model.pages import HugeFacts, PageFacts
from memtui.model.ranges import PAGE_BYTES, inner_aligned
from memtui.model.reasons import Reason
from memtui.model.vma import ANONYMOUS_KINDS, CACHED_KINDS, MappedVma, VmaKind


class Expectation(str, Enum):
    """Whether an advice is expected to do anything."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class ReasonBytes(NamedTuple):
    """A reason, with the bytes that it concerns; None where that is not known."""

    reason: Reason
    count_bytes: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is expected of one advice on one VMA. ``forecast_bytes`` is None where not known.

    The forecast is in the unit of *moved*: for PAGEOUT what will leave RSS, for COLLAPSE what will
    become huge; for COLD what is resident and will be aged; for WILLNEED what will be read in.
    Reasons that keep pages from going stand before those that tell where the rest is.
    ``swap_bytes`` is what of it takes new room in swap. ``is_estimate`` tells that not all that
    decides it could be seen: smaps stood in for the page table, or large folios were hidden.
    """

    will: Expectation
    forecast_bytes: int | None
    reasons: tuple[ReasonBytes, ...] = ()
    swap_bytes: int = field(default=0, compare=False)
    is_estimate: bool = field(default=False, compare=False)
    refused: bool = field(init=False, repr=False, compare=False)
    """Whether the kernel would answer with an error."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "refused", any(why.reason.refuses for why in self.reasons))

    @property
    def main_reason(self) -> Reason | None:
        """The first reason, or None where all that can go will go."""
        return self.reasons[0].reason if self.reasons and self.will is not Expectation.YES else None


ADDRESS_LIMIT = 2 * (sys.maxsize + 1)
"""The first address that a pointer of ours cannot hold: 4 GiB for a 32-bit program."""


class MachineFacts(NamedTuple):
    """What a verdict must know of the machine; None is unknown.

    ``swap_room_bytes`` is what the cgroups of the target let it swap still; None also for no limit.
    ``swap_cached_bytes`` is what of swap is in RAM too; ``swap_is_memory`` tells that all swap is (zram),
    None that most may be (zswap). ``file_huge_pages`` and ``shmem_huge_pages`` tell
    whether the kernel makes huge pages of files that nobody has open for writing, and of shared memory.
    """

    swap_free_bytes: int | None
    huge_page_bytes: int | None
    address_limit: int = ADDRESS_LIMIT
    """Addresses from here on never enter a vector: it cannot hold them."""
    swap_room_bytes: int | None = None
    swap_cached_bytes: int | None = None
    swap_is_memory: bool | None = False
    file_huge_pages: bool | None = None
    shmem_huge_pages: bool | None = None


MayWrite = Callable[[MappedVma], "bool | None"]
"""Whether the operator owns or may write the file behind a VMA; None where that is unknown."""


def judge(
    row: MappedVma, advice: Advice, machine: MachineFacts, may_write: MayWrite | None = None
) -> Verdict:
    """Return the verdict for the whole VMA, from what is known of it."""
    refusal = _refusal(row, advice, machine)
    if refusal is not None:
        return Verdict(Expectation.NO, 0, (ReasonBytes(refusal, row.vma.size_bytes),))
    if advice is Advice.WILLNEED:
        return _judge_willneed(row, machine)
    if advice is Advice.COLLAPSE:
        return _judge_collapse(row, machine)
    return _judge_reclaim(row, advice, machine, may_write)


def _refusal(row: MappedVma, advice: Advice, machine: MachineFacts) -> Reason | None:
    kind, flags = row.kind, row.flags or ()
    if kind is VmaKind.VSYSCALL:
        # Whatever else stands in a map lies below TASK_SIZE, wherever the machine has it.
        return Reason.VSYSCALL
    if row.vma.end > machine.address_limit:
        return Reason.ADDRESS_TOO_HIGH
    if advice is Advice.WILLNEED:
        return None
    if kind is VmaKind.HUGETLB:
        return Reason.HUGETLB
    if kind is VmaKind.VVAR or "pf" in flags:
        return Reason.PFNMAP
    if advice is Advice.COLLAPSE:
        return _collapse_refusal(row, machine)
    return Reason.LOCKED if "lo" in flags else None


def _collapse_refusal(row: MappedVma, machine: MachineFacts) -> Reason | None:
    if row.kind in (VmaKind.VDSO, VmaKind.DEVICE) or (row.flags and "nh" in row.flags):
        return Reason.HUGE_PAGES_OFF if row.kind not in (VmaKind.VDSO, VmaKind.DEVICE) else Reason.PFNMAP
    if machine.huge_page_bytes is None or inner_aligned(row.vma.range, machine.huge_page_bytes) is None:
        return Reason.NO_HUGE_PAGE
    if row.kind in CACHED_KINDS and (row.vma.start - row.vma.offset) % machine.huge_page_bytes:
        # thp_vma_suitable_order(), include/linux/huge_mm.h.
        return Reason.HUGE_MISALIGNED
    if row.kind is VmaKind.FILE:
        # file_thp_enabled(), mm/huge_memory.c: nobody may have it open for writing, and we would know.
        written = row.vma.is_shared and "w" in row.vma.perms
        refused = machine.file_huge_pages is False or (machine.file_huge_pages and written)
        return Reason.FILE_NOT_HUGE if refused else None
    if row.kind is VmaKind.SHMEM and machine.shmem_huge_pages is False:
        return Reason.SHMEM_NOT_HUGE
    if row.kind not in ANONYMOUS_KINDS:
        return None
    empty = row.rss_bytes == 0 and row.swap_bytes == 0
    if row.blocks is not None:
        empty = row.blocks.is_hopeless
    return Reason.NOTHING_TO_COLLAPSE if empty else None


def _judge_willneed(row: MappedVma, machine: MachineFacts) -> Verdict:
    size, flags = row.vma.size_bytes, row.flags or ()
    if (
        row.kind in (VmaKind.VVAR, VmaKind.HUGETLB, VmaKind.DEVICE, VmaKind.VDSO)
        or "lo" in flags
        or "pf" in flags
    ):
        return Verdict(Expectation.NO, 0, (ReasonBytes(Reason.LOCKED_IN_RAM, size),))
    if row.kind in ANONYMOUS_KINDS:
        return _reads_swap_in(row, row.swap_bytes, machine)
    if row.kind is VmaKind.SHMEM and row.details is not None and row.details.size_bytes == size:
        # Only smaps knows, and only of a mapping as a whole: swapped shared memory is in no page table.
        return _reads_swap_in(row, row.details.swap_bytes, machine)
    if row.cache is None or row.kind is not VmaKind.FILE:
        return Verdict(Expectation.PARTLY, None, (ReasonBytes(Reason.CACHE_UNKNOWN, None),))
    comes = max(0, row.cache.in_file_bytes - row.cache.cached_bytes)
    reasons = (
        ReasonBytes(Reason.CACHED_ALREADY, row.cache.in_file_bytes - comes),
        ReasonBytes(Reason.UNTOUCHED, size - row.cache.in_file_bytes),
    )
    return Verdict(Expectation.YES if comes else Expectation.NO, comes, _weighty(reasons))


def _weighty(reasons: Iterable[ReasonBytes]) -> tuple[ReasonBytes, ...]:
    return tuple(why for why in reasons if why.count_bytes)


def _reads_swap_in(row: MappedVma, swapped_bytes: int | None, machine: MachineFacts) -> Verdict:
    if swapped_bytes is None:
        return Verdict(Expectation.PARTLY, None)
    # What has just been swapped out, or was read in and not touched, needs no reading. Whose pages the
    # swap cache holds no file tells.
    cached = min(swapped_bytes, machine.swap_cached_bytes or 0)
    reasons = _weighty(
        (
            ReasonBytes(Reason.SWAP_CACHED, cached),
            ReasonBytes(Reason.NOTHING_SWAPPED, row.vma.size_bytes - swapped_bytes),
        )
    )
    will = Expectation.YES if swapped_bytes else Expectation.NO
    return Verdict(will, swapped_bytes, reasons, is_estimate=cached > 0)


def _judge_collapse(row: MappedVma, machine: MachineFacts) -> Verdict:
    assert machine.huge_page_bytes is not None  # a refusal otherwise
    inner = inner_aligned(row.vma.range, machine.huge_page_bytes)
    assert inner is not None
    if row.blocks is not None:
        return _judge_blocks(row, row.blocks, machine)
    if row.details is None:
        return Verdict(Expectation.PARTLY, None)
    gain = inner.size_bytes - row.details.huge_bytes
    if gain <= 0:
        return Verdict(Expectation.NO, 0, (ReasonBytes(Reason.ALL_HUGE, row.details.huge_bytes),))
    if row.kind is VmaKind.FILE:
        return Verdict(
            Expectation.PARTLY, None, (ReasonBytes(Reason.FILE_HUGE_UNKNOWN, gain),), is_estimate=True
        )
    return Verdict(Expectation.YES, gain, is_estimate=True)


def _judge_blocks(row: MappedVma, blocks: HugeFacts, machine: MachineFacts) -> Verdict:
    gain, filled, swapped = blocks.fillable_bytes, blocks.filled_bytes, blocks.swapped_bytes
    is_estimate = False
    if swapped and machine.swap_is_memory is not False:
        # Read in at once. From a disk the kernel would wait with the mmap lock held: it gives up instead
        # (__collapse_huge_page_swapin(), mm/khugepaged.c).
        gain, filled, swapped = gain + swapped, filled + blocks.swapped_filled_bytes, 0
        is_estimate = machine.swap_is_memory is None
    reasons: tuple[ReasonBytes, ...] = (
        ReasonBytes(Reason.OWN_COPIES, blocks.copied_bytes),
        ReasonBytes(Reason.WATCHED, blocks.watched_bytes),
        ReasonBytes(Reason.PINNED, blocks.pinned_bytes),
        ReasonBytes(Reason.SWAPPED_OUT, swapped),
        ReasonBytes(Reason.ALL_HUGE, blocks.huge_bytes),
        ReasonBytes(Reason.ZERO_PAGE, blocks.zero_bytes),
        ReasonBytes(_absent(row), blocks.empty_bytes),
    )
    if gain and row.kind is VmaKind.FILE:
        reasons = (ReasonBytes(Reason.FILE_HUGE_UNKNOWN, gain), *reasons)
        return Verdict(Expectation.PARTLY, None, _weighty(reasons), is_estimate=True)
    # What is in the swap cache no file tells.
    may_be_more = swapped > 0 and machine.swap_cached_bytes != 0
    will = Expectation.PARTLY if may_be_more else Expectation.YES if gain else Expectation.NO
    reasons = (*reasons, ReasonBytes(Reason.RSS_GROWS, gain - filled))
    return Verdict(will, gain, _weighty(reasons), is_estimate=is_estimate or may_be_more)


def _judge_reclaim(
    row: MappedVma, advice: Advice, machine: MachineFacts, may_write: MayWrite | None
) -> Verdict:
    pages = row.pages or _pages_by_smaps(row)
    if pages is None:
        return Verdict(Expectation.PARTLY, None)
    if row.pages is None and not pages.resident_bytes:
        nothing = Reason.UNMAPPED_HERE if row.kind in CACHED_KINDS else Reason.NOTHING_RESIDENT
        return Verdict(Expectation.NO, 0, (ReasonBytes(nothing, row.vma.size_bytes),))
    given_up = _given_up(row, pages) if advice is Advice.PAGEOUT else 0
    stays, to_swap = _stays(row, pages, advice, machine, may_write)
    left = pages.resident_bytes - sum(why.count_bytes or 0 for why in stays)
    will = Expectation.NO if left < PAGE_BYTES else Expectation.PARTLY if stays else Expectation.YES
    reasons = stays if row.pages is None and row.swap_bytes is None else stays + _elsewhere(row, pages)
    # It is of what goes, and no reason for what does not: it stands last.
    reasons += _weighty((ReasonBytes(_dropped_since(row), min(left, given_up)),))
    is_estimate = _is_estimate(row) or (given_up > 0 and not _smaps_is_of_these(row, pages))
    if left and pages.pinned_elsewhere_bytes and pages.own_anonymous_bytes:
        # Some of it may be pinned, and nothing tells which.
        reasons = (ReasonBytes(Reason.PINNED, None), *reasons)
        will, is_estimate = Expectation.PARTLY, True
    return Verdict(will, left, reasons, to_swap, is_estimate=is_estimate)


def _dropped_since(row: MappedVma) -> Reason:
    """Return why what goes is dropped and not swapped."""
    droppable = row.details is not None and row.details.has_flag("dp")
    return Reason.DROPPABLE if droppable else Reason.LAZY_FREE


def _given_up(row: MappedVma, pages: PageFacts) -> int:
    """Return what its owner gave up: it is dropped, and takes no swap (mm/vmscan.c).

    That is what it named with MADV_FREE, and all of a mapping with MAP_DROPPABLE (Linux 6.11), also what was
    written.
    """
    if row.details is None or row.kind not in ANONYMOUS_KINDS or row.details.has_flag("mm"):
        return 0
    if row.details.has_flag("dp"):
        return pages.own_anonymous_bytes
    return min(pages.own_anonymous_bytes, row.details.lazy_free_bytes)


def _smaps_is_of_these(row: MappedVma, pages: PageFacts) -> bool:
    """Whether smaps' numbers are of just these pages: of the whole VMA, and of none that others map."""
    return row.details is not None and row.details.size_bytes == row.vma.size_bytes and not pages.shared_bytes


def _is_estimate(row: MappedVma) -> bool:
    """Whether folios that could not be seen may keep more: one that is partly shared, or dirty and cut."""
    pages = row.pages
    if pages is None:
        return True
    if pages.folios_known:
        return False
    may_be_dirty = row.kind is VmaKind.FILE and row.vma.is_shared and "w" in row.vma.perms
    own = pages.own_anonymous_bytes + pages.own_file_bytes
    return (may_be_dirty and pages.own_file_bytes > 0) or (pages.shared_bytes > 0 and own > 0)


def _pages_by_smaps(row: MappedVma) -> PageFacts | None:
    """Return what smaps says of the pages: what is shared *and* anonymous cannot be told from it."""
    if row.rss_bytes is None:
        return None
    shared = min(row.rss_bytes, row.details.shared_bytes) if row.details else 0
    own = row.rss_bytes - shared
    merged = min(shared, row.details.merged_bytes) if row.details else 0
    if row.kind in ANONYMOUS_KINDS:
        anonymous = own
    else:
        anonymous = min(own, row.details.anonymous_bytes) if row.details else 0
    found = PageFacts(anonymous, own - anonymous, shared - merged, row.swap_bytes or 0)
    return found._replace(merged_bytes=merged)


def _elsewhere(row: MappedVma, pages: PageFacts) -> tuple[ReasonBytes, ...]:
    """Return where the bytes are that are not resident."""
    gone = max(0, row.vma.size_bytes - pages.resident_bytes)
    swapped = pages.swapped_bytes
    if row.kind is VmaKind.SHMEM and row.details is not None and row.details.size_bytes == row.vma.size_bytes:
        swapped = row.details.swap_bytes
    out = min(gone, swapped)
    zero = min(gone - out, pages.zero_bytes)
    marked = min(gone - out - zero, pages.marked_bytes)
    return _weighty(
        (
            ReasonBytes(Reason.ALREADY_OUT, out),
            ReasonBytes(Reason.OUT_OR_MARKED, marked),
            ReasonBytes(Reason.ZERO_PAGE, zero),
            ReasonBytes(_absent(row), gone - out - zero - marked),
        )
    )


def _absent(row: MappedVma) -> Reason:
    """Return why no page stands there: what this process does not map may be in RAM all the same."""
    return Reason.UNMAPPED_HERE if row.kind in CACHED_KINDS else Reason.UNTOUCHED


def _stays(
    row: MappedVma,
    pages: PageFacts,
    advice: Advice,
    machine: MachineFacts,
    may_write: MayWrite | None,
) -> tuple[tuple[ReasonBytes, ...], int]:
    """Return the resident bytes that stay as they are, and how much of the others goes to swap."""
    anonymous, file, stuck_bytes = pages.own_anonymous_bytes, pages.own_file_bytes, pages.stuck_bytes
    unevictable = 0
    if row.details is not None and row.details.unevictable:
        # Dirty pages of a folio in pieces (stuck) are pages of the file as well.
        unevictable, file, stuck_bytes = file + stuck_bytes, 0, 0
    kept = (
        ReasonBytes(Reason.SHARED_PAGES, pages.shared_bytes),
        ReasonBytes(Reason.MERGED_PAGES, pages.merged_bytes),
        ReasonBytes(Reason.UNEVICTABLE, unevictable),
        ReasonBytes(Reason.PINNED, pages.pinned_bytes),
    )
    if row.kind is VmaKind.VDSO or "mm" in (row.flags or ()):
        # Mixed maps: pages of a driver or of the kernel, on no LRU list.
        return _weighty((*kept, ReasonBytes(Reason.SKIPPED, anonymous + file + stuck_bytes))), 0
    stuck = ReasonBytes(Reason.SKIPPED, stuck_bytes)
    if advice is not Advice.PAGEOUT:
        return _weighty((*kept, stuck)), 0
    barred = 0
    if row.kind not in ANONYMOUS_KINDS and may_write is not None and may_write(row) is False:
        # can_do_file_pageout(): a shared mapping is skipped whole, of a private one the file's pages.
        barred = file + (anonymous if row.vma.is_shared else 0)
        anonymous, file = (0 if row.vma.is_shared else anonymous), 0
    free, room = machine.swap_free_bytes, machine.swap_room_bytes
    swappable = anonymous - min(anonymous, _given_up(row, pages))
    no_swap = 0 if free is None else max(0, swappable - free)
    over_limit = 0 if room is None else max(0, swappable - no_swap - room)
    reasons = (
        *kept,
        stuck,
        ReasonBytes(Reason.NO_SWAP, no_swap),
        ReasonBytes(Reason.SWAP_LIMIT, over_limit),
        ReasonBytes(Reason.FILE_NOT_WRITABLE, barred),
    )
    # Shared memory is unmapped before swap is asked for (shrink_folio_list(), mm/vmscan.c): it leaves
    # RSS without swap too, and stays in RAM.
    return _weighty(reasons), swappable - no_swap - over_limit + (file if row.kind is VmaKind.SHMEM else 0)

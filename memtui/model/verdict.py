"""Will this VMA take this advice, how much will come of it, and if not all, why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from memtui.model.advice import Advice
from memtui.model.ranges import PAGE_BYTES, inner_aligned
from memtui.model.reasons import Reason
from memtui.model.vma import ANONYMOUS_KINDS, Kind, MappedVma


class Will(str, Enum):
    """Whether an advice is expected to do anything."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


@dataclass(frozen=True, slots=True)
class WhyBytes:
    """A reason, with the bytes that it concerns; None where that is not known."""

    reason: Reason
    count_bytes: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is expected of one advice on one VMA. ``forecast_bytes`` is None where not known.

    The forecast is in the unit of *moved*: for PAGEOUT what will leave RSS, for COLLAPSE what will
    become huge; for COLD what is resident and will be aged; for WILLNEED what will be read in.
    """

    will: Will
    forecast_bytes: int | None
    reasons: tuple[WhyBytes, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the kernel would answer with an error."""
        return any(why.reason.refuses for why in self.reasons)

    @property
    def main_reason(self) -> Reason | None:
        """The first reason, or None where all will go."""
        return self.reasons[0].reason if self.reasons else None


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What a verdict must know of the machine; None is unknown."""

    swap_free_bytes: int | None
    huge_page_bytes: int | None
    task_limit: int = 0x7FFFFFFFF000
    """Addresses from here on never enter a vector: they fail it as a whole (TASK_SIZE)."""


MayWrite = Callable[[MappedVma], "bool | None"]
"""Whether the operator owns or may write the file behind a VMA; None where that is unknown."""


def judge(
    row: MappedVma, advice: Advice, machine: MachineFacts, may_write: MayWrite | None = None
) -> Verdict:
    """Return the verdict for the whole VMA, from what is known of it."""
    refusal = _refusal(row, advice, machine)
    if refusal is not None:
        return Verdict(Will.NO, 0, (WhyBytes(refusal, row.vma.size_bytes),))
    if advice is Advice.WILLNEED:
        return _judge_willneed(row)
    if advice is Advice.COLLAPSE:
        return _judge_collapse(row, machine)
    return _judge_reclaim(row, advice, machine, may_write)


def _refusal(row: MappedVma, advice: Advice, machine: MachineFacts) -> Reason | None:
    kind, flags = row.kind, row.flags or ()
    if kind is Kind.VSYSCALL or row.vma.end > machine.task_limit:
        return Reason.VSYSCALL
    if advice is Advice.WILLNEED:
        return None
    if kind is Kind.HUGETLB:
        return Reason.HUGETLB
    if kind is Kind.VVAR or "pf" in flags:
        return Reason.PFNMAP
    if advice is Advice.COLLAPSE:
        return _collapse_refusal(row, machine)
    return Reason.LOCKED if "lo" in flags else None


def _collapse_refusal(row: MappedVma, machine: MachineFacts) -> Reason | None:
    if row.kind in (Kind.VDSO, Kind.DEVICE) or (row.flags and "nh" in row.flags):
        return Reason.HUGE_PAGES_OFF if row.kind not in (Kind.VDSO, Kind.DEVICE) else Reason.PFNMAP
    if machine.huge_page_bytes is None or inner_aligned(row.vma.range, machine.huge_page_bytes) is None:
        return Reason.NO_HUGE_PAGE
    empty = row.rss_bytes == 0 and row.swap_bytes == 0 and row.vma.kind in ANONYMOUS_KINDS
    return Reason.NOTHING_TO_COLLAPSE if empty else None


def _judge_willneed(row: MappedVma) -> Verdict:
    size, flags = row.vma.size_bytes, row.flags or ()
    if row.kind in (Kind.VVAR, Kind.HUGETLB, Kind.DEVICE, Kind.VDSO) or "lo" in flags or "pf" in flags:
        return Verdict(Will.NO, 0, (WhyBytes(Reason.LOCKED_IN_RAM, size),))
    if row.kind in ANONYMOUS_KINDS:
        if row.swap_bytes == 0:
            return Verdict(Will.NO, 0, (WhyBytes(Reason.NOTHING_SWAPPED, size),))
        return Verdict(Will.PARTLY if row.swap_bytes is None else Will.YES, row.swap_bytes)
    return Verdict(Will.PARTLY, None, (WhyBytes(Reason.CACHE_UNKNOWN, None),))


def _judge_collapse(row: MappedVma, machine: MachineFacts) -> Verdict:
    assert machine.huge_page_bytes is not None  # a refusal otherwise
    inner = inner_aligned(row.vma.range, machine.huge_page_bytes)
    assert inner is not None
    if row.details is None:
        return Verdict(Will.PARTLY, None)
    gain = inner.size_bytes - row.details.huge_bytes
    if gain <= 0:
        return Verdict(Will.NO, 0, (WhyBytes(Reason.ALL_HUGE, row.details.huge_bytes),))
    return Verdict(Will.YES, gain)


def _judge_reclaim(
    row: MappedVma, advice: Advice, machine: MachineFacts, may_write: MayWrite | None
) -> Verdict:
    if row.rss_bytes is None:
        return Verdict(Will.PARTLY, None)
    if row.rss_bytes == 0:
        return Verdict(Will.NO, 0, (WhyBytes(Reason.NOTHING_RESIDENT, row.vma.size_bytes),))
    reasons: list[WhyBytes] = []
    left = row.rss_bytes
    shared = min(left, row.details.shared_bytes) if row.details else 0
    if shared:
        reasons.append(WhyBytes(Reason.SHARED_PAGES, shared))
        left -= shared
    if advice is Advice.PAGEOUT:
        for reason, stays in _stays(row, left, machine, may_write):
            reasons.append(WhyBytes(reason, stays))
            left = max(0, left - stays)
    will = Will.NO if left < PAGE_BYTES else Will.PARTLY if reasons else Will.YES
    return Verdict(will, left, tuple(reasons))


def _stays(
    row: MappedVma, left: int, machine: MachineFacts, may_write: MayWrite | None
) -> list[tuple[Reason, int]]:
    """Return the bytes that PAGEOUT leaves in RAM for want of swap or of a right to the file."""
    out: list[tuple[Reason, int]] = []
    if row.kind in ANONYMOUS_KINDS or row.kind is Kind.SHMEM:
        anon, file = left, 0
    else:
        anon = min(left, row.details.anonymous_bytes) if row.details else 0
        file = left - anon
    if machine.swap_free_bytes is not None and anon > machine.swap_free_bytes:
        out.append((Reason.NO_SWAP, anon - machine.swap_free_bytes))
    if file and may_write is not None and may_write(row) is False:
        # can_do_file_pageout(): a shared mapping is skipped whole, of a private one the file's pages.
        out.append((Reason.FILE_NOT_WRITABLE, left if row.vma.is_shared else file))
    return out

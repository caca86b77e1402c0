"""Will this VMA take this advice, and if not, why.

The reasons are one table, used for verdicts, for reports and for errors: a stable code, its words,
and what to do next. Sources: mm/madvise.c (Linux 6.18) and measurements on that kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from memtui.model.advice import Advice
from memtui.model.ranges import PAGE_BYTES, inner_aligned
from memtui.model.vma import ANONYMOUS_KINDS, Kind, MappedVma


class Reason(str, Enum):
    """A reason, by its stable code."""

    # Of a VMA: the kernel would refuse the element, so it never enters a vector.
    LOCKED = "locked"
    PFNMAP = "pfnmap"
    HUGETLB = "hugetlb"
    VSYSCALL = "vsyscall"
    NOT_MAPPED = "not_mapped"
    NO_HUGE_PAGE = "no_huge_page"
    HUGE_PAGES_OFF = "huge_pages_off"
    NOTHING_TO_COLLAPSE = "nothing_to_collapse"
    # Of a VMA: the kernel would say yes and do nothing, or only a part.
    NOTHING_RESIDENT = "nothing_resident"
    NOTHING_SWAPPED = "nothing_swapped"
    SHARED_PAGES = "shared_pages"
    NO_SWAP = "no_swap"
    FILE_NOT_WRITABLE = "file_not_writable"
    ALL_HUGE = "all_huge"
    CACHE_UNKNOWN = "cache_unknown"
    LOCKED_IN_RAM = "locked_in_ram"
    SKIPPED = "skipped"
    CANNOT_SHOW = "cannot_show"
    NOTHING_CAME = "nothing_came"
    STILL_REFERENCED = "still_referenced"
    # Of a range, at the time of the call.
    CHANGED = "changed"
    GONE = "gone"
    RACED = "raced"
    FREEZE_LOST = "freeze_lost"
    CANCELLED = "cancelled"
    KERNEL_REFUSED = "kernel_refused"
    # Of a target.
    EXITED = "exited"
    EXECED = "execed"
    ZOMBIE = "zombie"
    KERNEL_THREAD = "kernel_thread"
    LEADER_EXITED = "leader_exited"
    NO_SUCH_PROCESS = "no_such_process"
    NOT_READABLE = "not_readable"
    MORE_CAPABLE = "more_capable"
    NO_PTRACE_ACCESS = "no_ptrace_access"
    NO_SYS_NICE = "no_sys_nice"
    SECCOMP = "seccomp"
    NO_SYSCALL = "no_syscall"
    ADVICE_UNKNOWN = "advice_unknown"
    SELF_ADVISED = "self_advised"
    NOTHING_ASKED = "nothing_asked"
    # Of a freeze.
    FREEZE_OFF = "freeze_off"
    FREEZE_REFUSED = "freeze_refused"
    FREEZE_DENIED = "freeze_denied"
    FREEZE_TRACED = "freeze_traced"
    FREEZE_TIMEOUT = "freeze_timeout"
    FREEZE_NO_GUARD = "freeze_no_guard"
    FREEZE_NO_JOURNAL = "freeze_no_journal"
    # Of the record and of our own fault.
    LEDGER_UNWRITABLE = "ledger_unwritable"
    FAILED = "failed"

    @property
    def text(self) -> str:
        """The reason in words."""
        return _TABLE[self].words

    @property
    def next_step(self) -> str:
        """What the operator can do about it; empty where there is nothing to do."""
        return _TABLE[self].next_step

    @property
    def refuses(self) -> bool:
        """Whether the kernel answers an element with an error, so that it must stay out of a vector."""
        return self in _REFUSALS


@dataclass(frozen=True, slots=True)
class _Words:
    words: str
    next_step: str = ""


_TABLE: dict[Reason, _Words] = {
    Reason.LOCKED: _Words(
        "locked in memory (mlock)", "only its owner can unlock it; leave it out of the plan"
    ),
    Reason.PFNMAP: _Words("device or kernel pages (PFN map)", "leave it out of the plan"),
    Reason.HUGETLB: _Words("hugetlb memory is never reclaimed", "leave it out of the plan"),
    Reason.VSYSCALL: _Words("above the user's address space", "leave it out of the plan"),
    Reason.NOT_MAPPED: _Words("nothing is mapped there", "look at `memtui maps PID`"),
    Reason.NO_HUGE_PAGE: _Words("holds no whole, aligned huge page", "choose a larger range"),
    Reason.HUGE_PAGES_OFF: _Words("its owner turned huge pages off (nh)", "leave it out of the plan"),
    Reason.NOTHING_TO_COLLAPSE: _Words("nothing in it that could be collapsed", "leave it out of the plan"),
    Reason.NOTHING_RESIDENT: _Words("nothing of it is in RAM"),
    Reason.NOTHING_SWAPPED: _Words("nothing of it is in swap"),
    Reason.SHARED_PAGES: _Words(
        "pages that other processes map too are skipped", "they can go once only one process maps them"
    ),
    Reason.NO_SWAP: _Words("no free swap: anonymous memory has nowhere to go", "add swap (swapon)"),
    Reason.FILE_NOT_WRITABLE: _Words(
        "pages of a file that you neither own nor may write are skipped", "run as its owner or as root"
    ),
    Reason.ALL_HUGE: _Words("all of it is in huge pages already"),
    Reason.CACHE_UNKNOWN: _Words("how much of the file is in the page cache already is not known"),
    Reason.LOCKED_IN_RAM: _Words("it is in RAM for good: nothing to read in"),
    Reason.SKIPPED: _Words(
        "the kernel took the advice and skipped the pages (shared, busy, or just brought in)",
        "try once more; see `memtui maps`",
    ),
    Reason.CANNOT_SHOW: _Words("nothing that could be read shows whether it had an effect"),
    Reason.NOTHING_CAME: _Words("neither swap cache nor page cache grew: it was there already"),
    Reason.STILL_REFERENCED: _Words("Referenced did not fall: the pages are in use, shared or were cold"),
    Reason.CHANGED: _Words("something else is mapped there now", "mark it anew"),
    Reason.GONE: _Words("it was unmapped before the call", "mark it anew"),
    Reason.RACED: _Words("the map changed while the advice was given", "hold the target still (--freeze)"),
    Reason.FREEZE_LOST: _Words("the target ran on before the work was done", "look at the map and try again"),
    Reason.CANCELLED: _Words("cancelled before its turn"),
    Reason.KERNEL_REFUSED: _Words("the kernel refused it"),
    Reason.EXITED: _Words("the process has exited"),
    Reason.EXECED: _Words("the process runs another program now (exec): its old map is gone", "mark it anew"),
    Reason.ZOMBIE: _Words("a zombie has no memory", "its parent must wait for it"),
    Reason.KERNEL_THREAD: _Words("a kernel thread has no memory of its own"),
    Reason.LEADER_EXITED: _Words("its first thread has exited: the kernel can no longer reach its memory"),
    Reason.NO_SUCH_PROCESS: _Words("no such process", "look at `memtui ps`"),
    Reason.MORE_CAPABLE: _Words("you may not read its map: it holds capabilities that you do not"),
    Reason.NOT_READABLE: _Words("you may not read its map", "run as its owner or as root"),
    Reason.NO_PTRACE_ACCESS: _Words(
        "you may not look into this process (ptrace read access)", "run as root: see `memtui doctor`"
    ),
    Reason.NO_SYS_NICE: _Words(
        "advising other processes needs CAP_SYS_NICE", "run as root: see `memtui doctor`"
    ),
    Reason.SECCOMP: _Words(
        "a seccomp filter forbids process_madvise", "allow it: docker run --cap-add SYS_PTRACE"
    ),
    Reason.NO_SYSCALL: _Words("this kernel has no process_madvise (Linux 5.10, CONFIG_ADVISE_SYSCALLS)"),
    Reason.ADVICE_UNKNOWN: _Words("this kernel does not take this advice for another process"),
    Reason.SELF_ADVISED: _Words("the process advised itself"),
    Reason.NOTHING_ASKED: _Words("nothing in this process matches", "look at `memtui maps PID`"),
    Reason.FREEZE_OFF: _Words("the target ran on meanwhile"),
    Reason.FREEZE_REFUSED: _Words("this process is never frozen", "use --freeze off"),
    Reason.FREEZE_DENIED: _Words("you may not trace this process", "run as root, or use --freeze off"),
    Reason.FREEZE_TRACED: _Words("another tracer holds it", "end the debugger, or use --freeze off"),
    Reason.FREEZE_TIMEOUT: _Words("it did not stop in time and runs on", "try again, or use --freeze off"),
    Reason.FREEZE_NO_GUARD: _Words("the guard process did not start or died", "see `memtui doctor`"),
    Reason.FREEZE_NO_JOURNAL: _Words(
        "the journal of what is held cannot be written, and without it this method is not safe",
        "use --freeze ptrace; see `memtui doctor`",
    ),
    Reason.LEDGER_UNWRITABLE: _Words("the ledger cannot be written", "see `memtui doctor`"),
    Reason.FAILED: _Words("an error of the system"),
}

_REFUSALS = frozenset(
    {
        Reason.LOCKED,
        Reason.PFNMAP,
        Reason.HUGETLB,
        Reason.VSYSCALL,
        Reason.NOT_MAPPED,
        Reason.NO_HUGE_PAGE,
        Reason.HUGE_PAGES_OFF,
        Reason.NOTHING_TO_COLLAPSE,
    }
)


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

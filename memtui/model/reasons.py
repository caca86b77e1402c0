"""Why: the reasons for whatever did not go as asked, one table of stable codes, words and next steps.

It serves verdicts, forecasts, reports, errors, the screen, the commands and the README. Sources:
mm/madvise.c (Linux 6.18) and measurements on that kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
    ALREADY_OUT = "already_out"
    UNTOUCHED = "untouched"
    SHARED_PAGES = "shared_pages"
    NO_SWAP = "no_swap"
    SWAP_LIMIT = "swap_limit"
    FILE_NOT_WRITABLE = "file_not_writable"
    ALL_HUGE = "all_huge"
    CACHE_UNKNOWN = "cache_unknown"
    CACHED_ALREADY = "cached_already"
    RSS_GROWS = "rss_grows"
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
    # Of a restore.
    NO_SUCH_ACTION = "no_such_action"
    NOTHING_MOVED = "nothing_moved"
    ALL_BACK = "all_back"
    PAGES_UNKNOWN = "pages_unknown"
    NO_ATTACH = "no_attach"
    MEMORY_LOW = "memory_low"
    USERFAULTFD = "userfaultfd"
    PAGE_GONE = "page_gone"
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
    Reason.ALREADY_OUT: _Words("in swap already"),
    Reason.UNTOUCHED: _Words("never touched, or dropped: no page stands there"),
    Reason.SHARED_PAGES: _Words(
        "pages that other processes map too are skipped", "they can go once only one process maps them"
    ),
    Reason.NO_SWAP: _Words("no free swap: anonymous memory has nowhere to go", "add swap (swapon)"),
    Reason.SWAP_LIMIT: _Words(
        "its cgroup may not use more swap (memory.swap.max)", "raise memory.swap.max of its cgroup"
    ),
    Reason.FILE_NOT_WRITABLE: _Words(
        "pages of a file that you neither own nor may write are skipped", "run as its owner or as root"
    ),
    Reason.ALL_HUGE: _Words("all of it is in huge pages already"),
    Reason.CACHE_UNKNOWN: _Words("how much of the file is in the page cache already is not known"),
    Reason.CACHED_ALREADY: _Words("in the page cache already"),
    Reason.RSS_GROWS: _Words("RSS will grow by this: the holes of huge pages are filled"),
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
    Reason.NO_SUCH_ACTION: _Words("no such action in the ledger", "look at `memtui history`"),
    Reason.NOTHING_MOVED: _Words("it moved nothing that could be put back"),
    Reason.ALL_BACK: _Words("all that it moved is back already, or gone"),
    Reason.PAGES_UNKNOWN: _Words("the record of which pages it moved is missing"),
    Reason.NO_ATTACH: _Words(
        "reading the pages back needs the right to trace it (CAP_SYS_PTRACE)",
        "run as root: see `memtui doctor`",
    ),
    Reason.MEMORY_LOW: _Words("too little memory is available", "free memory, then restore again"),
    Reason.USERFAULTFD: _Words("userfaultfd serves these pages: reading them would wake its server"),
    Reason.PAGE_GONE: _Words("the page is no longer there to be read"),
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

"""Why: the reasons for whatever did not go as asked, one table of stable codes, words and next steps.

It serves verdicts, forecasts, reports, errors, the screen, the commands and the README. Sources:
mm/madvise.c (Linux 6.18) and measurements on that kernel.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from memtui.model.advice import Advice

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reason(str, Enum):
    """A reason, by its stable code."""

    # Of a VMA: the kernel would refuse the element, so it never enters a vector.
    LOCKED = "locked"
    PFNMAP = "pfnmap"
    HUGETLB = "hugetlb"
    VSYSCALL = "vsyscall"
    ADDRESS_TOO_HIGH = "address_too_high"
    NOT_MAPPED = "not_mapped"
    NO_HUGE_PAGE = "no_huge_page"
    HUGE_PAGES_OFF = "huge_pages_off"
    NOTHING_TO_COLLAPSE = "nothing_to_collapse"
    FILE_NOT_HUGE = "file_not_huge"
    SHMEM_NOT_HUGE = "shmem_not_huge"
    HUGE_MISALIGNED = "huge_misaligned"
    # Of a VMA: the kernel would say yes and do nothing, or only a part.
    NOTHING_RESIDENT = "nothing_resident"
    NOTHING_SWAPPED = "nothing_swapped"
    ALREADY_OUT = "already_out"
    OUT_OR_MARKED = "out_or_marked"
    UNTOUCHED = "untouched"
    UNMAPPED_HERE = "unmapped_here"
    LAZY_FREE = "lazy_free"
    DROPPABLE = "droppable"
    SHARED_PAGES = "shared_pages"
    NO_SWAP = "no_swap"
    SWAP_LIMIT = "swap_limit"
    FILE_NOT_WRITABLE = "file_not_writable"
    ALL_HUGE = "all_huge"
    CACHE_UNKNOWN = "cache_unknown"
    CACHED_ALREADY = "cached_already"
    SWAP_CACHED = "swap_cached"
    FILE_HUGE_UNKNOWN = "file_huge_unknown"
    OWN_COPIES = "own_copies"
    WATCHED = "watched"
    SWAPPED_OUT = "swapped_out"
    RSS_GROWS = "rss_grows"
    LOCKED_IN_RAM = "locked_in_ram"
    MERGED_PAGES = "merged_pages"
    UNEVICTABLE = "unevictable"
    PINNED = "pinned"
    SKIPPED = "skipped"
    ZERO_PAGE = "zero_page"
    LRU_BATCH = "lru_batch"
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
    NOT_RECLAIMABLE = "not_reclaimable"
    HOLE = "hole"
    NOT_COLLAPSIBLE = "not_collapsible"
    NO_FREE_HUGE_PAGE = "no_free_huge_page"
    CGROUP_FULL = "cgroup_full"
    BUSY = "busy"
    IO_ERROR = "io_error"
    NO_MEMORY = "no_memory"
    TOO_MANY_FILES = "too_many_files"
    NO_TASKS = "no_tasks"
    NO_PROC = "no_proc"
    NOT_SUPPORTED = "not_supported"
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
    USER_NAMESPACE = "user_namespace"
    HIDDEN = "hidden"
    NO_SYSCALL = "no_syscall"
    ADVICE_UNKNOWN = "advice_unknown"
    FOREIGN_PROC = "foreign_proc"
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
    ACTION_RUNS = "action_runs"
    PAGES_UNKNOWN = "pages_unknown"
    PAGES_UNSEEN = "pages_unseen"
    PROGRAM_UNKNOWN = "program_unknown"
    NO_ATTACH = "no_attach"
    MEMORY_LOW = "memory_low"
    MEMORY_LIMIT = "memory_limit"
    USERFAULTFD = "userfaultfd"
    PAGE_GONE = "page_gone"
    PAGE_UNREADABLE = "page_unreadable"
    HOLES_UNKNOWN = "holes_unknown"
    WENT_AGAIN = "went_again"
    # Of the record and of our own fault.
    LEDGER_UNWRITABLE = "ledger_unwritable"
    NO_STATE_DIR = "no_state_dir"
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


def cancelled_words(*, has_begun: bool) -> str:
    """Return in words that something was cancelled: what it had done by then stays done."""
    return "cancelled in the middle" if has_begun else "cancelled before its turn"


class DetailCode(Enum):
    """What a reason comes down to in one case, where its own words say too little."""

    REST_EMPTY = "rest_empty"
    KEPT_REFERENCED = "kept_referenced"
    CAME_INTO_CACHE = "came_into_cache"
    READ_FROM_SWAP = "read_from_swap"
    OOM_KILLED = "oom_killed"
    KERNEL_REFUSED = "kernel_refused"
    LET_GO = "let_go"
    NOT_HELD = "not_held"
    NOT_RECORDED = "not_recorded"
    PARTLY_NOT_RECORDED = "partly_not_recorded"
    LEDGER_UNREADABLE = "ledger_unreadable"
    FILE_NOT_OURS = "file_not_ours"
    RECORD_NOT_OURS = "record_not_ours"
    PAGEMAP_UNREADABLE = "pagemap_unreadable"
    PLAN_CANCELLED = "plan_cancelled"
    TARGET_CLOSED = "target_closed"
    NONE_OF_SESSION = "none_of_session"
    NONE_OF_OPERATOR = "none_of_operator"
    NONE_OF_ANYBODY = "none_of_anybody"
    NONE_OF_PROCESS = "none_of_process"
    INTERRUPTED_EARLY = "interrupted_early"
    ADVISES_ITSELF = "advises_itself"


class Detail(NamedTuple):
    """A case of the second table with its values: a number, bytes in most cases, and the system's words."""

    code: DetailCode
    number: int = 0
    words: str = ""

    @property
    def text(self) -> str:
        """The case in words; raw where it holds the system's."""
        # The guard needs the reasons, and not what text takes.
        from memtui.format import size

        processes = "a process" if self.number == 1 else f"{self.number} processes"
        return _DETAILS[self.code].format(size=size(self.number), processes=processes, words=self.words)


class _Words(NamedTuple):
    words: str
    next_step: str = ""


_TABLE: dict[Reason, _Words] = {
    Reason.LOCKED: _Words(
        "locked in memory (mlock)", "only its owner can unlock it; leave it out of the plan"
    ),
    Reason.PFNMAP: _Words("device or kernel pages (PFN map)", "leave it out of the plan"),
    Reason.HUGETLB: _Words("hugetlb memory is never reclaimed", "leave it out of the plan"),
    Reason.VSYSCALL: _Words("above the user's address space", "leave it out of the plan"),
    Reason.ADDRESS_TOO_HIGH: _Words(
        "beyond the addresses of a 32-bit program, as this memtui is", "run memtui with a 64-bit python3"
    ),
    Reason.NOT_MAPPED: _Words("nothing is mapped there", "look at `memtui maps PID`"),
    Reason.NO_HUGE_PAGE: _Words("holds no whole, aligned huge page", "choose a larger range"),
    Reason.HUGE_PAGES_OFF: _Words("its owner turned huge pages off (nh)", "leave it out of the plan"),
    Reason.NOTHING_TO_COLLAPSE: _Words("nothing in it that could be collapsed", "leave it out of the plan"),
    Reason.FILE_NOT_HUGE: _Words(
        "this kernel makes no huge pages of this file (no CONFIG_READ_ONLY_THP_FOR_FS, or open for writing)",
        "leave it out of the plan",
    ),
    Reason.SHMEM_NOT_HUGE: _Words(
        "huge pages of shared memory are denied on this machine",
        "write never to /sys/kernel/mm/transparent_hugepage/shmem_enabled",
    ),
    Reason.HUGE_MISALIGNED: _Words(
        "its address and its offset in the file differ modulo the huge page: no huge page fits",
        "leave it out of the plan",
    ),
    Reason.NOTHING_RESIDENT: _Words("nothing of it is in RAM"),
    Reason.NOTHING_SWAPPED: _Words("nothing of it is in swap"),
    Reason.ALREADY_OUT: _Words("in swap already"),
    Reason.UNTOUCHED: _Words("never touched, or dropped: no page stands there"),
    Reason.UNMAPPED_HERE: _Words("not mapped in by this process now (it may be in the page cache)"),
    Reason.OUT_OR_MARKED: _Words(
        "in swap, or marked by userfaultfd and never touched: which of them cannot be seen",
        "run as root (CAP_SYS_ADMIN), or choose the whole VMA",
    ),
    Reason.DROPPABLE: _Words(
        "will be dropped, not swapped: its owner allowed that (MAP_DROPPABLE); what stands in it is lost"
    ),
    Reason.LAZY_FREE: _Words("will be freed, not swapped: its owner gave it up (MADV_FREE)"),
    Reason.SHARED_PAGES: _Words(
        "pages that are mapped more than once (by others, or again by itself) are skipped",
        "they can go once a single mapping is left; for a service, write to its cgroup's memory.reclaim",
    ),
    Reason.MERGED_PAGES: _Words("pages that KSM merged are skipped", "turn merging off (MADV_UNMERGEABLE)"),
    Reason.UNEVICTABLE: _Words(
        "pages that never leave RAM (shared memory under SHM_LOCK, or a file on ramfs)",
        "only its owner can unlock it; leave it out of the plan",
    ),
    Reason.PINNED: _Words(
        "pages pinned for I/O (io_uring, RDMA) stay (VmPin)", "they can go once their owner unregisters them"
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
    Reason.SWAP_CACHED: _Words("perhaps in the swap cache, and so in RAM already"),
    Reason.FILE_HUGE_UNKNOWN: _Words("whether the kernel makes huge pages of this file is not known"),
    Reason.OWN_COPIES: _Words("huge pages with copies of its own in them (copied on write) stay as they are"),
    Reason.WATCHED: _Words(
        "a userfaultfd watches it: huge pages with holes, or write-protected by it, stay as they are",
        "leave it out of the plan",
    ),
    Reason.SWAPPED_OUT: _Words(
        "a part of these huge pages is in swap: if not in the swap cache too, the kernel ends as busy",
        "read it in first (WILLNEED), then try again",
    ),
    Reason.RSS_GROWS: _Words("RSS will grow by this: the holes of huge pages are filled"),
    Reason.LOCKED_IN_RAM: _Words("it is in RAM for good: nothing to read in"),
    Reason.SKIPPED: _Words(
        "the kernel took the advice and skipped the pages (shared, busy, or just brought in)",
        "try once more; see `memtui maps`",
    ),
    Reason.ZERO_PAGE: _Words("all of it is the shared zero page, which takes no memory"),
    Reason.LRU_BATCH: _Words(
        "the last few pages touched wait in a batch of their CPU, where reclaim does not see them",
        "try once more; for PAGEOUT use --thorough",
    ),
    Reason.CANNOT_SHOW: _Words("nothing that could be read shows whether it had an effect"),
    Reason.NOTHING_CAME: _Words("neither swap cache nor page cache grew: it was there already"),
    Reason.STILL_REFERENCED: _Words("Referenced did not fall: the pages are in use, shared or were cold"),
    Reason.CHANGED: _Words("something else is mapped there now", "mark it again"),
    Reason.GONE: _Words("it was unmapped before the call", "mark it again"),
    Reason.RACED: _Words("the map changed while the advice was given", "hold the target still (--freeze)"),
    Reason.FREEZE_LOST: _Words("the target ran on before the work was done", "look at the map and try again"),
    Reason.CANCELLED: _Words("cancelled"),
    Reason.KERNEL_REFUSED: _Words("the kernel refused it"),
    Reason.NOT_RECLAIMABLE: _Words(
        "it is locked in memory, device or hugetlb memory by now: the kernel does not take it",
        "look at its flags in `memtui maps PID`, and leave it out",
    ),
    Reason.HOLE: _Words(
        "a part of it is mapped no more; the rest of it may have been advised all the same", "mark it again"
    ),
    Reason.NOT_COLLAPSIBLE: _Words(
        "the kernel makes no huge page of it (turned off, a file system without them, nothing written)",
        "look at its flags and RSS in `memtui maps PID`, and leave it out",
    ),
    Reason.NO_FREE_HUGE_PAGE: _Words(
        "no free huge page could be had", "free memory, or write 1 to /proc/sys/vm/compact_memory"
    ),
    Reason.CGROUP_FULL: _Words(
        "its cgroup has no room for another huge page", "raise memory.max of its cgroup"
    ),
    Reason.BUSY: _Words("its pages are in use just now (locked, pinned or under I/O)", "try once more"),
    Reason.IO_ERROR: _Words("an error of input or output", "look at the kernel's log (dmesg)"),
    Reason.NO_MEMORY: _Words("the kernel had no memory for it", "free memory, then try again"),
    Reason.TOO_MANY_FILES: _Words("too many files are open", "raise the limit (ulimit -n), or choose fewer"),
    Reason.NO_PROC: _Words(
        "/proc is not mounted here, so that no process can be seen", "mount it (mount -t proc proc /proc)"
    ),
    Reason.NO_TASKS: _Words(
        "no more threads or processes can be started here", "raise `ulimit -u` or its cgroup's pids.max"
    ),
    Reason.NOT_SUPPORTED: _Words("this kernel or file system does not have it", "see `memtui doctor`"),
    Reason.EXITED: _Words("the process has exited"),
    Reason.EXECED: _Words("the process runs another program now (exec): its map is gone", "mark it again"),
    Reason.ZOMBIE: _Words("a zombie has no memory", "its parent must wait for it"),
    Reason.KERNEL_THREAD: _Words("a kernel thread has no memory of its own"),
    Reason.LEADER_EXITED: _Words("its first thread has exited: the kernel can no longer reach its memory"),
    Reason.NO_SUCH_PROCESS: _Words("no such process", "look at `memtui ps`"),
    Reason.MORE_CAPABLE: _Words("you may not read its map: it holds capabilities that you do not"),
    Reason.NOT_READABLE: _Words("you may not read its map", "run as its owner, or see `memtui doctor`"),
    Reason.NO_PTRACE_ACCESS: _Words(
        "you may not look into this process (ptrace read access)",
        "`memtui doctor` says how to get the right",
    ),
    Reason.NO_SYS_NICE: _Words(
        "advising other processes needs CAP_SYS_NICE", "`memtui doctor` says how to get it"
    ),
    Reason.SECCOMP: _Words(
        "a seccomp filter forbids process_madvise or pidfd_open",
        "who starts the container or unit must allow it (docker run --cap-add SYS_PTRACE --cap-add SYS_NICE,"
        " or SystemCallFilter=)",
    ),
    Reason.USER_NAMESPACE: _Words(
        "this is a user namespace (a rootless container), and the kernel asks for the rights of the host",
        "run memtui on the host",
    ),
    Reason.HIDDEN: _Words(
        "/proc hides the processes of others from you (hidepid)",
        "`memtui doctor` says how to see them",
    ),
    Reason.NO_SYSCALL: _Words("this kernel has no process_madvise (Linux 5.10, CONFIG_ADVISE_SYSCALLS)"),
    Reason.ADVICE_UNKNOWN: _Words("this kernel does not take this advice for another process"),
    Reason.FOREIGN_PROC: _Words(
        "/proc shows another pid namespace: its pids are not those that system calls take here",
        "mount the /proc of this namespace (unshare --mount-proc; mount -t proc proc /proc)",
    ),
    Reason.SELF_ADVISED: _Words("the process advised itself"),
    Reason.NOTHING_ASKED: _Words("nothing in this process matches", "look at `memtui maps PID`"),
    Reason.FREEZE_OFF: _Words("the target ran on meanwhile"),
    Reason.FREEZE_REFUSED: _Words("this process is never frozen", "use --freeze off"),
    Reason.FREEZE_DENIED: _Words("you may not hold this process", "see `memtui doctor`, or use --freeze off"),
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
    Reason.ACTION_RUNS: _Words(
        "the action still runs, in another memtui", "wait for its end, or cancel it there"
    ),
    Reason.PAGES_UNKNOWN: _Words("the record of which pages it moved is missing"),
    Reason.PAGES_UNSEEN: _Words(
        "which pages left RAM could not be seen: its pagemap may not be read",
        "run as root: see `memtui doctor`",
    ),
    Reason.PROGRAM_UNKNOWN: _Words(
        "what told its program when it was moved cannot be seen now: it may be another one"
    ),
    Reason.NO_ATTACH: _Words(
        "reading the pages back needs the right to trace it (CAP_SYS_PTRACE)",
        "run as root: see `memtui doctor`",
    ),
    Reason.MEMORY_LOW: _Words("too little memory is available", "free memory, then try again"),
    Reason.MEMORY_LIMIT: _Words(
        "its cgroup has too little room for it (memory.max, memory.high), or its limit cannot be seen: at the"
        " limit the kernel kills",
        "raise memory.max of its cgroup, then try again",
    ),
    Reason.USERFAULTFD: _Words("userfaultfd serves these pages: reading them would wake its server"),
    Reason.PAGE_GONE: _Words("the page is no longer there to be read"),
    Reason.PAGE_UNREADABLE: _Words(
        "the kernel did not read the page: past the end of its file, an I/O error, its cgroup's memory limit,"
        " or no access to it and proc_mem.force_override="
    ),
    Reason.HOLES_UNKNOWN: _Words(
        "which pages of the shared memory still exist cannot be seen, and reading others would allocate them",
        "run as root (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE)",
    ),
    Reason.WENT_AGAIN: _Words("it came back and left RAM again", "memory is short: see `memtui ps`"),
    Reason.NO_STATE_DIR: _Words(
        "nothing says where the ledger lies: HOME is not set, and this user has no passwd entry",
        "set HOME, or give --state-dir DIR",
    ),
    Reason.LEDGER_UNWRITABLE: _Words("the ledger cannot be written", "see `memtui doctor`"),
    Reason.FAILED: _Words("an error of the system"),
}

_DETAILS: dict[DetailCode, str] = {
    DetailCode.REST_EMPTY: "the rest holds no whole huge page with anything in it",
    DetailCode.KEPT_REFERENCED: (
        "{size} kept Referenced: used again since, or touched last and in a batch of their CPU, where COLD"
        " does not see them"
    ),
    DetailCode.CAME_INTO_CACHE: "{size} came into the page cache",
    DetailCode.READ_FROM_SWAP: "{size} were read in from swap meanwhile, by the whole machine",
    DetailCode.OOM_KILLED: "The OOM killer ended {processes} of its memory cgroup meanwhile (see dmesg).",
    DetailCode.KERNEL_REFUSED: _TABLE[Reason.KERNEL_REFUSED].words + ": {words}",
    DetailCode.LET_GO: (
        "cancelled: it was let go in the middle of a hold, so that what came of that one is not known"
    ),
    DetailCode.NOT_HELD: "not held: {words}",
    DetailCode.NOT_RECORDED: "what it moved cannot be restored later: {words}",
    DetailCode.PARTLY_NOT_RECORDED: "a part of what it moved cannot be restored later: {words}",
    DetailCode.LEDGER_UNREADABLE: "the ledger cannot be read: {words}",
    DetailCode.FILE_NOT_OURS: "the file is another user's, or others may write in it",
    DetailCode.RECORD_NOT_OURS: (
        "the record of which pages it moved is another user's, or others may write it ({words})"
    ),
    DetailCode.PAGEMAP_UNREADABLE: (
        "which of its pages are out cannot be seen: you may not read its pagemap"
    ),
    DetailCode.PLAN_CANCELLED: "the plan was cancelled",
    DetailCode.TARGET_CLOSED: "it is no longer looked at",
    DetailCode.NONE_OF_SESSION: (
        "nothing was moved out of RAM in this session; the ledger (@) has older actions"
    ),
    DetailCode.NONE_OF_OPERATOR: "you have moved nothing out of RAM that is on record here",
    DetailCode.NONE_OF_ANYBODY: "nothing in the ledger has moved anything",
    DetailCode.NONE_OF_PROCESS: "nothing in the ledger has moved anything of process {words}",
    DetailCode.INTERRUPTED_EARLY: "it was interrupted before any page that it moved was on record",
    DetailCode.ADVISES_ITSELF: "the process advises itself",
}

GIVEN_UP = frozenset({Reason.LAZY_FREE, Reason.DROPPABLE})
"""Why a part of what goes is dropped, and not swapped."""

_REFUSALS = frozenset(
    {
        Reason.LOCKED,
        Reason.PFNMAP,
        Reason.HUGETLB,
        Reason.VSYSCALL,
        Reason.ADDRESS_TOO_HIGH,
        Reason.NOT_MAPPED,
        Reason.NO_HUGE_PAGE,
        Reason.HUGE_PAGES_OFF,
        Reason.NOTHING_TO_COLLAPSE,
        Reason.FILE_NOT_HUGE,
        Reason.SHMEM_NOT_HUGE,
        Reason.HUGE_MISALIGNED,
    }
)

_ERRNO_OF_ADVICE: Mapping[int, Reason] = {
    # Any advice: import_iovec(), access_ok() and the walk over the VMAs (mm/madvise.c).
    errno.ENOMEM: Reason.HOLE,
    errno.EFAULT: Reason.VSYSCALL,
    errno.EIO: Reason.IO_ERROR,
    errno.EAGAIN: Reason.BUSY,
    errno.EBUSY: Reason.BUSY,
    errno.EINTR: Reason.CANCELLED,
    errno.ENOSYS: Reason.NO_SYSCALL,
}

_ERRNO_OF_ONE: Mapping[tuple[Advice, int], Reason] = {
    # can_madv_lru_vma()
    (Advice.COLD, errno.EINVAL): Reason.NOT_RECLAIMABLE,
    (Advice.PAGEOUT, errno.EINVAL): Reason.NOT_RECLAIMABLE,
    # madvise_willneed() without CONFIG_SWAP
    (Advice.WILLNEED, errno.EBADF): Reason.NO_SWAP,
    # madvise_collapse_errno(), mm/khugepaged.c
    (Advice.COLLAPSE, errno.EINVAL): Reason.NOT_COLLAPSIBLE,
    (Advice.COLLAPSE, errno.ENOMEM): Reason.NO_FREE_HUGE_PAGE,
    (Advice.COLLAPSE, errno.EBUSY): Reason.CGROUP_FULL,
}

_ERRNO_OF_CALL: Mapping[str, Mapping[int, Reason]] = {
    "process_madvise": {
        errno.EACCES: Reason.NO_PTRACE_ACCESS,
        errno.EPERM: Reason.NO_SYS_NICE,
        errno.ESRCH: Reason.EXITED,
        errno.EBADF: Reason.EXITED,
        errno.ENOSYS: Reason.NO_SYSCALL,
        errno.EINVAL: Reason.ADVICE_UNKNOWN,
    },
    "pidfd_open": {
        # EINVAL: no leader of a thread group; ENOENT: a thread, since Linux 6.9.
        errno.EINVAL: Reason.NO_SUCH_PROCESS,
        errno.ENOENT: Reason.NO_SUCH_PROCESS,
        errno.ESRCH: Reason.NO_SUCH_PROCESS,
        errno.ENOSYS: Reason.NO_SYSCALL,
        errno.EPERM: Reason.SECCOMP,
    },
    "PAGEMAP_SCAN": {
        errno.ENOTTY: Reason.NOT_SUPPORTED,
        errno.EINVAL: Reason.NOT_SUPPORTED,
        errno.EFAULT: Reason.VSYSCALL,
        errno.ESRCH: Reason.EXITED,
        errno.EINTR: Reason.CANCELLED,
    },
    "PROCMAP_QUERY": {
        errno.ENOTTY: Reason.NOT_SUPPORTED,
        errno.EINVAL: Reason.NOT_SUPPORTED,
        errno.ENOENT: Reason.NOT_MAPPED,
        errno.ESRCH: Reason.EXITED,
        errno.EINTR: Reason.CANCELLED,
    },
    "ptrace": {
        errno.EPERM: Reason.FREEZE_DENIED,
        errno.EACCES: Reason.FREEZE_DENIED,
        errno.ESRCH: Reason.EXITED,
    },
    "/proc/PID/mem": {
        errno.EIO: Reason.PAGE_UNREADABLE,
        errno.EFAULT: Reason.PAGE_UNREADABLE,
        errno.EACCES: Reason.NO_ATTACH,
        errno.EPERM: Reason.NO_ATTACH,
        errno.ESRCH: Reason.EXITED,
        errno.ENOENT: Reason.EXITED,
    },
    "map_files": {
        errno.EPERM: Reason.CACHE_UNKNOWN,
        errno.EACCES: Reason.CACHE_UNKNOWN,
        errno.ENOENT: Reason.CHANGED,
        errno.ESRCH: Reason.EXITED,
    },
    "cachestat": {
        errno.ENOSYS: Reason.CACHE_UNKNOWN,
        errno.EOPNOTSUPP: Reason.CACHE_UNKNOWN,
        errno.EPERM: Reason.CACHE_UNKNOWN,
        errno.EBADF: Reason.CACHE_UNKNOWN,
    },
}

_ERRNO_OF_ANY: Mapping[int, Reason] = {
    errno.ESRCH: Reason.NO_SUCH_PROCESS,
    errno.ENOENT: Reason.NO_SUCH_PROCESS,
    errno.ENOMEM: Reason.NO_MEMORY,
    errno.EMFILE: Reason.TOO_MANY_FILES,
    errno.ENFILE: Reason.TOO_MANY_FILES,
    errno.EIO: Reason.IO_ERROR,
    errno.ENOSYS: Reason.NOT_SUPPORTED,
}


def reason_of_errno(advice: Advice, number: int) -> Reason:
    """Return why the kernel did not take one element of a vector, by the errno it gave for it."""
    found = _ERRNO_OF_ONE.get((advice, number)) or _ERRNO_OF_ADVICE.get(number)
    return found or Reason.KERNEL_REFUSED


def reason_of_call(call: str, number: int) -> Reason:
    """Return why a call, or the use of a file, failed that concerns a target as a whole."""
    return _ERRNO_OF_CALL.get(call, {}).get(number) or _ERRNO_OF_ANY.get(number) or Reason.FAILED

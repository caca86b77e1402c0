"""What the doctor can find, by code. ``render.doctor`` has the words."""

from __future__ import annotations

from enum import Enum


class FindingCode(Enum):
    """A finding, good or bad; behind each stand the values that come with it."""

    NOT_LINUX = "not_linux"  # system
    FOREIGN_PROC = "foreign_proc"
    LINUX = "linux"  # release, machine
    CALL_THERE = "call_there"
    CALL_MISSING = "call_missing"  # reason
    RIGHT_THERE = "right_there"  # name
    RIGHT_INSIDE_ONLY = "right_inside_only"  # name
    RIGHT_MISSING = "right_missing"  # name, why: a NoRights, or None
    HIDEPID = "hidepid"  # level
    SWAP_UNREADABLE = "swap_unreadable"
    NO_SWAP = "no_swap"
    SWAP_FULL = "swap_full"  # free_bytes, total_bytes, kinds; so also the next three
    SWAP_ON_DISK = "swap_on_disk"
    SWAP_WITH_ZSWAP = "swap_with_zswap"
    SWAP_ON_ZRAM = "swap_on_zram"
    PAGEMAP_UNREADABLE = "pagemap_unreadable"  # words
    PAGEMAP_SCAN = "pagemap_scan"
    PAGEMAP_SLOW = "pagemap_slow"  # source
    PSI_THERE = "psi_there"
    PSI_MISSING = "psi_missing"
    GUARD_FAILS = "guard_fails"  # words
    YAMA_FORBIDS = "yama_forbids"  # level
    GUARD_STARTS = "guard_starts"
    CGROUP_V2 = "cgroup_v2"
    NO_CGROUP_V2 = "no_cgroup_v2"
    JOURNAL_WRITABLE = "journal_writable"  # path
    JOURNAL_UNWRITABLE = "journal_unwritable"  # path, read_only: the place that is, or None
    HELD_UNKNOWN = "held_unknown"  # words
    LEFT_HELD = "left_held"  # thawed
    HUGE_PAGES = "huge_pages"  # page_bytes
    NO_HUGE_PAGES = "no_huge_pages"
    LEDGER_WRITABLE = "ledger_writable"  # path
    LEDGER_UNWRITABLE = "ledger_unwritable"  # path, read_only
    PROCESS = "process"  # pid, name
    PROCESS_REFUSED = "process_refused"  # words
    ADVICE_TAKEN = "advice_taken"  # advice
    ADVICE_REFUSED = "advice_refused"  # advice, reason
    MAY_BE_HELD = "may_be_held"
    NEVER_HELD = "never_held"  # words
    NOT_TRACED = "not_traced"
    TRACED = "traced"  # tracer


class NoRights(Enum):
    """Why a right cannot be had from here by any command."""

    NOT_GRANTED = "not_granted"
    GIVEN_UP = "given_up"
    NO_NEW_PRIVILEGES = "no_new_privileges"
    NO_SUDO = "no_sudo"

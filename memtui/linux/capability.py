"""What this operator may do to this target, found by probing and never by version."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from memtui.linux import syscalls
from memtui.linux.procfs import parse_colon_lines, read_file
from memtui.model.advice import CATALOGUE, Advice
from memtui.model.process import Standing
from memtui.model.reasons import Reason, reason_of_call

if TYPE_CHECKING:
    from memtui.linux.handle import ProcessHandle
    from memtui.model.vma import MappedVma

CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
CAP_SYS_NICE = 23


def effective_capabilities() -> int:
    """Return the bits of our effective capabilities (capabilities(7))."""
    status = parse_colon_lines(read_file("/proc/self/status"))
    return int(status.get("CapEff", "0"), 16)


def has_capability(number: int) -> bool:
    """Whether we hold a capability in our own user namespace."""
    return bool(effective_capabilities() >> number & 1)


_GONE = {
    Standing.ZOMBIE: Reason.ZOMBIE,
    Standing.EXITED: Reason.EXITED,
    Standing.EXECED: Reason.EXECED,
}


def probe(handle: ProcessHandle, advice: Advice) -> Reason | None:
    """Return why ``advice`` cannot be given to this process, or None. Has no side effect.

    An empty vector is checked for permission and advice, and touches nothing (measured on 6.18).
    """
    number = CATALOGUE[advice].number
    try:
        syscalls.process_madvise(handle.pidfd, (), number)
    except OSError as error:
        return reason_of(error, handle)
    return None


def reason_of(error: OSError, handle: ProcessHandle) -> Reason:
    """Return the reason behind an errno of process_madvise that concerns the whole target."""
    if error.errno == errno.EPERM and _is_filtered(handle):
        return Reason.SECCOMP
    if error.errno == errno.ESRCH:
        standing = handle.standing()
        if standing is Standing.ALIVE:
            # The threads of a killed process end one after the other.
            return Reason.EXITED if handle.is_ending() else Reason.LEADER_EXITED
        return _GONE[standing]
    return reason_of_call("process_madvise", error.errno or 0)


def _is_filtered(handle: ProcessHandle) -> bool:
    """Tell a seccomp filter from the kernel: the kernel looks at the flags before all else."""
    try:
        syscalls.process_madvise(handle.pidfd, (), CATALOGUE[Advice.COLD].number, flags=1)
    except OSError as error:
        return error.errno == errno.EPERM
    return False


class FileRights:
    """Whether we may have the pages of a file reclaimed: as its owner, or with the right to write it.

    PAGEOUT skips the pages of other files without a word (can_do_file_pageout(), mm/madvise.c).
    """

    def __init__(self, pid: int) -> None:
        self._root = f"/proc/{pid}/root"
        self._known: dict[tuple[str, int], bool | None] = {}
        self._may_all = has_capability(CAP_FOWNER)

    def may_write(self, row: MappedVma) -> bool | None:
        """Return the answer for the file behind a VMA; None where it cannot be known."""
        vma = row.vma
        if self._may_all or not vma.inode:
            return True
        key = (vma.device, vma.inode)
        if key not in self._known:
            self._known[key] = self._look(vma.name, vma.inode)
        return self._known[key]

    def _look(self, name: str, inode: int) -> bool | None:
        for path in (self._root + name, name):
            try:
                found = os.stat(path)
            except (OSError, ValueError):
                # Deleted, renamed, or in a namespace we may not enter: unknown.
                continue
            if found.st_ino == inode:
                return found.st_uid == os.geteuid() or os.access(path, os.W_OK, effective_ids=True)
        return None

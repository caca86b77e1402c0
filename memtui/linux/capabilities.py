"""What this operator may do to this target, found by probing and never by version."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from typing import TYPE_CHECKING

from memtui.linux import syscalls
from memtui.linux.file_look import Wanted
from memtui.linux.file_looker import look_at
from memtui.linux.procfs import error_of, parse_colon_lines, read_file
from memtui.linux.user_namespace import in_user_namespace
from memtui.model.advice import Advice
from memtui.model.process import Liveness
from memtui.model.reasons import Reason, reason_of_call

if TYPE_CHECKING:
    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.vma import MappedVma

CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_KILL = 5
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
CAP_SYS_NICE = 23

_SECCOMP_FILTER = "2"

_GONE = {
    Liveness.ZOMBIE: Reason.ZOMBIE,
    Liveness.EXITED: Reason.EXITED,
    Liveness.EXECED: Reason.EXECED,
    Liveness.CLOSED: Reason.CANCELLED,
}


def effective_capabilities() -> int:
    """Return the bits of our effective capabilities (capabilities(7))."""
    return int(_own_status().get("CapEff", "0"), 16)


def has_capability(number: int) -> bool:
    """Whether we hold a capability in our own user namespace."""
    return bool(effective_capabilities() >> number & 1)


def can_gain_capability(number: int) -> bool:
    """Whether a program that we run as root could hold a capability: if not, no command here mends it.

    What is outside the bounding set is lost to all that we start (capabilities(7)).
    """
    return bool(int(_own_status().get("CapBnd", "0"), 16) >> number & 1)


def no_new_privileges() -> bool:
    """Whether sudo and the like gain nothing for what we start (PR_SET_NO_NEW_PRIVS)."""
    return _own_status().get("NoNewPrivs") == "1"


def _own_status() -> dict[str, str]:
    try:
        return parse_colon_lines(read_file("/proc/self/status"))
    except OSError as error:
        raise error_of(error, os.getpid()) from error


def probe_call() -> Reason | None:
    """Return why process_madvise cannot be used by anybody here, or None; tried on ourselves, with no effect.

    On ourselves permission is not asked.
    """
    try:
        pidfd = os.pidfd_open(os.getpid())
    except OSError as error:
        return reason_of_pidfd(error)
    try:
        syscalls.process_madvise(pidfd, (), Advice.COLD.number)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS) and _is_filtered(pidfd):
            return Reason.SECCOMP
        return reason_of_call("process_madvise", error.errno or 0)
    finally:
        os.close(pidfd)
    return None


def probe(handle: ProcessHandle, advice: Advice) -> Reason | None:
    """Return why ``advice`` cannot be given to this process, or None. Has no side effect.

    An empty vector is checked for permission and advice, and touches nothing (measured on 6.18).
    """
    if handle.is_foreign:
        return Reason.FOREIGN_PROC
    number = advice.number
    try:
        syscalls.process_madvise(handle.pidfd, (), number)
    except OSError as error:
        return reason_of(error, handle)
    return None


def reason_of(error: OSError, handle: ProcessHandle) -> Reason:
    """Return the reason behind an errno of process_madvise that concerns the whole target."""
    if error.errno == errno.EBADF:
        # We have closed it ourselves.
        return Reason.CANCELLED
    if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS) and _is_filtered(handle.pidfd):
        return Reason.SECCOMP
    if error.errno in (errno.EPERM, errno.EACCES) and in_user_namespace():
        # capable() asks the first user namespace, where we hold nothing, whatever we hold here.
        return Reason.USER_NAMESPACE
    if error.errno == errno.ESRCH:
        standing = handle.standing()
        if standing is Liveness.ALIVE:
            # The threads of a killed process end one after the other.
            return Reason.EXITED if handle.is_ending() else Reason.LEADER_EXITED
        return _GONE[standing]
    return reason_of_call("process_madvise", error.errno or 0)


def _is_filtered(pidfd: int) -> bool:
    """Tell a seccomp filter from the kernel, which looks at the flags before all else: EINVAL.

    A filter may answer ENOSYS as well, as a kernel without the call does.
    """
    try:
        syscalls.process_madvise(pidfd, (), Advice.COLD.number, flags=1)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return _is_by_filter(error, "process_madvise")
        return error.errno != errno.EINVAL
    return False


def _is_by_filter(error: OSError, call: str) -> bool:
    """Whether a call that the kernel has is answered with ENOSYS."""
    return (
        error.errno == errno.ENOSYS and _own_status().get("Seccomp") == _SECCOMP_FILTER and kernel_has(call)
    )


def reason_of_pidfd(error: OSError) -> Reason:
    """Return the reason behind an errno of pidfd_open, which asks no rights: EPERM is a filter's."""
    if error.errno in (errno.EPERM, errno.EACCES) or _is_by_filter(error, "pidfd_open"):
        return Reason.SECCOMP
    return reason_of_call("pidfd_open", error.errno or 0)


@cache
def kernel_has(call: str) -> bool:
    """Whether the running kernel was built with a system call, by its table of symbols.

    One that was left out is there as a weak symbol (COND_SYSCALL, kernel/sys_ni.c), not as text. True, too,
    where the table cannot be read (CONFIG_KALLSYMS off, /proc masked).
    """
    try:
        with open("/proc/kallsyms", "rb") as symbols:
            table = symbols.read()
    except OSError:
        return True
    return not table or re.search(rb" [tT] \w*_sys_%s\n" % call.encode(), table) is not None


class FileRights:
    """Whether we may have the pages of a file reclaimed: as its owner, or with the right to write it.

    PAGEOUT skips the pages of other files without a word (can_do_file_pageout(), mm/madvise.c).
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[tuple[str, int], bool | None] = {}
        self._may_all = has_capability(CAP_FOWNER)

    def may_write(self, row: MappedVma) -> bool | None:
        """Return the answer for the file behind a VMA; None where it cannot be known."""
        vma = row.vma
        if self._may_all or not vma.inode:
            return True
        key = (vma.device, vma.inode)
        if key not in self._known:
            # Unknown if it was deleted or renamed, or is in a namespace we may not enter.
            ways = (f"/proc/{self._pid}/root{vma.name}", vma.name)
            try:
                seen = look_at(Wanted(self._pid, vma.inode, vma.device, ways, to_open=False))
            except TimeoutError:
                # Perhaps it answers the next time.
                return None
            self._known[key] = None if seen is None else seen.may_write
        return self._known[key]

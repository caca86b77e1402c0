"""What each method would do to a process, and why not where it cannot. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import count
from memtui.freeze.cgroup import suitable_home
from memtui.freeze.lockout import refuse_reason
from memtui.freeze.method import FreezeError
from memtui.freeze.parents import raise_if_others_would_suffer
from memtui.freeze.ptrace import raise_if_denied
from memtui.freeze.sigstop import raise_if_unsuited
from memtui.freeze.threads import named, stop_in_force, thread_stat
from memtui.linux.cgroups import may_be_frozen_without
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze, FreezeChoice
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from memtui.model.process import ProcessId

_LASTS = "; if memtui's own cgroup is frozen (docker pause), it lasts until that is thawed"
_STAYS = "after a crash it stays so until `memtui thaw`, or the next screen, advise or restore"


def why_not(process: ProcessId, method: Freeze, *, override_names: bool = False) -> FreezeError | None:
    """Return why a method cannot hold a process, as far as can be seen beforehand; None if it can.

    A process that is gone is not refused: holding it will tell.
    """
    if method is Freeze.OFF:
        return None
    refused = refuse_reason(process, override_names=override_names)
    if refused is not None:
        return FreezeError(Reason.FREEZE_REFUSED, "", refused)
    try:
        if method is Freeze.PTRACE:
            raise_if_denied(process.pid)
        elif method is Freeze.SIGSTOP:
            raise_if_unsuited(process.pid)
            raise_if_others_would_suffer(process.pid, insist=override_names)
        else:
            suitable_home(process.pid)
    except FreezeError as error:
        return None if error.reason is Reason.EXITED else error
    return None


def choices(
    process: ProcessId, *, self_advised: bool = False, override_names: bool = False
) -> list[FreezeChoice]:
    """Return all methods, each with what it would do to this process."""
    return [_choice(process, method, self_advised, override_names) for method in Freeze]


def _choice(process: ProcessId, method: Freeze, self_advised: bool, override_names: bool) -> FreezeChoice:
    if self_advised and method is not Freeze.OFF:
        return FreezeChoice(method, False, "not available: it advises itself, and could not while it stands")
    refused = why_not(process, method, override_names=override_names)
    if refused is not None:
        return FreezeChoice(method, False, f"not available: {refused.detail or refused.reason.text}")
    lasts = _LASTS if method is not Freeze.OFF and _may_last(process.pid) else ""
    return FreezeChoice(method, True, _does(process.pid, method) + lasts)


def _may_last(pid: int) -> bool:
    """Whether the guard may be frozen while the process is held, and this one is not frozen with it."""
    try:
        return may_be_frozen_without(pid)
    except (OSError, MemtuiError):
        return False


def _does(pid: int, method: Freeze) -> str:
    stat = thread_stat(pid, pid)
    if stat is None:
        return "it has exited"
    whom = count(stat.threads, "thread")
    if method is Freeze.OFF:
        return f"stops nobody: its {whom} may change the map meanwhile, and then it is reported (raced)"
    if method is Freeze.PTRACE:
        return f"stops its {whom}; its parent is not told; after a crash the kernel lets it run on by itself"
    if method is Freeze.CGROUP:
        return f"freezes its {whom} in a cgroup of their own; nobody is told; {_STAYS}"
    if _is_stopped(pid):
        return f"it is stopped already, and is left so: nothing is sent to its {whom}"
    parent = named(stat.parent) if stat.parent else "nobody"
    then = "and is continued if it stops itself then"
    return f"stops its {whom}; its parent, {parent}, is told (SIGCHLD), {then}; {_STAYS}"


def _is_stopped(pid: int) -> bool:
    try:
        return stop_in_force(pid)
    except FreezeError:
        return False

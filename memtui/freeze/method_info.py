"""What each method would do to a process, and why not where it cannot. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.freeze.cgroup import suitable_home
from memtui.freeze.method import FreezeError
from memtui.freeze.parents import raise_if_others_would_suffer
from memtui.freeze.protected import refuse_reason
from memtui.freeze.ptrace import raise_if_denied
from memtui.freeze.sigstop import raise_if_unsuited
from memtui.freeze.threads import named, stop_in_force, thread_stat
from memtui.linux.cgroup import may_be_frozen_without
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze, FreezeChoice
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from memtui.model.process import ProcessId


def why_not(process: ProcessId, method: Freeze, *, allow_protected: bool = False) -> FreezeError | None:
    """Return why a method cannot hold a process, as far as can be seen beforehand; None if it can.

    A process that is gone is not refused: holding it will tell.
    """
    if method is Freeze.OFF:
        return None
    refused = refuse_reason(process, allow_protected=allow_protected)
    if refused is not None:
        return FreezeError(Reason.FREEZE_REFUSED, "", refused)
    try:
        if method is Freeze.PTRACE:
            raise_if_denied(process.pid)
        elif method is Freeze.SIGSTOP:
            raise_if_unsuited(process.pid)
            raise_if_others_would_suffer(process.pid, insist=allow_protected)
        else:
            suitable_home(process.pid)
    except FreezeError as error:
        return None if error.reason is Reason.EXITED else error
    return None


def choices(
    process: ProcessId, *, self_advised: bool = False, allow_protected: bool = False
) -> list[FreezeChoice]:
    """Return all methods, each with what it would do to this process."""
    return [_choice(process, method, self_advised, allow_protected) for method in Freeze]


def _choice(process: ProcessId, method: Freeze, self_advised: bool, allow_protected: bool) -> FreezeChoice:
    if self_advised and method is not Freeze.OFF:
        # It could not answer while it stands still.
        return FreezeChoice(method, False, Reason.SELF_ADVISED)
    refused = why_not(process, method, allow_protected=allow_protected)
    if refused is not None:
        return FreezeChoice(method, False, refused.reason, refused.detail)
    outlasts = method is not Freeze.OFF and _may_last(process.pid)
    stat = thread_stat(process.pid, process.pid)
    if stat is None:
        return FreezeChoice(method, True, outlasts=outlasts)
    by_signal = method is Freeze.SIGSTOP
    return FreezeChoice(
        method,
        True,
        threads=stat.threads,
        parent=named(stat.parent) if by_signal and stat.parent else "",
        is_stopped=by_signal and _is_stopped(process.pid),
        outlasts=outlasts,
    )


def _may_last(pid: int) -> bool:
    """Whether the guard may be frozen while the process is held, and this one is not frozen with it."""
    try:
        return may_be_frozen_without(pid)
    except (OSError, MemtuiError):
        return False


def _is_stopped(pid: int) -> bool:
    try:
        return stop_in_force(pid)
    except FreezeError:
        return False

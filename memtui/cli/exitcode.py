"""The exit codes of the commands that act.

0: the kernel took everything asked for; 1: part of it not; 2: wrong usage; 3: nothing was advised,
all for want of permission; 4: nothing was advised, all targets gone or never there; 5: cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.model.reasons import Reason
from memtui.model.report import Outcome, TargetReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.model.errors import MemtuiError

ALL, PART, USAGE, PERMISSION, GONE, CANCELLED = range(6)

_PERMISSION = frozenset(
    {
        Reason.NOT_READABLE,
        Reason.MORE_CAPABLE,
        Reason.NO_PTRACE_ACCESS,
        Reason.NO_SYS_NICE,
        Reason.SECCOMP,
        Reason.USER_NAMESPACE,
        Reason.HIDDEN,
        Reason.FREEZE_DENIED,
    }
)
_GONE = frozenset({Reason.NO_SUCH_PROCESS, Reason.EXITED, Reason.EXECED})


def of_reason(reason: Reason | None) -> int:
    """Return the code for a target on which nothing was done."""
    if reason is Reason.CANCELLED:
        return CANCELLED
    if reason in _PERMISSION:
        return PERMISSION
    return GONE if reason in _GONE else PART


def of_error(error: MemtuiError) -> int:
    """Return the code for an error that ended a command."""
    return of_reason(error.reason)


def of_report(report: TargetReport) -> int:
    """Return the code of one target."""
    if report.outcome is Outcome.CANCELLED:
        return CANCELLED
    if report.planned.blocked is not None or not report.advised_bytes:
        code = of_reason(report.planned.blocked or report.reason)
        if code != PART:
            return code
    took = bool(report.ranges) and all(item.outcome.was_taken for item in report.ranges)
    return ALL if took else PART


def of_all(codes: Sequence[int]) -> int:
    """Return the code of a command from those of its targets."""
    if CANCELLED in codes:
        return CANCELLED
    different = set(codes)
    return different.pop() if len(different) == 1 else PART

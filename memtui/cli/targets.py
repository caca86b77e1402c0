"""What ``plan`` and ``advise`` have in common: which targets, and what of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli import exitcode
from memtui.cli.output import complain
from memtui.host import Selection
from memtui.model.errors import MemtuiError, with_step
from memtui.model.filter import parse
from memtui.model.plan import Mark, TargetPlan

if TYPE_CHECKING:
    import argparse

    from memtui.host.local import LocalHost
    from memtui.model.reasons import Reason


def check(arguments: argparse.Namespace) -> int | None:
    """Return 2, having said why, if the options do not go together."""
    if arguments.ranges and len(arguments.pids) > 1:
        return complain("--range goes with one PID only; see `memtui advise --help`", exitcode.USAGE)
    if arguments.ranges and arguments.select is not None:
        return complain("--range and --select do not go together", exitcode.USAGE)
    if arguments.select is not None and not arguments.select.strip():
        return complain("--select is empty: leave it out to take the whole process", exitcode.USAGE)
    return None


def wanted_of(host: LocalHost, arguments: argparse.Namespace) -> tuple[list[Selection], list[int]]:
    """Open the targets; return what is wanted of them, and the exit codes of those that cannot be."""
    select = None if arguments.select is None else parse(arguments.select)
    marks = tuple(Mark(item, None) for item in arguments.ranges or ())
    wanted, codes = [], []
    for pid in dict.fromkeys(arguments.pids):
        try:
            target = host.open(pid)
        except MemtuiError as error:
            codes.append(complain(str(error), exitcode.of_error(error)))
        else:
            wanted.append(Selection(target, marks or None, select))
    return wanted, codes


def complain_of(planned: TargetPlan, reason: Reason | None, text: str | None) -> None:
    """Say on stderr why nothing was done to a target, or why it was not held, and the next step."""
    subject = f"process {planned.process.pid}: "
    words = text or (reason.text if reason else "")
    if reason is not None:
        words = with_step(words, reason)
    complain(words if words.startswith((subject, subject.replace(": ", " ("))) else subject + words)

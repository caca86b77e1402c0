"""``memtui demo``: the screen on a practice process. Needs no root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli.output import complain
from memtui.cli.starting import before_acting, before_looking
from memtui.cli.tui import no_terminal, show
from memtui.format import safe
from memtui.host.local import LocalHost, default_state_dir
from memtui.linux.capabilities import CAP_SYS_NICE, has_capability
from memtui.linux.namespaces import ProcView, proc_view
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.practice.link import PracticeError, PracticeLink

if TYPE_CHECKING:
    import argparse

_NO_SWAP = "No swap: PAGEOUT moves the file region only. `memtui doctor` says how to add some."
_NO_RIGHT = "No CAP_SYS_NICE: the practice process advises itself, not held."


def run(arguments: argparse.Namespace) -> int:
    """Start the practice process, open the screen on it, end it, and say whether a byte changed."""
    problem = no_terminal()
    if problem:
        return complain(problem, 2)
    if proc_view() is ProcView.FOREIGN:
        # By the practice process's pid /proc would show another one.
        return complain(str(MemtuiError(Reason.FOREIGN_PROC)), 1)
    state_dir = arguments.state_dir or default_state_dir()
    try:
        with PracticeLink.start(state_dir) as practice, LocalHost(state_dir, practice) as host:
            found = before_looking(host) if arguments.read_only else before_acting(host)
            note = " ".join([*(f"{line}." for line in found), _note(host)]).strip()
            code = show(host, arguments, pid=practice.pid, note=note)
            changed = practice.close()
    except PracticeError as error:
        return complain(str(error), 1)
    if changed:
        return complain(f"the practice process found changed bytes in: {', '.join(changed)}", 1)
    print(safe("The practice process checked its memory at the end: no byte has changed."))
    return code


def _note(host: LocalHost) -> str:
    notes = []
    if not has_capability(CAP_SYS_NICE):
        notes.append(_NO_RIGHT)
    if host.machine().swap_free_bytes == 0:
        notes.append(_NO_SWAP)
    return " ".join(notes)

"""``memtui`` without a command: the full-screen program."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from memtui.cli.output import complain
from memtui.cli.starting import before_acting, before_looking, state_dir_to_read
from memtui.host.local import LocalHost
from memtui.linux.namespaces import ProcView, proc_view
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    import argparse

    from memtui.host import Host

_SWITCH_S = 0.0001


def run(arguments: argparse.Namespace) -> int:
    """Open the screen on this machine."""
    _begin()
    problem = no_terminal()
    if problem:
        return complain(problem, 2)
    state_dir = state_dir_to_read(arguments) if arguments.read_only else arguments.state_dir
    with LocalHost(state_dir) as host:
        found = before_looking(host) if arguments.read_only else before_acting(host)
        if proc_view() is ProcView.FOREIGN:
            found.append(str(MemtuiError(Reason.FOREIGN_PROC)))
        return show(host, arguments, note="; ".join(found))


def _begin() -> None:
    """Start quickly: of what is made now nothing is garbage soon. The app lets the collector in again.

    And no thread that computes keeps another waiting for long: one that reads a large map asks for the
    interpreter after each of some hundred calls.
    """
    gc.disable()
    sys.setswitchinterval(_SWITCH_S)


def no_terminal() -> str | None:
    """Return what is wrong with our terminal, or None. Textual draws on stderr and reads stdin."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        return None
    return "the screen needs a terminal on standard input and error; see `memtui --help` for commands"


def show(host: Host, arguments: argparse.Namespace, pid: int | None = None, note: str = "") -> int:
    """Run the screen with the options of the command line; return its exit code."""
    from memtui.linux.startup_env import shows_utf8
    from memtui.ui.app import run as run_app
    from memtui.ui.options import UiOptions

    return run_app(
        host,
        UiOptions(
            pid=pid or arguments.pid,
            read_only=arguments.read_only,
            freeze=arguments.freeze,
            interval_s=arguments.interval,
            mouse=not arguments.no_mouse,
            theme=arguments.theme,
            note=note,
            demo=pid is not None,
            ascii_only=not shows_utf8(),
        ),
    )

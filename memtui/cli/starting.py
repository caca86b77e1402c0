"""What a start does first: where the ledger lies, and what a crash left held.

What may act releases it; what only looks tells of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memtui.cli.output import complain
from memtui.freeze.thawed_words import describe_thawed
from memtui.host.local import default_state_dir
from memtui.linux.procfs import has_proc
from memtui.model.errors import MemtuiError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from memtui.host.local import LocalHost
    from memtui.model.freeze import Thawed


NOWHERE = Path("/nonexistent/memtui")
"""As the passwd entries of Debian name the home of those who have none."""


def state_dir_to_read(arguments: argparse.Namespace) -> Path:
    """Return where the ledger lies, for what reads processes and writes nothing: perhaps nowhere."""
    given: Path | None = arguments.state_dir
    try:
        return given or default_state_dir()
    except MemtuiError:
        return NOWHERE


def before_acting(host: LocalHost) -> list[str]:
    """Release what a crash left held; return a line for each process, raw. Raises nothing."""
    return _lines(host, host.left_held.thaw)


def before_looking(host: LocalHost) -> list[str]:
    """Return a line for each process that a crash left held, raw; touch none. Raises nothing."""
    return _lines(host, host.left_held.look)


def tell_left_held(host: LocalHost) -> None:
    """Say on stderr what a crash left held."""
    for line in before_looking(host):
        complain(line)


def _lines(host: LocalHost, look: Callable[[], list[Thawed]]) -> list[str]:
    if not has_proc():
        # What the command is asked for fails by that, and says so.
        return []
    try:
        return [*map(describe_thawed, look()), *host.left_held.remarks]
    except MemtuiError as error:
        return [str(error)]

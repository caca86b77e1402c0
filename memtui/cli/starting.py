"""What a start does first: where the ledger lies, and what every start that may act does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host.local import default_state_dir
from memtui.model.errors import MemtuiError

if TYPE_CHECKING:
    from memtui.host.local import LocalHost


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
    try:
        return [*map(str, host.thaw()), *host.thaw_remarks]
    except MemtuiError as error:
        return [str(error)]

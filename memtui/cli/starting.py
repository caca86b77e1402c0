"""What every start that may act does first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.model.errors import MemtuiError

if TYPE_CHECKING:
    from memtui.host.local import LocalHost


def before_acting(host: LocalHost) -> list[str]:
    """Release what a crash left held; return a line for each process, raw. Raises nothing."""
    try:
        return [*map(str, host.thaw()), *host.thaw_remarks]
    except MemtuiError as error:
        return [str(error)]

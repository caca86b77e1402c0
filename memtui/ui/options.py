"""What the command line asks of the TUI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memtui.model.freeze import Freeze


@dataclass(frozen=True, slots=True)
class UiOptions:
    """How the TUI starts.

    ``freeze`` None leaves the method to the host. ``interval_s`` is the time between two looks at the
    chosen map; the process list is read every second time. ``note`` is a word for the operator at the
    start, raw; ``demo`` tells that ``pid`` is the practice process; ``ascii_only`` is for a terminal whose
    locale has no UTF-8.
    """

    pid: int | None = None
    read_only: bool = False
    freeze: Freeze | None = None
    interval_s: float = 1.0
    mouse: bool = True
    theme: str | None = None
    note: str = ""
    demo: bool = False
    ascii_only: bool = False

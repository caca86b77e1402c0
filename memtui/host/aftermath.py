"""What comes after an action on this machine: what came back, putting it back, the record of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from memtui.advise.ledger import Ledger
from memtui.host.target import LocalTarget
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.model.report import Back, Progress, TargetReport
from memtui.model.restore import RestorePlan, RestoreReport


class Aftermath:
    """Watches what actions moved, and puts it back."""

    def __init__(self, ledger: Ledger, cancelled: threading.Event) -> None:
        self._ledger = ledger
        self._cancelled = cancelled

    def watch(self, report: TargetReport, target: LocalTarget) -> None:
        """Begin to watch what an action moved; right after it."""

    def look_back(self, report_id: str, *, record: bool = False) -> Back | None:
        """Look how much of what a report moved has come back."""
        return None

    def plan_restore(self, action: str | None = None) -> tuple[RestorePlan, ...]:
        """Say what could be put back."""
        raise MemtuiError(Reason.NO_SUCH_ACTION, "")

    def restore(
        self,
        plans: Sequence[RestorePlan],
        on_progress: Callable[[Progress], None] | None = None,
        on_target: Callable[[RestoreReport], None] | None = None,
    ) -> tuple[RestoreReport, ...]:
        """Put it back."""
        return ()

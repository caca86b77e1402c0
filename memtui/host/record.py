"""The record of what is done on this machine, and what works on that record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memtui.advise.ledger import Ledger
from memtui.host.refault_monitor import RefaultMonitor
from memtui.host.restore_service import RestoreService

if TYPE_CHECKING:
    from pathlib import Path


class Record(NamedTuple):
    """The ledger, what is checked again after an action, and what puts pages back."""

    ledger: Ledger
    refaults: RefaultMonitor
    restores: RestoreService

    @classmethod
    def in_folder(cls, state_dir: Path) -> Record:
        """Return the record that is kept in a folder; nothing is written before the first action."""
        ledger = Ledger(state_dir)
        refaults = RefaultMonitor(ledger)
        return cls(ledger, refaults, RestoreService(ledger, refaults))

"""Host: one machine under management. What the commands and the TUI see of it."""

from memtui.host.api import (
    CHEAP_SMAPS_MS,
    RECORDED_CHECKS_S,
    Finding,
    History,
    HistoryEntry,
    Host,
    MachineState,
    RefaultEvent,
    Selection,
    SelfAdviser,
    Target,
)

__all__ = [
    "CHEAP_SMAPS_MS",
    "RECORDED_CHECKS_S",
    "Finding",
    "History",
    "HistoryEntry",
    "Host",
    "MachineState",
    "RefaultEvent",
    "Selection",
    "SelfAdviser",
    "Target",
]

"""The history as the table shows it, and one entry whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size, size_or_dash
from memtui.model.report import Outcome
from memtui.render.history import target_of
from memtui.ui.presentation.rows import Cell, Column, Line
from memtui.ui.presentation.words import outcome_cell, outcome_glyph

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from memtui.host import History, HistoryEntry

_COLUMNS = (
    Column("TIME UTC", 16, from_width=96),
    Column("TIME", 5, below_width=96),
    Column("ADVICE", 8),
    Column("OUTCOME", 11),
    Column("REQUEST", 7, right=True, from_width=96),
    Column("FORECAST", 8, right=True, from_width=96),
    Column("ADVISED", 7, right=True),
    Column("MOVED", 6, right=True),
    Column("BACK", 6, right=True),
    Column("RESTORED", 8, right=True),
    Column("WHO", 10, from_width=96),
    Column("TARGET", 20),
)

_OUTCOMES = {item.value: item for item in Outcome}


class HistoryRows:
    """The entries of the ledger, the newest first."""

    columns: Sequence[Column] = _COLUMNS

    def __init__(self, history: History) -> None:
        self.entries = tuple(reversed(history.entries))
        self._index = {entry.id: index for index, entry in enumerate(self.entries)}

    def __len__(self) -> int:
        return len(self.entries)

    def key(self, index: int) -> Hashable:
        """Return which target of which action it is."""
        return self.entries[index].id

    def find(self, key: Hashable) -> int | None:
        """Return the row of an entry."""
        return self._index.get(key) if isinstance(key, str) else None

    def line(self, index: int) -> Line:
        """Return an entry as it is shown."""
        entry = self.entries[index]
        # One that was begun and never ended is ``interrupted``, which no report is.
        outcome = _OUTCOMES.get(entry.outcome)
        cells = (
            Cell(safe(entry.time[:16].replace("T", " ")), "dim"),
            Cell(safe(entry.time[11:16]), "dim"),
            Cell(safe(entry.advice)),
            outcome_cell(outcome) if outcome is not None else Cell(safe(entry.outcome), "warn"),
            Cell(size(entry.requested_bytes)),
            Cell(size(entry.forecast_bytes)),
            Cell(size(entry.advised_bytes)),
            Cell(size_or_dash(entry.moved_bytes, entry.can_have_moved)),
            Cell(size_or_dash(entry.last_back_bytes, bool(entry.back))),
            Cell(size_or_dash(entry.restored_bytes, entry.restored_bytes is not None)),
            Cell(safe(_who(entry)), "dim"),
            Cell(safe(target_of(entry))),
        )
        return Line(SafeText("!") if outcome is None else outcome_glyph(outcome), "", cells)


def _who(entry: HistoryEntry) -> str:
    who = entry.operator
    named = who.get("sudo_user") or who.get("login_uid")
    return str(who.get("uid", "?") if named is None else named)

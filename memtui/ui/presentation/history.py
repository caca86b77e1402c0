"""The history as the table shows it, and one entry whole."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size, size_or_dash
from memtui.model.report import Outcome
from memtui.model.values import number
from memtui.ui.presentation.rows import Cell, Column, Line
from memtui.ui.presentation.words import outcome_cell, outcome_glyph

if TYPE_CHECKING:
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
            Cell(safe(_target(entry))),
        )
        return Line(SafeText("!") if outcome is None else outcome_glyph(outcome), "", cells)


def describe_entry(entry: HistoryEntry) -> list[SafeText]:
    """Return all that the ledger says of one target of one action."""
    lines = [
        f"{entry.advice.upper()} on {_target(entry)}",
        f"time       {entry.time}",
        f"id         {entry.id}  of action {entry.action_id}",
        f"outcome    {entry.outcome}",
        f"requested  {size(entry.requested_bytes)}",
        f"forecast   {size(entry.forecast_bytes)}",
        f"advised    {size(entry.advised_bytes)}  the kernel's word: what it walked, not what it did",
        f"moved      {size_or_dash(entry.moved_bytes, entry.can_have_moved)}",
    ]
    for look in entry.back:
        after_s, faults = look.get("after_s"), look.get("major_faults")
        after = f"{after_s:.0f}" if isinstance(after_s, (int, float)) else "?"
        lines.append(
            f"back       {size(number(look.get('back_bytes')))} after {after} s, "
            f"{'?' if faults is None else faults} major faults"
        )
    if not entry.back:
        lines.append("back       -  nobody looked, or nothing moved")
    restored = entry.restored_bytes
    lines.append(f"restored   {size_or_dash(restored, restored is not None)}")
    lines.append(f"freeze     {entry.freeze}")
    for title, fields in (("target", entry.target), ("operator", entry.operator)):
        lines += ["", title]
        lines += [f"  {name:<15} {'-' if value is None else value}" for name, value in fields.items()]
    return [safe(line) for line in lines]


def _who(entry: HistoryEntry) -> str:
    who = entry.operator
    named = who.get("sudo_user") or who.get("login_uid")
    return str(who.get("uid", "?") if named is None else named)


def _target(entry: HistoryEntry) -> str:
    return f"{entry.target.get('pid', '?')} {entry.target.get('name', '?')}"

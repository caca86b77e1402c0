"""An entry of the ledger in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size, size_or_dash
from memtui.model.values import number

if TYPE_CHECKING:
    from memtui.host import HistoryEntry


def describe_entry(entry: HistoryEntry) -> list[SafeText]:
    """Return all that the ledger says of one target of one action."""
    lines = [
        f"{entry.advice.upper()} on {target_of(entry)}",
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


def target_of(entry: HistoryEntry) -> str:
    """Return on whom it was, raw."""
    return f"{entry.target.get('pid', '?')} {entry.target.get('name', '?')}"

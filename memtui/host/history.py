"""The ledger as the screen and the commands see it."""

from __future__ import annotations

from memtui.advise.ledger import Action, Event, Ledger, actions
from memtui.host.api import History, HistoryEntry


def history_of(ledger: Ledger, last: int | None) -> History:
    """Return the ledger, or its last entries.

    Raises:
        MemtuiError: if it is there and cannot be read.
    """
    part = ledger.tail(last)
    entries = tuple(entry_of(action) for action in actions(part.events, is_whole=part.is_whole))
    return History(entries, part.torn_lines, part.is_whole)


def entry_of(action: Action) -> HistoryEntry:
    """Return one target of one action."""
    start, done = action.start, action.done
    return HistoryEntry(
        id=start.text("id"),
        action_id=start.text("action_id"),
        time=start.text("time"),
        operator=start.mapping("operator"),
        target=start.mapping("target"),
        advice=start.text("advice"),
        freeze=(done or start).text("freeze"),
        requested_bytes=start.number("requested_bytes"),
        forecast_bytes=start.number("forecast_bytes"),
        advised_bytes=done.number("advised_bytes") if done else None,
        moved_bytes=done.number("moved_bytes") if done else None,
        outcome=done.text("outcome") if done else "interrupted",
        back=[_look(event) for event in action.back],
        restored_bytes=action.restored_bytes,
    )


def _look(event: Event) -> dict[str, object]:
    after_s = event.fields.get("after_s")
    return {
        "after_s": after_s if isinstance(after_s, (int, float)) else None,
        "back_bytes": event.number("back_bytes"),
        "major_faults": event.number("major_faults"),
    }

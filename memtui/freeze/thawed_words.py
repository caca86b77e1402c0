"""What a crash left held, and what became of it, in words: the guard's client and the doctor tell it too."""

from __future__ import annotations

from memtui.model.freeze import Thawed, ThawOutcome


def describe_thawed(item: Thawed) -> str:
    """Return in one line, raw, what became of a process that a crash had left held."""
    who = f"process {item.pid}" + (f" ({item.name})" if item.name else "")
    by = item.method.value
    # What was done, what is so, and what was noted.
    done, is_so, noted = "released", f"is left held by {by} since a crash", f"held by {by}"
    if item.bystander:
        done, is_so, noted = (
            "continued",
            "has stopped because its child was held in a crash",
            "one that may stop with its child",
        )
    if item.outcome is ThawOutcome.RELEASED:
        why = "had stopped because its child was held in a crash" if item.bystander else ""
        return f"{done} {who}, which {why or f'a crash had left held by {by}'}"
    if item.outcome is ThawOutcome.HELD:
        return f"{who} {is_so}; `memtui thaw` releases it"
    if item.outcome is ThawOutcome.LEFT:
        return f"{who}, noted in a crash as {noted}, was left as it is: {item.words}"
    return f"{who}, left held by {by} in a crash, could not be released: {item.words}"

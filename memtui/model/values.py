"""Values as they are read back from a record, which may hold anything."""

from __future__ import annotations


def number(value: object) -> int | None:
    """Return what must be a number of something; None if it is not."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None

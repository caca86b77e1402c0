"""The advices that a process may be given from outside."""

from __future__ import annotations

from enum import Enum


class Advice(str, Enum):
    """An advice, by its word on the command line."""

    COLD = "cold"
    PAGEOUT = "pageout"
    WILLNEED = "willneed"
    COLLAPSE = "collapse"

    @property
    def number(self) -> int:
        """Its MADV_ number (include/uapi/asm-generic/mman-common.h)."""
        return _NUMBERS[self]

    @property
    def moves(self) -> bool:
        """Whether its effect is a movement of bytes at all: for the others *moved* does not apply."""
        return self in (Advice.PAGEOUT, Advice.COLLAPSE)

    def can_have_moved(self, advised_bytes: int | None, moved_bytes: int | None) -> bool:
        """Whether *moved* applies to what was done: not where nothing was advised either."""
        return moved_bytes is not None or (self.moves and advised_bytes != 0)


_NUMBERS = {Advice.COLD: 20, Advice.PAGEOUT: 21, Advice.WILLNEED: 3, Advice.COLLAPSE: 25}

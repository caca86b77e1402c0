"""The catalogue of the advices that a process may be given from outside."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Advice(str, Enum):
    """An advice, by its word on the command line."""

    COLD = "cold"
    PAGEOUT = "pageout"
    WILLNEED = "willneed"
    COLLAPSE = "collapse"

    @property
    def moves(self) -> bool:
        """Whether its effect is a movement of bytes at all: for the others *moved* does not apply."""
        return self in (Advice.PAGEOUT, Advice.COLLAPSE)

    def can_have_moved(self, advised_bytes: int | None, moved_bytes: int | None) -> bool:
        """Whether *moved* applies to what was done: not where nothing was advised either."""
        return moved_bytes is not None or (self.moves and advised_bytes != 0)


class AdviceFacts(NamedTuple):
    """What is known of an advice.

    ``number`` is its MADV_ number (include/uapi/asm-generic/mman-common.h); ``since`` the first
    kernel whose process_madvise takes it, for people (the program probes, it never compares).
    """

    number: int
    since: str
    does: str
    skips: str
    shows: str


CATALOGUE: dict[Advice, AdviceFacts] = {
    Advice.COLD: AdviceFacts(
        number=20,
        since="5.10",
        does="Pages become the first that reclaim takes when memory gets short. Nothing leaves RAM now.",
        skips="Pages that several processes map, locked, device and hugetlb memory.",
        shows="RSS stays as it is; Referenced falls.",
    ),
    Advice.PAGEOUT: AdviceFacts(
        number=21,
        since="5.10",
        does="Pages leave RAM now: anonymous ones to swap, those of files back to their file.",
        skips="Pages that several processes map, locked, device and hugetlb memory, files that the"
        " caller may not write; without swap, all anonymous memory.",
        shows="RSS falls by what really left.",
    ),
    Advice.WILLNEED: AdviceFacts(
        number=3,
        since="5.15",
        does="Pages are read ahead: from swap into the swap cache, from files into the page cache.",
        skips="Nothing is mapped: the target still takes a minor fault for each page.",
        shows="RSS does not change; swap cache or page cache grow.",
    ),
    Advice.COLLAPSE: AdviceFacts(
        number=25,
        since="6.1",
        does="Small pages are copied into huge pages at once. Memory can grow, since holes are filled.",
        skips="Stretches without a whole aligned huge page, or with nothing in them.",
        shows="Huge pages appear; RSS may rise.",
    ),
}

"""What each advice does, skips and shows, in words."""

from __future__ import annotations

from typing import NamedTuple

from memtui.model.advice import Advice


class AdviceWords(NamedTuple):
    """What an advice does to pages, which pages it skips, and where its effect shows."""

    does: str
    skips: str
    shows: str


ADVICE_WORDS: dict[Advice, AdviceWords] = {
    Advice.COLD: AdviceWords(
        does="Pages become the first that reclaim takes when memory gets short. Nothing leaves RAM now.",
        skips="Pages that several processes map, locked, device and hugetlb memory.",
        shows="RSS stays as it is; Referenced falls.",
    ),
    Advice.PAGEOUT: AdviceWords(
        does="Pages leave RAM now: anonymous ones to swap, those of files back to their file.",
        skips="Pages that several processes map, locked, device and hugetlb memory, files that the"
        " caller may not write; without swap, all anonymous memory.",
        shows="RSS falls by what really left.",
    ),
    Advice.WILLNEED: AdviceWords(
        does="Pages are read ahead: from swap into the swap cache, from files into the page cache.",
        skips="Nothing is mapped: the target still takes a minor fault for each page.",
        shows="RSS does not change; swap cache or page cache grow.",
    ),
    Advice.COLLAPSE: AdviceWords(
        does="Small pages are copied into huge pages at once. Memory can grow, since holes are filled.",
        skips="Stretches without a whole aligned huge page, or with nothing in them.",
        shows="Huge pages appear; RSS may rise.",
    ),
}

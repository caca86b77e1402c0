"""The bar of an address space: one line, all VMAs in order; each cell a kind, and how full it is.

Addresses lie too far apart, and sizes differ too much, to be drawn to scale: the width of a VMA goes by
the logarithm of its size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from memtui.model.vma import Vma, VmaKind
from memtui.ui.presentation.order import Stale, Superseded

if TYPE_CHECKING:
    from collections.abc import Sequence

LETTERS = {
    VmaKind.HEAP: "h",
    VmaKind.STACK: "s",
    VmaKind.ANON: "a",
    VmaKind.FILE: "f",
    VmaKind.SHMEM: "m",
    VmaKind.HUGETLB: "g",
    VmaKind.DEVICE: "d",
    VmaKind.VDSO: "v",
    VmaKind.VVAR: "v",
    VmaKind.VSYSCALL: "v",
    VmaKind.OTHER: "o",
}
"""The letter at the beginning of a stretch of one kind."""

_NOTHING, _SWAPPED, _UNKNOWN = "·", "▒", "?"
_LEVELS = "▁▂▃▄▅▆▇█"
_PAGE_SHIFT = 12
_CHUNK = 1024

BarCell = tuple[str, str]
"""A glyph, and the kind that it is coloured by."""


class Frame(NamedTuple):
    """How the cells share out a layout: by cell, the VMAs from ``first`` up to ``last``, kind and size."""

    vmas: Sequence[Vma]
    first: tuple[int, ...]
    last: tuple[int, ...]
    kinds: tuple[VmaKind, ...]
    sizes_bytes: tuple[int, ...]

    def cell_of(self, index: int) -> int:
        """Return the cell in which a VMA begins."""
        at = bisect_left(self.first, index)
        return at if at < len(self.first) and self.first[at] == index else max(0, at - 1)


def frame_of(vmas: Sequence[Vma], cells: int, stale: Stale) -> Frame:
    """Share out a layout. Passes over all VMAs once.

    Raises:
        Superseded: as soon as nobody waits for it any more.
    """
    kinds: list[VmaKind] = []
    sizes: list[int] = []
    for at, vma in enumerate(vmas):
        if at % _CHUNK == 0 and stale():
            raise Superseded
        kinds.append(vma.kind)
        sizes.append(vma.end - vma.start)
    weights = [(size >> _PAGE_SHIFT).bit_length() for size in sizes]
    first, last = _spans(weights, cells)
    return Frame(
        vmas,
        first,
        last,
        tuple(_weightiest(kinds, weights, a, b) for a, b in zip(first, last, strict=True)),
        tuple(sum(sizes[a:b]) for a, b in zip(first, last, strict=True)),
    )


def _spans(weights: Sequence[int], cells: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    number = len(weights)
    if not number or cells <= 0:
        return (), ()
    before = [0, *accumulate(weights)]
    if number <= cells:
        # Each has a cell of its own; what is left goes by weight.
        starts = [at + before[at] * (cells - number) // before[-1] for at in range(number)]
        owner = [bisect_left(starts, cell + 1) - 1 for cell in range(cells)]
        return tuple(owner), tuple(at + 1 for at in owner)
    edges = [bisect_left(before, cell * before[-1] / cells, hi=number) for cell in range(cells)] + [number]
    # Where a weighty one takes several cells, none begins in the later ones of them.
    first = tuple(min(edges[cell], edges[cell + 1] - 1) for cell in range(cells))
    return first, tuple(max(edges[cell + 1], first[cell] + 1) for cell in range(cells))


def _weightiest(kinds: Sequence[VmaKind], weights: Sequence[int], first: int, last: int) -> VmaKind:
    if last == first + 1:
        return kinds[first]
    found: Counter[VmaKind] = Counter()
    for at in range(first, last):
        found[kinds[at]] += weights[at]
    return found.most_common(1)[0][0]


def bar_cells(
    frame: Frame, rss_bytes: Sequence[int | None] | None, swap_bytes: Sequence[int | None] | None
) -> tuple[BarCell, ...]:
    """Return the cells: a letter where a kind begins (a capital: half is in RAM), else how full it is."""
    cells: list[BarCell] = []
    last_kind: VmaKind | None = None
    for at, kind in enumerate(frame.kinds):
        first, last = frame.first[at], frame.last[at]
        rss = _sum(rss_bytes, first, last)
        swap = _sum(swap_bytes, first, last)
        if kind is not last_kind:
            is_half = rss is not None and rss * 2 >= frame.sizes_bytes[at]
            glyph = LETTERS[kind].upper() if is_half else LETTERS[kind]
        else:
            glyph = _fill(rss, swap, frame.sizes_bytes[at])
        cells.append((glyph, kind.value))
        last_kind = kind
    return tuple(cells)


def _sum(numbers: Sequence[int | None] | None, first: int, last: int) -> int | None:
    if numbers is None:
        return None
    part = numbers[first:last]
    return None if None in part else sum(part)  # type: ignore[arg-type]


def _fill(rss: int | None, swap: int | None, whole: int) -> str:
    if rss is None or swap is None:
        return _UNKNOWN
    if swap > rss:
        return _SWAPPED
    if rss <= 0:
        return _NOTHING
    # Only what is full is drawn full.
    return _LEVELS[-1] if rss >= whole else _LEVELS[min(len(_LEVELS) - 2, rss * len(_LEVELS) // whole)]

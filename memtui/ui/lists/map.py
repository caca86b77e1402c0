"""The map of a process as the table shows it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence

from memtui.model.ranges import Range
from memtui.model.vma import AddressSpace, MappedVma
from memtui.text import SafeText, address, address_range, safe, size
from memtui.ui.marks import MarkSet
from memtui.ui.rows import Cell, Column, Line

_COLUMNS = (
    Column("RSS", 6, right=True),
    Column("SWAP", 6, right=True),
    Column("SIZE", 6, right=True),
    Column("PERM", 4),
    Column("KIND", 8),
    Column("FLAGS", 5),
    Column("START", 12, right=True, below_width=96),
    Column("ADDRESS", 25, right=True, from_width=96),
    Column("NAME", 20),
)

NOTABLE_FLAGS = ("lo", "pf", "ht", "io", "um", "uw", "ui", "lf", "dp", "hg", "nh", "mg", "gu", "sl")
"""VmFlags that change what an advice does, the weightiest first."""

_ROLES = {"*": "marked", "~": "marked", "!": "stale", ">": "pending"}


class MapRows:
    """The VMAs of one look. ``pending`` are addresses that a range in the making would mark."""

    columns: Sequence[Column] = _COLUMNS

    def __init__(self, space: AddressSpace, marks: MarkSet, pending: Range | None = None) -> None:
        self.space = space
        self._marks = marks
        self._pending = pending

    def __len__(self) -> int:
        return len(self.space)

    def key(self, index: int) -> Hashable:
        """Return where the VMA starts and what it is."""
        vma = self.space.vmas[index]
        return vma.start, vma.identity

    def find(self, key: Hashable) -> int | None:
        """Return the VMA of a key, or the one that stands at its address or behind it now."""
        if not isinstance(key, tuple) or not self.space.vmas:
            return None
        at = bisect_left(self.space.vmas, key[0] + 1, key=lambda vma: vma.end)
        return min(at, len(self.space.vmas) - 1)

    def line(self, index: int) -> Line:
        """Return a VMA as it is shown."""
        row = self.space.row(index)
        vma = row.vma
        glyph = self._marks.state(vma)
        if self._pending is not None and self._pending.start <= vma.start < self._pending.end:
            glyph = ">"
        cells = (
            Cell(size(row.rss_bytes)),
            Cell(size(row.swap_bytes)),
            Cell(size(vma.size_bytes)),
            Cell(safe(vma.perms), "dim"),
            Cell(SafeText(row.kind.value)),
            Cell(flags_in_short(row), "warn"),
            Cell(address(vma.start), "dim"),
            Cell(address_range(vma.start, vma.end), "dim"),
            Cell(name_of(row), "accent" if row.label else ""),
        )
        return Line(SafeText(glyph), _ROLES.get(glyph, ""), cells)


def flags_in_short(row: MappedVma) -> SafeText:
    """Return the notable VmFlags; ``?`` where smaps was not read."""
    if row.flags is None:
        return SafeText("?")
    return SafeText(" ".join(flag for flag in NOTABLE_FLAGS if flag in row.flags))


def name_of(row: MappedVma) -> SafeText:
    """Return what a VMA is called: the practice's word first."""
    path = row.vma.name
    folder, _, last = path.rpartition("/")
    # The end of a path says most, and a narrow column shows its beginning.
    parts = (row.label, last, folder) if path.startswith("/") and last and folder else (row.label, path)
    return safe("  ".join(part for part in parts if part))

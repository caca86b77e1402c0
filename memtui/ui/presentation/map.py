"""The map of a process as the table shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, address, address_range, count, safe, size
from memtui.model.vma import total
from memtui.render.vma import NOTABLE_FLAGS, name_of
from memtui.ui.presentation.order import row_at
from memtui.ui.presentation.rows import Cell, Column, Line

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from memtui.model.vma import AddressSpace, MappedVma, Vma
    from memtui.ui.marks import MarkSet

BAR_CELLS = 5

_COLUMNS = (
    Column("RSS", 6, right=True, sort="rss"),
    Column("SWAP", 6, right=True, sort="swap"),
    Column("SIZE", 6, right=True, sort="size"),
    Column("RAM", BAR_CELLS),
    Column("PERM", 4, sort="perm"),
    Column("KIND", 8, sort="kind"),
    Column("FLAGS", 5),
    Column("START", 12, right=True, below_width=96, sort="address"),
    Column("ADDRESS", 25, right=True, from_width=96, sort="address"),
    Column("NAME", 20, sort="name"),
)

_ROLES = {"*": "marked", "~": "marked", "!": "stale", ">": "pending"}
_NOTHING = range(0)


class MapRows:
    """The VMAs of one look, or those of them that are shown, in ``order``.

    ``pending`` are the rows that a range in the making would mark.
    """

    columns: Sequence[Column] = _COLUMNS

    def __init__(
        self,
        space: AddressSpace,
        marks: MarkSet,
        order: Sequence[int] | None = None,
        pending: range = _NOTHING,
    ) -> None:
        self.space = space
        self.order = order
        self._marks = marks
        self._pending = pending

    def __len__(self) -> int:
        return len(self.space) if self.order is None else len(self.order)

    def index(self, row: int) -> int:
        """Return which VMA of the map stands in a row."""
        return row if self.order is None else self.order[row]

    def vma(self, row: int) -> Vma:
        """Return the VMA in a row."""
        return self.space.vmas[self.index(row)]

    def row(self, row: int) -> MappedVma:
        """Return the VMA in a row with all that is known of it."""
        return self.space.row(self.index(row))

    def key(self, index: int) -> Hashable:
        """Return where the VMA starts and what it is."""
        vma = self.vma(index)
        return vma.start, vma.identity

    def find(self, key: Hashable) -> int | None:
        """Return the row of a key, or of the one that stands at its address or behind it now."""
        return row_at(self.space, self.order, key[0]) if isinstance(key, tuple) else None

    def line(self, index: int) -> Line:
        """Return a VMA as it is shown."""
        row = self.row(index)
        vma = row.vma
        glyph = ">" if index in self._pending else self._marks.state(vma)
        cells = (
            Cell(size(row.rss_bytes)),
            Cell(size(row.swap_bytes)),
            Cell(size(vma.size_bytes)),
            Cell(bar(row)),
            Cell(safe(vma.perms), "dim"),
            Cell(SafeText(row.kind.value)),
            Cell(flags_in_short(row), "warn"),
            Cell(address(vma.start), "dim"),
            Cell(address_range(vma.start, vma.end), "dim"),
            Cell(name_of(row), "accent" if row.label else ""),
        )
        return Line(SafeText(glyph), _ROLES.get(glyph, ""), cells)


def bar(row: MappedVma) -> SafeText:
    """Return how much of a VMA is resident, how much swapped, and how much neither, as a bar.

    What there is fills a cell at least, and what lacks leaves one: full and empty are said of nothing else.
    """
    whole = row.vma.size_bytes
    if row.rss_bytes is None:
        return SafeText("?")
    if row.swap_bytes is None:
        resident = _cells(row.rss_bytes, whole, BAR_CELLS if row.rss_bytes >= whole else BAR_CELLS - 1)
        return SafeText("█" * resident + "?" * (BAR_CELLS - resident))
    resident = _cells(row.rss_bytes, whole, BAR_CELLS)
    swapped = _cells(row.swap_bytes, whole, BAR_CELLS)
    neither = 1 if row.rss_bytes + row.swap_bytes < whole else 0
    while resident + swapped + neither > BAR_CELLS:
        if resident >= swapped:
            resident -= 1
        else:
            swapped -= 1
    return SafeText("█" * resident + "▒" * swapped + "·" * (BAR_CELLS - resident - swapped))


def _cells(part_bytes: int, whole_bytes: int, cells: int) -> int:
    if part_bytes <= 0:
        return 0
    return max(1, min(cells, round(part_bytes * cells / whole_bytes)))


def flags_in_short(row: MappedVma) -> SafeText:
    """Return the notable VmFlags; ``?`` where smaps was not read."""
    if row.flags is None:
        return SafeText("?")
    return SafeText(" ".join(flag for flag in NOTABLE_FLAGS if flag in row.flags))


def map_title(
    space: AddressSpace, order: Sequence[int] | None, process_name: str, filter_words: str
) -> SafeText:
    """Return whose map it is, and the totals of what is shown of it."""
    rss_bytes, swap_bytes = space.rss_bytes, space.swap_bytes
    number = count(len(space), "VMA")
    if order is not None and len(order) < len(space):
        number = SafeText(f"{len(order):,} of {number}")
        rss_bytes = None if rss_bytes is None else [rss_bytes[at] for at in order]
        swap_bytes = None if swap_bytes is None else [swap_bytes[at] for at in order]
    numbers = f"rss {size(total(rss_bytes))}  swap {size(total(swap_bytes))}"
    who = f"Map of {space.process.pid} {process_name}"
    return safe(f"{who}{filter_words}  {number}  {numbers}  ({space.source})")

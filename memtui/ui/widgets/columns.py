"""How the cells of a line are laid out: widths in terminal cells, neighbours of one style merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.style import Style

    from memtui.format import SafeText
    from memtui.ui.presentation.rows import Column, Line

_ELLIPSIS = "…"


def fit(text: str, width: int, right: bool = False) -> str:
    """Return ``text`` in exactly ``width`` cells; what is cut ends in an ellipsis."""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + _ELLIPSIS if width > 0 else ""
    blank = " " * (width - length)
    return blank + text if right else text + blank


def cut(strip: Strip, offset: int, width: int) -> Strip:
    """Return what of a strip is seen from a cell on; if it goes on beyond, it ends in an ellipsis."""
    if strip.cell_length <= offset + width or width < 1:
        return strip.crop(offset, offset + width)
    *segments, last = strip.crop(offset, offset + width - 1) or (Segment(""),)
    # In the last one's style: one of its own would be sent with each line.
    return Strip([*segments, Segment(last.text + _ELLIPSIS, last.style)])


class ShownColumns(NamedTuple):
    """The columns that a table of one width shows: (index of the cell, column)."""

    shown: tuple[tuple[int, Column], ...] = ()

    @classmethod
    def of(cls, columns: Sequence[Column], width: int) -> ShownColumns:
        """Return what is shown of ``columns`` at ``width`` cells."""
        return cls(tuple((at, column) for at, column in enumerate(columns) if column.shown_at(width)))

    def header(self, sorted_by: str = "", arrow: str = "") -> str:
        """Return the titles, over their columns; an arrow stands at the one that rows are sorted by."""
        titles = []
        for at, (_, column) in enumerate(self.shown):
            title = column.title
            if column.sort and column.sort == sorted_by:
                title = title[: max(0, column.width - 1)] + arrow
            titles.append(self._padded(at, title))
        return "  " + " ".join(titles)

    @property
    def sort_keys(self) -> list[str]:
        """What rows can be sorted by, column by column."""
        return list(dict.fromkeys(column.sort for _, column in self.shown if column.sort))

    def strip(self, line: Line, base: Style, style_of: Callable[[str], Style]) -> Strip:
        """Return a line as a strip, not cropped. ``style_of`` gives the style of a cell's role."""
        segments: list[Segment] = []
        text, style = f"{fit(line.glyph, 1)} ", base
        for at, (index, _) in enumerate(self.shown):
            cell = line.cells[index]
            own = style_of(cell.role) if cell.role and cell.text else base
            if own != style:
                segments.append(Segment(text, style))
                text, style = "", own
            text += self._padded(at, cell.text)
            if at + 1 < len(self.shown):
                text += " "
        segments.append(Segment(text, style))
        return Strip(segments)

    def _padded(self, at: int, text: SafeText | str) -> str:
        column = self.shown[at][1]
        if at + 1 == len(self.shown):
            return text
        return fit(text, column.width, column.right)

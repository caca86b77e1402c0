"""Tables of the commands: aligned columns, and what stands in them where there is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from memtui.format import SafeText, cells, count, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_Item = TypeVar("_Item")

_MOST_ROWS = 24
_NAME_CELLS = 44


def table_lines(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Iterator[str]:
    """Yield aligned columns; the last ``left`` are to the left, the others to the right.

    What stands in them must be safe to show already.
    """
    table = [list(headings), *(list(row) for row in rows)]
    widths = [max(cells(row[at]) for row in table) for at in range(len(headings))]
    first_left = len(headings) - left
    for row in table:
        shown = []
        for at, text in enumerate(row):
            fill = " " * (widths[at] - cells(text))
            shown.append(text + fill if at >= first_left else fill + text)
        yield "  ".join(shown).rstrip()


def shortlist(
    items: Sequence[_Item], weight: Callable[[_Item], tuple[int, ...] | int]
) -> tuple[list[_Item], str | None]:
    """Return the weightiest items in their own order, and words for those left out."""
    if len(items) <= _MOST_ROWS:
        return list(items), None
    order = sorted(range(len(items)), key=lambda at: weight(items[at]), reverse=True)
    chosen = sorted(order[:_MOST_ROWS])
    rest = count(len(items) - len(chosen), "more range")
    return [items[at] for at in chosen], f"and {rest}: --json shows all, and the total counts them"


def short_name(name: str) -> SafeText:
    """Return a name safe to show in a column: of a long path its end."""
    shown = safe(name) or "-"
    if cells(shown) <= _NAME_CELLS:
        return SafeText(shown)
    while cells(shown) >= _NAME_CELLS:
        shown = SafeText(shown[1:])
    return SafeText("\N{HORIZONTAL ELLIPSIS}" + shown)

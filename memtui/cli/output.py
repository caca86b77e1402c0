"""What the commands print: JSON lines, aligned tables, and one line for an error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from memtui.model import wire
from memtui.text import safe


def complain(text: str, code: int = 1) -> int:
    """Say one line on stderr; return ``code``."""
    print(f"memtui: {safe(text)}", file=sys.stderr)
    return code


def print_json(rows: Iterable[Mapping[str, object]]) -> None:
    """Print one object a line."""
    for row in rows:
        print(wire.line(row))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """Print aligned columns; the last ``left`` are to the left, the others to the right.

    Cells must be safe to show already.
    """
    table = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(headings))]
    first_left = len(headings) - left
    for row in table:
        cells = [
            cell.ljust(widths[at]) if at >= first_left else cell.rjust(widths[at])
            for at, cell in enumerate(row)
        ]
        print("  ".join(cells).rstrip())

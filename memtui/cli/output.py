"""What the commands print: JSON lines, aligned tables, and one line for an error."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from memtui.format import SafeText, cells, count, safe
from memtui.shutdown import drop_stream

_Item = TypeVar("_Item")

_MOST_ROWS = 24
_NAME_CELLS = 44
_NOBODY_READS = (errno.EPIPE, errno.EIO)


def has_terminal() -> bool:
    """Whether somebody sits before it: one of our standard streams is a terminal."""
    return any(map(os.isatty, (0, 1, 2)))


def complain(text: str, code: int = 1) -> int:
    """Say one line on stderr, if anybody can hear it; return ``code``."""
    try:
        print(f"memtui: {safe(text)}", file=sys.stderr)
    except OSError:
        # A terminal that is gone, a full disk: nobody is left to tell it to.
        drop_stream(sys.stderr.fileno())
    return code


def print_json(rows: Iterable[Mapping[str, object]]) -> None:
    """Print one object a line."""
    from memtui.model import wire

    for row in rows:
        print(wire.line(row))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """Print aligned columns; the last ``left`` are to the left, the others to the right.

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
        print("  ".join(shown).rstrip())


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


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print what an action came to: a reader that goes away changes nothing of it.

    That is one of a pipe (``| head``), or a terminal that is closed.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NOBODY_READS:
            raise
        drop_output()


def drop_output() -> None:
    """Let nothing more reach standard output, nor fail there at the end."""
    drop_stream(sys.stdout.fileno())

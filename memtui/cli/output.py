"""What the commands print: JSON lines, aligned tables, and one line for an error."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memtui.format import safe
from memtui.shutdown import drop_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    from memtui.json_line import json_line

    for row in rows:
        print(json_line(row))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """Print aligned columns: see :func:`table_lines`."""
    from memtui.render.table import table_lines

    for line in table_lines(headings, rows, left):
        print(line)


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

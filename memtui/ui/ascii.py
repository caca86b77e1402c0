"""A screen for a terminal that shows ASCII only: every other character becomes one that looks like it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from textual.filter import LineFilter

if TYPE_CHECKING:
    from textual.color import Color

_LOOKS_LIKE = str.maketrans(
    {
        **dict.fromkeys("─━═╌╍┄┅┈┉╴╶╸╺▔", "-"),
        **dict.fromkeys("│┃║╎╏┆┇┊┋╵╷╹╻▏▎▍▌▐▕", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬", "+"),
        **dict.fromkeys("▁▂", "_"),
        **dict.fromkeys("▃▄", "-"),
        **dict.fromkeys("▅▆", "="),
        **dict.fromkeys("▇█▉▊▋", "#"),
        **dict.fromkeys("▒▓", ":"),
        **dict.fromkeys("░·•∙", "."),
        **dict.fromkeys("↑▲△", "^"),
        **dict.fromkeys("↓▼▽", "v"),
        **dict.fromkeys("←◀◁", "<"),
        **dict.fromkeys("→▶▷", ">"),
        "…": "~",
    }
)


@lru_cache(4096)
def ascii_only(text: str) -> str:
    """Return a text of the same width in cells, in ASCII; what nothing looks like becomes a ``?`` a cell."""
    if text.isascii():
        return text
    alike = text.translate(_LOOKS_LIKE)
    if alike.isascii():
        return alike
    return "".join(char if char.isascii() else "?" * cell_len(char) for char in alike)


class AsciiFilter(LineFilter):
    """The last thing that a line passes through."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments in ASCII."""
        return [Segment(ascii_only(text), style, control) for text, style, control in segments]

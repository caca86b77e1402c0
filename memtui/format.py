"""Text of the system made safe to show; sizes, addresses and durations in words.

Names of processes, paths and command lines are hostile input: they may hold escape sequences,
newlines, bidirectional overrides and undecodable bytes. The model keeps them raw; :func:`safe` is
called where they are shown, and nowhere else.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NewType

SafeText = NewType("SafeText", str)
"""Text that may go to a terminal: printable, one line, no control or bidirectional characters."""

DOES_NOT_APPLY = SafeText("-")
"""Not a number that is unknown: one that there cannot be."""

_REPLACEMENT = "\ufffd"

_INVISIBLE = (
    # Default_Ignorable_Code_Point of the Unicode Character Database: no cell of their own, or a blank
    # one; among them the marks that turn text round or hide it. Separators break the line.
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2028, 0x2029, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFFC),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
)

_JOINED_JAMO = frozenset(map(chr, (*range(0x1160, 0x1200), *range(0xD7B0, 0xD7FC))))
"""Vowels and finals of Hangul, which stand in the cells of the consonant before them."""

_UNSAFE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys(_INVISIBLE, _REPLACEMENT),
}


def safe(raw: str) -> SafeText:
    """Return ``raw`` as one line that a terminal shows and does not obey.

    C0 controls become their pictures (U+2400 block); C1 controls, bidirectional and invisible
    characters, blanks other than the space, private and unassigned ones and lone surrogates become
    U+FFFD.
    """
    if raw.isascii() and raw.isprintable():
        return SafeText(raw)
    shown = raw.translate(_UNSAFE)
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else _REPLACEMENT for char in shown)
    return SafeText(shown)


def cells(shown: str) -> int:
    """Return how many cells of a terminal safe text takes: two for wide characters, none for marks.

    As wcwidth(3) of a UTF-8 locale has it.
    """
    if shown.isascii():
        return len(shown)
    return sum(map(_cells_of, shown))


@cache
def _cells_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me") or char in _JOINED_JAMO:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def size(count_bytes: int | None) -> SafeText:
    """Return a byte count in at most six cells (``1.5M``, ``412M``, ``-64K``); ``?`` for None."""
    if count_bytes is None:
        return SafeText("?")
    magnitude = abs(count_bytes)
    sign = "-" if count_bytes < 0 else ""
    if magnitude < 1024:
        return SafeText(f"{sign}{magnitude}" + ("B" if magnitude else ""))
    value = float(magnitude)
    for unit in "KMGTPE":
        value /= 1024
        if value < 1023.5 or unit == "E":
            break
    whole = value >= 99.95 or value == int(value)
    return SafeText(f"{sign}{value:.0f}{unit}" if whole else f"{sign}{value:.1f}{unit}")


def signed_size(count_bytes: int | None) -> SafeText:
    """Return a difference of byte counts with its sign, also of none; ``?`` for None."""
    return (
        SafeText(f"+{size(count_bytes)}")
        if count_bytes is not None and count_bytes >= 0
        else size(count_bytes)
    )


def size_or_dash(count_bytes: int | None, applies: bool) -> SafeText:
    """Return a byte count, or ``-`` where there cannot be one; ``?`` is for what was not seen."""
    return size(count_bytes) if applies else DOES_NOT_APPLY


def change(before_bytes: int | None, after_bytes: int | None, applies: bool = True) -> SafeText:
    """Return ``before>after``; one ``?`` where neither was seen, and ``-`` where there cannot be any."""
    if not applies:
        return DOES_NOT_APPLY
    if before_bytes is None and after_bytes is None:
        return SafeText("?")
    return SafeText(f"{size(before_bytes)}>{size(after_bytes)}")


def address(value: int) -> SafeText:
    """Return an address as /proc/PID/maps writes it: hexadecimal, at least eight digits."""
    return SafeText(f"{value:08x}")


def address_range(start: int, end: int) -> SafeText:
    """Return ``START-END`` as /proc/PID/maps writes it."""
    return SafeText(f"{start:08x}-{end:08x}")


def duration(milliseconds: float | None) -> SafeText:
    """Return a duration in a few cells (``0.4ms``, ``250ms``, ``3.2s``, ``4m10s``); ``?`` for None."""
    if milliseconds is None:
        return SafeText("?")
    # The limits are where rounding would carry into the next form (60.0s, 1000ms).
    if milliseconds < 9.95:
        return SafeText(f"{milliseconds:.1f}ms")
    if milliseconds < 999.5:
        return SafeText(f"{milliseconds:.0f}ms")
    if milliseconds < 59_950:
        return SafeText(f"{milliseconds / 1000:.1f}s")
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return SafeText(f"{minutes}m{seconds:02d}s")


def count(number: int, singular: str, plural: str | None = None) -> SafeText:
    """Return ``number`` with its noun: ``1 range``, ``2,000 ranges``."""
    noun = singular if number == 1 else (plural or singular + "s")
    return SafeText(f"{number:,} {noun}")


def time_of_day(time: str) -> SafeText:
    """Return the hours, minutes and seconds of an RFC 3339 time."""
    return safe(time[11:19] if len(time) >= 19 else time)

"""Text of the system made safe to show; sizes, addresses and durations in words.

Names of processes, paths and command lines are hostile input: they may hold escape sequences,
newlines, bidirectional overrides and undecodable bytes. The model keeps them raw; :func:`safe` is
called where they are shown, and nowhere else.
"""

from __future__ import annotations

from typing import NewType

SafeText = NewType("SafeText", str)
"""Text that may go to a terminal: printable, one line, no control or bidirectional characters."""

_REPLACEMENT = "\ufffd"

_UNSAFE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT),
    # Marks, embeddings, overrides and isolates turn text round or hide it; separators break the line.
    **dict.fromkeys([0x061C, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF], _REPLACEMENT),
    **dict.fromkeys([0x2028, 0x2029], _REPLACEMENT),
    **dict.fromkeys(range(0x202A, 0x202F), _REPLACEMENT),
    **dict.fromkeys(range(0x2066, 0x206A), _REPLACEMENT),
    **dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT),
    **dict.fromkeys(range(0xFE00, 0xFE10), _REPLACEMENT),
    **dict.fromkeys(range(0xE0000, 0xE0080), _REPLACEMENT),
}


def safe(raw: str) -> SafeText:
    """Return ``raw`` as one line that a terminal shows and does not obey.

    C0 controls become their pictures (U+2400 block); C1 controls, bidirectional and invisible
    characters and lone surrogates become U+FFFD.
    """
    if raw.isascii() and raw.isprintable():
        return SafeText(raw)
    return SafeText(raw.translate(_UNSAFE))


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
    if milliseconds < 10:
        return SafeText(f"{milliseconds:.1f}ms")
    if milliseconds < 1000:
        return SafeText(f"{milliseconds:.0f}ms")
    if milliseconds < 60_000:
        return SafeText(f"{milliseconds / 1000:.1f}s")
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return SafeText(f"{minutes}m{seconds:02d}s")


def count(number: int, singular: str, plural: str | None = None) -> SafeText:
    """Return ``number`` with its noun: ``1 range``, ``2,000 ranges``."""
    noun = singular if number == 1 else (plural or singular + "s")
    return SafeText(f"{number:,} {noun}")

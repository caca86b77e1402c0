"""The VMAs of a map, read lazily: of tens of thousands only what is looked at becomes an object."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import overload

from memtui.linux.procfs import MapLines, decode
from memtui.model.vma import Vma


class MapTable(Sequence[Vma]):
    """The VMAs of /proc/PID/maps, ascending. Equal to another table of the same text.

    ``starts`` are the start addresses of all of them, in the same order.
    """

    def __init__(self, text: bytes, shmem_devices: frozenset[str]) -> None:
        self._text = text
        self._parse = MapLines(shmem_devices)
        self._lines = decode(text).split("\n")[:-1]
        self._made: list[Vma | None] = [None] * len(self._lines)
        self.starts = _starts(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Vma: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Vma]: ...

    def __getitem__(self, index: int | slice) -> Vma | Sequence[Vma]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        made = self._made[index]
        if made is None:
            made = self._made[index] = self._parse.vma(self._lines[index])
        return made

    def __iter__(self) -> Iterator[Vma]:
        """Pass over all of them once; unlike those that are asked for by index, they are not kept."""
        parse = self._parse.vma
        return (made or parse(line) for made, line in zip(self._made, self._lines, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MapTable) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def digest(self) -> bytes:
        """What tells this text from any other."""
        return digest_of(self._text)

    def common(self, other: MapTable) -> frozenset[int]:
        """Return the start addresses of the VMAs that stand in both, unchanged."""
        lines = dict(zip(self.starts, self._lines, strict=True))
        there = zip(other.starts, other._lines, strict=True)
        return frozenset(start for start, line in there if lines.get(start) == line)

    def holding(self, part: str) -> list[int]:
        """Return which VMAs have a part in their line, as the kernel wrote it."""
        return [at for at, line in enumerate(self._lines) if part in line]


def digest_of(text: bytes) -> bytes:
    """Return what tells the text of a map from any other."""
    return blake2b(text, digest_size=16).digest()


def _starts(lines: Sequence[str]) -> list[int]:
    """Return the start addresses. They ascend, so that those of equal width stand together."""

    def width(line: str) -> int:
        return line.index("-")

    found: list[int] = []
    while len(found) < len(lines):
        digits = width(lines[len(found)])
        beyond = bisect_right(lines, digits, lo=len(found), key=width)
        found += [int(line[:digits], 16) for line in lines[len(found) : beyond]]
    return found

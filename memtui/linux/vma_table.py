"""The VMAs of a map, read lazily: of tens of thousands only what is looked at becomes an object."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

from memtui.linux.procfs import MapLines, decode
from memtui.model.vma import Vma, VmaKind

_SHMEM_NAMES = (b"/memfd:", b"/SYSV", b"/dev/shm/", b"/dev/zero", b"[anon_shmem:")
"""What stands in the line of shared memory that no device tells of: see kind_of()."""
_FEW_PATHS = 2000
_ON_VIRTUAL_DEVICE = re.compile(rb"^\S+ \S+ \S+ 00:\S+ (?:[1-9]|0 +/SYSV)", re.MULTILINE)
"""A line with an inode on a device of major number 0 (proc_pid_maps(5)); a System V segment's may be 0."""


class MapTable(Sequence[Vma]):
    """The VMAs of /proc/PID/maps, ascending. Equal to another table of the same text.

    ``starts`` are the start addresses of all of them, in the same order.
    """

    def __init__(self, text: bytes, shmem_devices: frozenset[str]) -> None:
        self._text = text
        self._shmem_devices = shmem_devices
        self._parse = MapLines(shmem_devices)
        lines = text.split(b"\n")[:-1]
        # Numbers in arrays: of tens of thousands of lines no object is kept.
        self._places = array("Q", accumulate(map((1).__add__, map(len, lines)), initial=0))
        self._made: dict[int, Vma] = {}
        self.starts = _starts(lines)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Vma: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Vma]: ...

    def __getitem__(self, index: int | slice) -> Vma | Sequence[Vma]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        made = self._made.get(index)
        if made is None:
            made = self._made[index] = self._parse.vma(self._line(index))
        return made

    def _line(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return decode(self._text[self._places[index] : self._places[index + 1] - 1])

    def __iter__(self) -> Iterator[Vma]:
        """Pass over all of them once; unlike those that are asked for by index, they are not kept."""
        made, parse, line = self._made, self._parse.vma, self._line
        return (made.get(at) or parse(line(at)) for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MapTable) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def ends(self, first: int, last: int) -> list[int]:
        """Return the end addresses of the VMAs from ``first`` up to ``last``."""
        lines = self._text[self._places[first] : self._places[last]].split(b"\n")[:-1]
        if not lines:
            return []
        digits = lines[0].index(b"-")
        if lines[-1].index(b" ") == 2 * digits + 1:
            # Both addresses ascend: those in between have as many digits.
            return [int(line[digits + 1 : 2 * digits + 1], 16) for line in lines]
        return [int(line[line.index(b"-") + 1 : line.index(b" ")], 16) for line in lines]

    @property
    def digest(self) -> bytes:
        """What tells this text from any other."""
        return digest_of(self._text)

    def common(self, other: MapTable) -> frozenset[int]:
        """Return the start addresses of the VMAs that stand in both, unchanged."""
        mine = frozenset(self._text.split(b"\n"))
        theirs = other._text.split(b"\n")[:-1]
        return frozenset(start for start, line in zip(other.starts, theirs, strict=True) if line in mine)

    def of_shared_memory(self) -> list[int]:
        """Return which VMAs map shared memory. An object is made of few others, where there are many."""
        signs: Iterable[bytes] = (b"/", b"[anon_shmem:")
        if self._text.count(b"/") > _FEW_PATHS:
            signs = (*_SHMEM_NAMES, *(b" %b " % device.encode("ascii") for device in self._shmem_devices))
        found = sorted({at for sign in signs for at in self.holding(sign)})
        return [at for at in found if self[at].kind is VmaKind.SHMEM]

    def on_virtual_devices(self) -> list[int]:
        """Return which VMAs map a file on a device without a disk: tmpfs, ramfs, overlay, NFS."""
        places = (match.start() for match in _ON_VIRTUAL_DEVICE.finditer(self._text))
        return [bisect_right(self._places, place) - 1 for place in places]

    def holding(self, part: bytes) -> list[int]:
        """Return which VMAs have a part in their line, as the kernel wrote it."""
        found: list[int] = []
        at = self._text.find(part)
        while at >= 0:
            found.append(bisect_right(self._places, at) - 1)
            at = self._text.find(part, self._places[found[-1] + 1])
        return found


def digest_of(text: bytes) -> bytes:
    """Return what tells the text of a map from any other."""
    # OpenSSL comes with it, which takes a while: only plans need it.
    from hashlib import blake2b

    return blake2b(text, digest_size=16).digest()


def _starts(lines: Sequence[bytes]) -> array[int]:
    """Return the start addresses. They ascend, so that those of equal width stand together."""

    def width(line: bytes) -> int:
        return line.index(b"-")

    found = array("Q")
    while len(found) < len(lines):
        digits = width(lines[len(found)])
        beyond = bisect_right(lines, digits, lo=len(found), key=width)
        found.extend([int(line[:digits], 16) for line in lines[len(found) : beyond]])
    return found

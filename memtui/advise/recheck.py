"""The re-check: is what was planned still what is mapped there? Asked right before the calls."""

from __future__ import annotations

import errno
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memtui.advise.segments import Segment
from memtui.linux import sysinfo
from memtui.linux.syscalls import MapQuery, QueriedVma
from memtui.linux.vma_table import MapTable, digest_of
from memtui.model.vma import Vma, VmaIdentity, identity_of

if TYPE_CHECKING:
    from memtui.linux.process_handle import ProcessHandle

_Next = Callable[[int], "QueriedVma | Vma | None"]


_QUERY_S = 5e-6
"""What a query costs at least, in seconds."""


class _Unanswerable(Exception):
    """PROCMAP_QUERY cannot tell of a VMA."""


@dataclass(slots=True)
class Checked:
    """Pieces by what stands there now: the same mapping, another one, or none."""

    standing: Sequence[Segment] = field(default_factory=list)
    changed: list[Segment] = field(default_factory=list)
    gone: list[Segment] = field(default_factory=list)


class Recheck:
    """Asks the open map of a process, by PROCMAP_QUERY or else by its text.

    ``layout`` is the digest of a text of the map in which all pieces that will be asked for are known to
    stand: see TargetPlan.
    """

    def __init__(self, handle: ProcessHandle, layout: bytes = b"") -> None:
        self._handle = handle
        self._layout = layout
        self._sure: bytes | None = None
        self._text_s: float | None = None
        self._last: tuple[float, bytes] = (0.0, b"")
        self._rehearsed: tuple[bytes, Sequence[Segment], Checked] | None = None
        self._query: MapQuery | None = MapQuery(handle.maps)
        try:
            self._query.at_or_after(0)
        except OSError as error:
            if error.errno != errno.ESRCH:
                # ENOTTY before Linux 6.11; an emulator or a filter may answer with anything else.
                self._query = None

    def rehearse(self, pieces: Sequence[Segment], identities: Sequence[VmaIdentity | None]) -> None:
        """Check pieces before a hold: if under it the text of the map is the same, so is the answer.

        Only where reading the text takes less time than asking for each piece.

        Raises:
            MemtuiError: if the process has exited or exec'ed.
        """
        self._rehearsed = None
        text = self._read_text()
        if self.text_is_quicker(len(pieces)):
            self._rehearsed = text, pieces, self._check(pieces, identities, self._walk(text))

    def text_is_quicker(self, pieces: int) -> bool:
        """Whether to read the text of the map takes less time than to ask for so many pieces.

        Raises:
            MemtuiError: if the process has exited or exec'ed.
        """
        if self._text_s is None:
            self._read_text()
        assert self._text_s is not None
        return self._text_s < pieces * _QUERY_S

    def check_by_text(
        self, pieces: Sequence[Segment], identities: Sequence[VmaIdentity | None], *, anew: bool
    ) -> Checked:
        """Do what :meth:`check` does by the text of the map, where that is quicker for many pieces.

        What was read no longer ago than reading takes is as good as new, since a text is that old when it
        has been read to its end. With ``anew`` it is read all the same.

        Raises:
            MemtuiError: if the process has exited or exec'ed.
        """
        if not self.text_is_quicker(len(pieces)):
            return self.check(pieces, identities)
        read_at, text = self._last
        if anew or self._text_s is None or time.monotonic() - read_at > self._text_s:
            text = self._read_text()
        if text is self._sure:
            return Checked(standing=pieces)
        if self._sure is None and self._layout and digest_of(text) == self._layout:
            self._sure = text
            return Checked(standing=pieces)
        return self._check(pieces, identities, self._walk(text))

    def _read_text(self) -> bytes:
        began = time.monotonic()
        text = self._handle.read_maps(self._sure or b"")
        ended = time.monotonic()
        # What disturbed one reading need not disturb the next.
        self._text_s = min(ended - began, self._text_s or ended - began)
        self._last = ended, text
        return text

    def check(self, pieces: Sequence[Segment], identities: Sequence[VmaIdentity | None]) -> Checked:
        """Sort ascending pieces by what stands there; ``identities`` are by the pieces' owner.

        Raises:
            MemtuiError: if the process has exited or exec'ed.
        """
        rehearsed, self._rehearsed = self._rehearsed, None
        if rehearsed is not None and rehearsed[1] is pieces and self._handle.read_maps() == rehearsed[0]:
            return rehearsed[2]
        try:
            return self._check(pieces, identities, self._next())
        except _Unanswerable:
            self._query = None
            return self._check(pieces, identities, self._next())

    def _check(
        self, pieces: Sequence[Segment], identities: Sequence[VmaIdentity | None], next_vma: _Next
    ) -> Checked:
        standing: list[Segment] = []
        checked = Checked(standing)
        found: QueriedVma | Vma | None = None
        for piece in pieces:
            at = piece.start
            while at < piece.end:
                if found is None or not found.start <= at < found.end:
                    found = next_vma(at)
                if found is None or found.start >= piece.end:
                    checked.gone.append(Segment(at, piece.end, piece.owner))
                    break
                if found.start > at:
                    checked.gone.append(Segment(at, found.start, piece.owner))
                    at = found.start
                part = Segment(at, min(found.end, piece.end), piece.owner)
                same = _identity(found) == identities[piece.owner]
                (standing if same else checked.changed).append(part)
                at = part.end
        if len(standing) == len(pieces) and not checked.changed and not checked.gone:
            # All as it was: the very same pieces, with the vector that was made of them.
            return Checked(pieces)
        return checked

    def _next(self) -> _Next:
        if self._query is not None:
            return self._ask
        return self._walk(self._handle.read_maps())

    def _walk(self, text: bytes) -> _Next:
        table = MapTable(text, sysinfo.shmem_devices(self._handle.pid))

        def walk(address: int) -> Vma | None:
            at = bisect_right(table.starts, address) - 1
            if at < 0 or table[at].end <= address:
                at += 1
            return table[at] if at < len(table) else None

        return walk

    def _ask(self, address: int) -> QueriedVma | None:
        assert self._query is not None
        try:
            return self._query.at_or_after(address)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise self._handle.lost_error() from error
            # ENAMETOOLONG: a path beyond PATH_MAX, which the text of the map shows all the same.
            raise _Unanswerable from error


def _identity(found: QueriedVma | Vma) -> VmaIdentity:
    return identity_of(found.name, found.perms, found.device, found.inode, found.offset, found.start)

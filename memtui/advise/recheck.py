"""The re-check: is what was planned still what is mapped there? Asked right before the calls."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memtui.advise.cutting import Piece
from memtui.linux import machine
from memtui.linux.handle import ProcessHandle
from memtui.linux.procfs import parse_maps
from memtui.linux.syscalls import MapQuery, QueriedVma
from memtui.model.vma import Vma, VmaIdentity, identity_of

_Next = Callable[[int], "QueriedVma | Vma | None"]


_QUERY_S = 5e-6
"""What a query costs at least, in seconds."""


class _Unanswerable(Exception):
    """PROCMAP_QUERY cannot tell of a VMA."""


@dataclass(slots=True)
class Checked:
    """Pieces by what stands there now: the same mapping, another one, or none."""

    standing: list[Piece] = field(default_factory=list)
    changed: list[Piece] = field(default_factory=list)
    gone: list[Piece] = field(default_factory=list)


class Recheck:
    """Asks the open map of a process, by PROCMAP_QUERY or else by its text."""

    def __init__(self, handle: ProcessHandle) -> None:
        self._handle = handle
        self._rehearsed: tuple[bytes, Sequence[Piece], Checked] | None = None
        self._query: MapQuery | None = MapQuery(handle.maps_fd)
        try:
            self._query.at_or_after(0)
        except OSError as error:
            if error.errno == errno.ENOTTY:
                # Before Linux 6.11.
                self._query = None

    def rehearse(self, pieces: Sequence[Piece], identities: Sequence[VmaIdentity | None]) -> None:
        """Check pieces before a hold: if under it the text of the map is the same, so is the answer.

        Only where reading the text takes less time than asking for each piece.

        Raises:
            MemtuiError: if the process has exited or exec'ed.
        """
        self._rehearsed = None
        began = time.monotonic()
        text = self._handle.read_maps()
        if time.monotonic() - began < len(pieces) * _QUERY_S:
            self._rehearsed = text, pieces, self._check(pieces, identities, self._walk(text))

    def check(self, pieces: Sequence[Piece], identities: Sequence[VmaIdentity | None]) -> Checked:
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
        self, pieces: Sequence[Piece], identities: Sequence[VmaIdentity | None], next_vma: _Next
    ) -> Checked:
        checked = Checked()
        found: QueriedVma | Vma | None = None
        for piece in pieces:
            at = piece.start
            while at < piece.end:
                if found is None or not found.start <= at < found.end:
                    found = next_vma(at)
                if found is None or found.start >= piece.end:
                    checked.gone.append(Piece(at, piece.end, piece.owner))
                    break
                if found.start > at:
                    checked.gone.append(Piece(at, found.start, piece.owner))
                    at = found.start
                part = Piece(at, min(found.end, piece.end), piece.owner)
                same = _identity(found) == identities[piece.owner]
                (checked.standing if same else checked.changed).append(part)
                at = part.end
        return checked

    def _next(self) -> _Next:
        if self._query is not None:
            return self._ask
        return self._walk(self._handle.read_maps())

    def _walk(self, text: bytes) -> _Next:
        vmas = parse_maps(text, machine.shmem_devices(self._handle.pid))
        at = 0

        def walk(address: int) -> Vma | None:
            nonlocal at
            while at < len(vmas) and vmas[at].end <= address:
                at += 1
            return vmas[at] if at < len(vmas) else None

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

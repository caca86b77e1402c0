"""How much work goes into one hold and into one call, by how quickly the last hold's went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.advise.cutting import CALL_BYTES
from memtui.model.pages import RawRun, cut
from memtui.model.ranges import Range, normalise

if TYPE_CHECKING:
    from memtui.advise.pieces import Pieces

_FIRST_BYTES_PER_S = 512 << 20
_LEAST_BYTES = 1 << 20
_MOST_HOLD_BYTES = 4 << 30


class Pace:
    """Fits a batch to a hold, and a call to a quarter of it: no call begins after the hold's end.

    ``hold_bytes`` and ``call_bytes`` are of populated memory.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._spent: tuple[Pieces, list[RawRun], float] | None = None
        self.hold_bytes = self.call_bytes = 0
        self._fit(_FIRST_BYTES_PER_S)

    def _fit(self, bytes_per_s: float) -> None:
        fits = bytes_per_s * self._hold_s
        self.hold_bytes = int(min(_MOST_HOLD_BYTES, max(_LEAST_BYTES, fits)))
        self.call_bytes = int(min(CALL_BYTES, max(_LEAST_BYTES, fits / 4)))

    def took(self, called: Pieces, runs: list[RawRun], spent_s: float) -> None:
        """Note how long the calls of a hold took; while the target is held nothing is worked out."""
        self._spent = called, runs, spent_s

    def adapt(self) -> None:
        """Choose the next batch by what the last one took, so that a hold is filled and not overrun."""
        if self._spent is None:
            return
        called, runs, spent_s = self._spent
        self._spent = None
        within = normalise(Range(start, end) for start, end in called.spans)
        populated = sum(end - start for start, end, _ in cut(runs, within))
        if populated and spent_s > 0:
            self._fit(populated / spent_s)

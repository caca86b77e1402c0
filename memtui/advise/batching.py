"""What of a plan goes into the next hold, or into the next round where nothing is held."""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING

from memtui.advise.alignment import PIECE_BYTES
from memtui.advise.segments import Segment, Segments
from memtui.model.advice import Advice
from memtui.model.ranges import AddressColumns, split

if TYPE_CHECKING:
    from memtui.advise.batch_sizer import BatchSizer
    from memtui.advise.recheck import Recheck
    from memtui.linux.pagemap import PageReader
    from memtui.model.plan import TargetPlan

MANY_PIECES = 64
"""From so many on it may be quicker to read the text of the map than to ask for each."""

_PIECES_A_HOLD = 4096
_PIECES_A_ROUND = 256
_LEAST_PIECES_A_HOLD = 64
_PIECES_A_TEXT = 32768
_SMALL_BYTES = 64 << 10
_ROUND_OF_SMALL_BYTES = 256 << 20


class Batches:
    """The pieces that are left of a plan, taken batch by batch."""

    def __init__(
        self,
        planned: TargetPlan,
        advice: Advice,
        huge_page_bytes: int,
        reader: PageReader,
        recheck: Recheck,
        sizer: BatchSizer,
    ) -> None:
        self._advice = advice
        self._reader = reader
        self._recheck = recheck
        self._sizer = sizer
        self._most_pieces = _PIECES_A_TEXT
        self._pieces_a_hold = _PIECES_A_HOLD
        self.left = _pieces_of(planned, huge_page_bytes)

    def take(self, held: bool) -> Segments:
        """Take out as much as one hold may do, or one round."""
        count = min(len(self.left), self._pieces_a_hold if held else self._pieces_a_round())
        batch = self.left[:count]
        budget = self._sizer.hold_bytes if held else self.round_bytes(batch)
        if batch.size_bytes > budget:
            # It depends on how much of it is populated.
            reach = self._reader.reach(batch.spans, budget)
            # Few were enough: so many need not be looked at the next time.
            self._most_pieces = max(_PIECES_A_ROUND, 2 * reach)
            count, batch = reach, batch[:reach]
        self.left = self.left[count:]
        # Now, not while the target is held: the vectors of the calls are slices of it.
        batch.pack()
        return batch

    def looked(self, count: int, spent_s: float, hold_s: float) -> None:
        """Learn from how long a hold looked at ``count`` pieces before its first call: half is too long."""
        if spent_s > hold_s / 2:
            self._pieces_a_hold = max(_LEAST_PIECES_A_HOLD, count // 2)
        elif spent_s < hold_s / 8:
            self._pieces_a_hold = min(_PIECES_A_HOLD, 2 * self._pieces_a_hold)

    def put_back(self, pieces: Segments) -> None:
        """Put what was not worked on before all else that is left."""
        if len(pieces):
            self.left = Segments.joined([pieces, self.left])

    def round_bytes(self, pieces: Segments) -> int:
        """Return how much to work on between two looks at the map where nothing is held: a call's worth.

        More of small pieces that are marked old only. That takes the kernel a fiftieth of the time of
        paging out (docs/kernel-facts.md 2.8), and what is unmapped meanwhile fails no large element.
        """
        is_quick = self._advice is Advice.COLD and len(pieces) >= MANY_PIECES
        if is_quick and max(map(sub, pieces.ends, pieces.starts)) <= _SMALL_BYTES:
            return _ROUND_OF_SMALL_BYTES
        return self._sizer.call_bytes()

    def _pieces_a_round(self) -> int:
        """Return how many pieces to re-check in one go where nothing is held.

        Asked for one by one they must be few, or the first answer is old before the call.
        """
        left = len(self.left)
        # As many each time: a small rest would be asked for one by one.
        count = min(self._most_pieces, -(-left // -(-left // _PIECES_A_TEXT)))
        if self._advice in (Advice.COLD, Advice.PAGEOUT) and count >= MANY_PIECES:
            return count if self._recheck.text_is_quicker(count) else _PIECES_A_ROUND
        return _PIECES_A_ROUND


def _pieces_of(planned: TargetPlan, huge_page_bytes: int) -> Segments:
    """Return all that goes to the kernel, in pieces of which none takes long to look at."""
    ranges = planned.ranges
    going = [at for at, item in enumerate(ranges) if item.identity and not item.verdict.refused]
    wholes = [ranges[at].range for at in going]
    spans = AddressColumns.from_items(wholes)
    pieces = Segments(spans.starts, spans.ends, going)
    if max(map(sub, spans.ends, spans.starts), default=0) <= PIECE_BYTES:
        return pieces
    return Segments.of(
        Segment(part.start, part.end, index)
        for whole, index in zip(wholes, going, strict=True)
        for part in split(whole, max(PIECE_BYTES, huge_page_bytes), huge_page_bytes)
    )

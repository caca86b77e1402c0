"""RSS and swap of whole ranges, where the looks within the holds do not see all of them.

A hold looks at the pieces that it advises. Of a plan that ends early, and of what is refused, the rest is
in RAM all the same, and belongs to what the range held before and after.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from memtui.advise.alignment import CALL_BYTES
from memtui.advise.range_stats import RangeStats, WholeLook
from memtui.linux.pagemap import PageReader, Source
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.pages import tally_by_span
from memtui.model.process import Liveness
from memtui.model.ranges import AddressColumns
from memtui.model.vma import VmaKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.linux.process_handle import ProcessHandle
    from memtui.model.plan import TargetPlan

_FEW, _MANY = 256, 4096
_Residency = dict[int, tuple[int, int]]


class RangeRss:
    """Looks at ranges as wholes, before the first hold and after the last. ``planned`` says which there are.

    Many small ranges that one look within a hold covers are not looked at twice: where the plan ends early
    all the same, what they held is not known. COLLAPSE looks at whole huge pages only.
    """

    def __init__(self, advice: Advice, planned: TargetPlan, handle: ProcessHandle) -> None:
        self._ranges = planned.ranges
        self._handle = handle
        self._first: _Residency = {}
        number = len(planned.ranges)
        is_large = planned.requested_bytes > CALL_BYTES or number > _MANY
        self._are_all_watched = is_large or number <= _FEW or advice is Advice.COLLAPSE

    def before(self) -> None:
        """Look for the first time."""
        watched = [at for at, item in enumerate(self._ranges) if self._are_all_watched or not item.goes]
        self._first = self._look([at for at in watched if self._ranges[at].has_pages])

    def after(self, tallies: RangeStats) -> None:
        """Look again at what was not seen whole; what can no longer be seen stays unknown."""
        seen = tallies.sums("seen_bytes")
        short = [at for at in self._first if seen[at] < self._ranges[at].requested_bytes]
        last = self._look(short)
        for at in short:
            tallies.set("whole", at, WholeLook(*self._first[at], *last.get(at, (None, None))))

    def _look(self, wanted: Sequence[int]) -> _Residency:
        """Return RSS and swap of ranges by their number; empty where they cannot be seen."""
        if not wanted:
            return {}
        spans = AddressColumns.from_items([self._ranges[at].range for at in wanted])
        try:
            reader = PageReader(self._handle)
            # By pread it would take long where little is populated.
            looks = reader.each_look(spans) if reader.source is Source.SCAN else None
            if looks is None:
                return {}
            found = tally_by_span(spans, chain.from_iterable(looks))
            # Of one that has exited or exec'ed nothing is read, without an error.
            if self._handle.standing() is not Liveness.ALIVE:
                return {}
        except MemtuiError:
            # It has gone: the outcome says so.
            return {}
        pairs = zip(wanted, found.rss_bytes, found.swap_bytes, strict=True)
        # The page table has hugetlb memory as present; RSS leaves it out (docs/kernel-facts.md 3.2).
        return {at: (0 if self._ranges[at].kind is VmaKind.HUGETLB else rss, swap) for at, rss, swap in pairs}

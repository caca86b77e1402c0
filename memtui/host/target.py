"""A target on this machine: the process held open, and the last look at its map."""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_right
from typing import TYPE_CHECKING

from memtui.host.api import CHEAP_SMAPS_MS
from memtui.linux import sysinfo
from memtui.linux.capabilities import FileRights
from memtui.linux.mapped_files import with_file_facts
from memtui.linux.pagemap import PageReader, Source, residency_of_details
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.smaps_check import SmapsCheck
from memtui.linux.sorted_map import Packed
from memtui.linux.vma_table import MapTable
from memtui.model.errors import MemtuiError
from memtui.model.pages import Residency, tally
from memtui.model.process import Liveness, ProcessId
from memtui.model.verdict import MachineFacts, Verdict, judge
from memtui.model.vma import AddressSpace, MappedVma, VmaDetails

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memtui.host.target_pool import TargetPool
    from memtui.linux.rss_tracker import LiveResidency
    from memtui.model.advice import Advice
    from memtui.model.ranges import Range

_FACTS_AGE_S = 1.0
_MANY = 10_000
_GENERATIONS = itertools.count(1)


def _packed(details: Mapping[int, VmaDetails]) -> Mapping[int, VmaDetails]:
    """Return details as they are kept: few by a dict, which is quicker, many by less memory."""
    return details if len(details) < _MANY else Packed(details)


class LocalTarget:
    """A process of this machine. ``pool`` counts its users; ``labels_of`` has words for its addresses.

    Raises:
        MemtuiError: if it is not there, has no memory of its own, or may not be seen.
    """

    def __init__(
        self,
        pid: int,
        pool: TargetPool[LocalTarget],
        facts: Callable[[], MachineFacts],
        labels_of: Callable[[ProcessId], Mapping[int, str]],
    ) -> None:
        self.handle = ProcessHandle(pid)
        self.generation = next(_GENERATIONS)
        self._pool = pool
        self._facts = facts
        self._known_facts: tuple[float, MachineFacts] | None = None
        self._lock = threading.Lock()
        self._reader = PageReader(self.handle)
        self._rights = FileRights(pid)
        self._maps_text = b""
        self._table = MapTable(b"", frozenset())
        self._live: LiveResidency | None = None
        self._check = SmapsCheck()
        self._details: Mapping[int, VmaDetails] = {}
        self._details_ms: float | None = None
        self._labels = labels_of(self.handle.process)

    @property
    def process(self) -> ProcessId:
        """Who it is."""
        return self.handle.process

    @property
    def name(self) -> str:
        """Its name when it was opened, raw."""
        return self.handle.name

    @property
    def smaps_is_cheap(self) -> bool:
        """Whether smaps was read quickly enough to read it beside an action."""
        return self._details_ms is not None and self._details_ms < CHEAP_SMAPS_MS

    def standing(self) -> Liveness:
        """Return what became of it."""
        return self.handle.standing()

    def look(self, *, details: bool = False, only: Sequence[int] | None = None) -> AddressSpace:
        """Read the map with live RSS and swap; with ``details`` also smaps.

        With ``only``, the numbers are read but of VMAs at and near these addresses, if the layout is that
        of the last look; the others keep theirs.

        Raises:
            MemtuiError: if it has exited or exec'ed, or may not be read.
        """
        with self._lock:
            began = time.monotonic()
            self._read_layout()
            if details or self._reader.source is Source.SMAPS:
                # Where smaps is all there is, it is what the live numbers come from.
                self._read_details()
            residency = self._residency(only, details=details)
            return AddressSpace(
                process=self.process,
                vmas=self._table,
                rss_bytes=None if residency is None else residency.rss_bytes,
                swap_bytes=None if residency is None else residency.swap_bytes,
                details=self._details,
                labels=self._labels,
                swap_by_smaps=self._check.starts,
                source="none" if residency is None else self._reader.source.value,
                cost_ms=(time.monotonic() - began) * 1000,
            )

    def judge(self, row: MappedVma, advice: Advice) -> Verdict:
        """Return what is expected of an advice on one VMA."""
        now = time.monotonic()
        if self._known_facts is None or now - self._known_facts[0] > _FACTS_AGE_S:
            self._known_facts = (now, self._facts())
        return judge(row, advice, self._known_facts[1], self._rights.may_write)

    def may_write(self, row: MappedVma) -> bool | None:
        """Whether this operator owns the file of a VMA, or may write it; None if that is not known."""
        return self._rights.may_write(row)

    def measure(self, part: Range) -> tuple[int, int | None] | None:
        """Return RSS and swap of a part of a VMA, in bytes; None where that cannot be seen.

        Raises:
            MemtuiError: if it has gone.
        """
        with self._lock:
            runs = self._reader.runs((part,))
            if runs is None:
                return None
            rss, swap, _huge = tally(runs)
            start = self._table.starts[bisect_right(self._table.starts, part.start) - 1]
            if not swap or start not in self._check.starts:
                return rss, swap
            return rss, self._reader.without_markers(runs)

    def acquire(self) -> bool:
        """Count one user more; False if its last user has gone before."""
        return self._pool.acquire(self)

    def release(self) -> None:
        """Count one user less; with the last one its files are closed."""
        self._pool.release(self)

    def dispose(self) -> None:
        """Close its files: for the pool."""
        self.handle.close()

    def _read_layout(self) -> None:
        text = self.handle.read_maps(self._maps_text)
        if text is self._maps_text:
            return
        table = MapTable(text, sysinfo.shmem_devices(self.process.pid))
        if self._details:
            # What smaps said of a VMA is kept while the very same VMA stands.
            same = self._table.common(table)
            self._details = _packed({start: row for start, row in self._details.items() if start in same})
        self._maps_text, self._table = text, table
        self._live = self._reader.live(table)
        self._check.lay_out(table, self._of_shared_memory(), self._details)

    def _read_details(self) -> None:
        began = time.monotonic()
        details = self._reader.details()
        details.update(with_file_facts(self.handle, self._reader, self._table, details))
        self._details = _packed(details)
        self._details_ms = (time.monotonic() - began) * 1000

    def _of_shared_memory(self) -> Sequence[int]:
        """Return which VMAs map shared memory, those included of which only their pages tell."""
        found, table = self._table.of_shared_memory(), self._table
        hidden = [
            at
            for at in table.on_virtual_devices()
            if (row := self._details.get(table.starts[at])) is not None and row.in_shmem
        ]
        return sorted({*found, *hidden}) if hidden else found

    def _residency(self, only: Sequence[int] | None, *, details: bool) -> Residency | None:
        """Return RSS and swap; ``details`` tells that smaps was read just before."""
        if self._reader.source is Source.SMAPS:
            return residency_of_details(self._table, self._details)
        try:
            if self._live is None:
                seen = self._reader.residency(self._table)
            else:
                self._live.read(None if details else only)
                seen = Residency(self._live.rss_bytes, self._live.swap_bytes, self._live.marked)
        except MemtuiError:
            if self.handle.standing() is not Liveness.ALIVE:
                raise self.handle.lost_error() from None
            # It lives, and its pages may not be read: the map is shown without numbers.
            return None
        if details:
            self._check.learn(self._of_shared_memory(), self._details, seen)
        return self._check.correct(seen)

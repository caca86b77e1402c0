"""Which rows a list shows, and in which order. Nothing here is drawn, and nothing asks the host."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from memtui.model.advice import Advice
from memtui.model.verdict import Verdict
from memtui.model.vma import AddressSpace, MappedVma

if TYPE_CHECKING:
    from memtui.model.filter import Filter
    from memtui.model.process import Process

ADDRESS = "address"
"""The order of a map as the kernel writes it."""

LIVE = frozenset({"rss", "swap", "faults"})
"""What changes from one look to the next; also the keys of filters that do."""
_LOOKED_UP = frozenset({"flag", "will"})
_LARGEST_FIRST = LIVE | {"size"}
_CHUNK = 1024

JudgeRow = Callable[[MappedVma, Advice], Verdict]
"""The verdict of a VMA for an advice; may read files."""
Stale = Callable[[], bool]
"""Whether nobody waits for the answer any more."""


class Superseded(Exception):
    """Another question came, and this one's answer would be thrown away."""


class Sorting(NamedTuple):
    """What a list is sorted by: numbers the largest first, text from A; ``inverted`` turns that round."""

    key: str
    inverted: bool = False

    @property
    def is_downward(self) -> bool:
        """Whether the largest stands first."""
        return (self.key in _LARGEST_FIRST) is not self.inverted

    def turned(self) -> Sorting:
        """Return the other direction."""
        return Sorting(self.key, not self.inverted)

    def moved(self, keys: Sequence[str], step: int) -> Sorting:
        """Return the sorting by the key ``step`` columns on."""
        at = keys.index(self.key) if self.key in keys else -1 if step > 0 else 0
        return Sorting(keys[(at + step) % len(keys)]) if keys else self


class Arrangement(NamedTuple):
    """What of a map is shown, and how it is sorted."""

    wanted: Filter | None = None
    sorting: Sorting = Sorting(ADDRESS)

    @property
    def is_plain(self) -> bool:
        """Whether it is all of the map as the kernel writes it."""
        return self.wanted is None and self.sorting == Sorting(ADDRESS)

    @property
    def is_live(self) -> bool:
        """Whether a look at the same layout may change it."""
        return self.sorting.key in LIVE or (self.wanted is not None and is_live(self.wanted))


def is_live(wanted: Filter) -> bool:
    """Whether a look at the same layout may change what a filter takes."""
    return not wanted.keys.isdisjoint(LIVE | _LOOKED_UP)


def matching(space: AddressSpace, wanted: Filter, judge: JudgeRow, stale: Stale) -> list[int]:
    """Return the VMAs that a filter takes.

    Raises:
        Superseded: as soon as nobody waits for them any more.
    """
    found = []
    nothing: repeat[None] = repeat(None)
    details, labels = space.details, space.labels
    numbers = zip(space.vmas, space.rss_bytes or nothing, space.swap_bytes or nothing, strict=False)
    for at, (vma, rss, swap) in enumerate(numbers):
        if at % _CHUNK == 0 and stale():
            raise Superseded
        row = MappedVma(vma, rss, swap, details.get(vma.start), labels.get(vma.start))

        def judged(advice: Advice, row: MappedVma = row) -> Verdict:
            return judge(row, advice)

        if wanted.matches_vma(row, judged):
            found.append(at)
    return found


def arrange(space: AddressSpace, how: Arrangement, judge: JudgeRow, stale: Stale) -> Sequence[int]:
    """Return which VMAs are shown, in their order; ``sequence[row]`` is the index of the VMA.

    Raises:
        Superseded: as soon as nobody waits for it any more.
    """
    chosen: Sequence[int] = range(len(space))
    if how.wanted is not None:
        chosen = matching(space, how.wanted, judge, stale)
    if how.sorting.key == ADDRESS:
        return chosen[::-1] if how.sorting.is_downward else chosen
    keys = _keys(space, how.sorting.key)
    if stale():
        raise Superseded
    return sort_rows(chosen, keys, downward=how.sorting.is_downward)


def _keys(space: AddressSpace, key: str) -> Sequence[Any]:
    if key == "rss":
        return space.rss_bytes or [None] * len(space)
    if key == "swap":
        return space.swap_bytes or [None] * len(space)
    if key == "size":
        return [vma.size_bytes for vma in space.vmas]
    if key == "perm":
        return [vma.perms for vma in space.vmas]
    if key == "kind":
        return [vma.kind.value for vma in space.vmas]
    labels = space.labels
    return [(labels.get(vma.start) or vma.name.rpartition("/")[2]).casefold() for vma in space.vmas]


def sort_rows(chosen: Sequence[int], keys: Sequence[Any], *, downward: bool) -> Sequence[int]:
    """Return ``chosen`` sorted by their keys; what is not known stands last, equals stay as they are."""
    unknown: list[int] = []
    if None in keys:
        unknown = [at for at in chosen if keys[at] is None]
        chosen = [at for at in chosen if keys[at] is not None]
    return [*sorted(chosen, key=keys.__getitem__, reverse=downward), *unknown]


def row_at(space: AddressSpace, order: Sequence[int] | None, start: int) -> int | None:
    """Return the row of the VMA at an address, or behind it; None if there is none or it is not shown."""
    if not len(space):
        return None
    at = bisect_left(space.vmas, start + 1, key=lambda vma: vma.end)
    at = min(at, len(space) - 1)
    if order is None:
        return at
    try:
        return order.index(at)
    except ValueError:
        return None


def next_of(rows: Sequence[int], origin: int, step: int) -> int:
    """Return which of ascending ``rows`` comes ``step``-next from ``origin``, going round; 0 takes it too.

    Raises:
        IndexError: if there are none.
    """
    if not rows:
        raise IndexError("nothing matches")
    if step < 0:
        return (bisect_left(rows, origin) + step) % len(rows)
    return (bisect_left(rows, origin + min(step, 1)) + max(0, step - 1)) % len(rows)


# Processes


def sorted_processes(processes: Sequence[Process], sorting: Sorting) -> list[Process]:
    """Return processes in order, those of which it is not known last, equals by pid."""
    by_pid = sorted(processes, key=lambda process: process.id.pid)
    keys = [_process_key(process, sorting.key) for process in by_pid]
    order = sort_rows(range(len(by_pid)), keys, downward=sorting.is_downward)
    return [by_pid[at] for at in order]


def _process_key(process: Process, key: str) -> Any:
    if key == "rss":
        return process.rss_bytes
    if key == "swap":
        return process.swap_bytes
    if key == "faults":
        return process.major_faults
    if key == "user":
        return process.user
    if key == "state":
        return process.state
    if key == "name":
        return process.name.casefold()
    if key == "command":
        return (process.command or process.name).casefold()
    return process.id.pid


def as_tree(processes: Sequence[Process], known: Sequence[Process]) -> list[tuple[Process, str]]:
    """Return processes below their parents, each with the lines that are drawn before it.

    Brothers stay in the order of ``processes``. Where a parent is not among them, its nearest forefather
    in ``known`` that is stands for it.
    """
    shown = {process.pid for process in processes}
    parents = {process.pid: process.parent_pid for process in known}
    children: dict[int | None, list[Process]] = {}
    for process in processes:
        children.setdefault(_forefather(process, shown, parents), []).append(process)
    rows: list[tuple[Process, str]] = []
    # Not by recursion: a chain of processes may be longer than Python's stack.
    waiting = [(process, "", "") for process in reversed(children.pop(None, []))]
    while waiting:
        process, before, own = waiting.pop()
        rows.append((process, own))
        below = children.pop(process.pid, [])
        for at, child in reversed(list(enumerate(below))):
            is_last = at + 1 == len(below)
            child_before = before + ("   " if is_last else "│  ")
            waiting.append((child, child_before, before + ("└─ " if is_last else "├─ ")))
    # A snapshot of a changing machine may hold a ring of parents, which hangs nowhere.
    return [*rows, *((process, "") for below in children.values() for process in below)]


def _forefather(process: Process, shown: set[int], parents: dict[int, int | None]) -> int | None:
    seen = {process.pid}
    parent = process.parent_pid
    while parent is not None and parent not in shown and parent not in seen:
        seen.add(parent)
        parent = parents.get(parent)
    return parent if parent in shown and parent not in seen else None

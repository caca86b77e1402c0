"""Hold the calls as strace saw them against the target's own log of its map. Nothing of memtui is used.

Times are of the monotonic clock, in ns. What the target's log cannot decide (a call of the target that
was under way) counts for memtui, never against it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Identity = tuple[str, int, int]
NOTHING: Identity = ("----", 0, 0)

FOREVER = 1 << 62

_LINE = re.compile(r"(\d+)\.(\d+) (\w+)\((.*)\) = (-?\d+).*$")
_MADVISE = re.compile(r"\d+<pid:(\d+)>, (NULL|\[.*\]), (\d+), (\w+), 0$")
_ELEMENT = re.compile(r"\{iov_base=(0x[0-9a-f]+|NULL), iov_len=(\d+)\}")
_MAP_QUERY = re.compile(r"\d+</proc/(\d+)/maps>, _IOC\([^)]*, 0x66, 0x11, ")
_PAGE_SCAN = re.compile(r"\d+</proc/(\d+)/pagemap>, _IOC\([^)]*, 0x66, 0x10, ")


class Event(NamedTuple):
    """A system call of the engine. ``what`` is ``advise``, ``query`` (of the map) or ``scan`` (of pages).

    It was made at some time from ``begin`` to ``end``.
    """

    begin: int
    end: int
    what: str
    pid: int
    result: int
    elements: tuple[tuple[int, int], ...] = ()


@dataclass
class History:
    """What happened to one page: ascending."""

    begun: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    states: list[Identity] = field(default_factory=list)

    def possible(self, begin: int, end: int) -> set[Identity]:
        """Return all that the page may have been at some moment from ``begin`` to ``end``."""
        at = bisect_right(self.ended, begin)
        found = {self.states[at - 1] if at else NOTHING}
        while at < len(self.states) and self.begun[at] < end:
            found.add(self.states[at])
            at += 1
        return found


@dataclass
class Arena:
    """The addresses of one thread of the target."""

    start: int
    end: int
    page: int
    full: bool
    states: dict[int, Identity] = field(default_factory=dict)


@dataclass
class Logs:
    """All logs of a run: of the target, of the driver, and of strace (by the real clock)."""

    arenas: list[Arena]
    operations: list[tuple[int, int, int, int, int, int]]
    transactions: list[dict[str, Any]]
    calls: list[Event]


@dataclass
class Verdict:
    """What the witness found: ``wrong`` must be empty; ``count`` says how much was looked at."""

    wrong: list[str] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)


def read_logs(folder: Path) -> Logs:
    """Read the logs of a run."""
    arenas: list[Arena] = []
    operations: list[tuple[int, int, int, int, int, int]] = []
    for line in (folder / "target.log").read_text("ascii").splitlines():
        words = line.split()
        if words[0] == "arena":
            number, start, pages, page, count = map(int, words[1:])
            assert number == len(arenas)
            arenas.append(Arena(start, start + pages * page, page, count >= 399_996))
        elif words[0] == "state":
            identity = (words[3], int(words[4]), int(words[5]))
            arenas[int(words[1])].states[int(words[2])] = identity
        else:
            thread, begun, took, first, size, state = map(int, words)
            operations.append((thread, begun, begun + took, first, size, state))
    transactions = [json.loads(line) for line in (folder / "driver.log").read_text("ascii").splitlines()]
    calls = [
        event
        for path in sorted(folder.glob("strace.*"))
        for event in _of_a_thread(path.read_text("utf-8", "replace").splitlines())
    ]
    return Logs(arenas, operations, transactions, sorted(calls))


def _of_a_thread(lines: list[str]) -> Iterator[Event]:
    """Read what strace saw of one thread.

    strace takes the time it prints when the thread stops before a call, and the one from which it counts
    what the call took only when it has decoded and printed all of it. If it has to wait for a CPU in
    between, begin plus duration comes before the call. Sure to come after it is the thread's next call.
    """
    following: int | None = None
    events: list[Event] = []
    for line in reversed(lines):
        found = _LINE.match(line)
        if found is None:
            if "process_madvise" in line:
                raise ValueError(f"not understood: {line[:200]}")
            continue
        begin = int(found[1]) * 10**9 + int(found[2].ljust(9, "0"))
        events += _events(line, found, begin, FOREVER if following is None else following)
        following = begin
    return reversed(events)


def _events(line: str, found: re.Match[str], begin: int, end: int) -> Iterator[Event]:
    name, arguments, result = found.groups()[2:]
    if name == "process_madvise":
        asked = _MADVISE.match(arguments)
        if asked is None:
            raise ValueError(f"not understood: {line[:200]}")
        elements = tuple((int(base, 16), int(base, 16) + int(size)) for base, size in _elements(asked[2]))
        if len(elements) != int(asked[3]):
            raise ValueError(f"elements are missing: {line[:200]}")
        if elements:
            yield Event(begin, end, "advise", int(asked[1]), int(result), elements)
    elif name == "ioctl":
        for what, pattern in (("query", _MAP_QUERY), ("scan", _PAGE_SCAN)):
            of = pattern.match(arguments)
            if of is not None:
                yield Event(begin, end, what, int(of[1]), int(result))


def _elements(text: str) -> list[tuple[str, str]]:
    return [("0x0" if base == "NULL" else base, size) for base, size in _ELEMENT.findall(text)]


class Witness:
    """Judges the transactions of a run."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self.verdict = Verdict()
        self._histories: dict[int, History] = {}
        times: list[int] = []
        for thread, begun, ended, first, size, state in logs.operations:
            arena = logs.arenas[thread]
            times += (begun, ended)
            for page in range(first, first + size):
                history = self._histories.setdefault(arena.start + page * arena.page, History())
                history.begun.append(begun)
                history.ended.append(ended)
                history.states.append(arena.states[state])
        self._times = sorted(times)
        self._page = logs.arenas[0].page
        if any(arena.full for arena in logs.arenas):
            self.verdict.wrong.append("the target's log is full")

    def judge(self) -> Verdict:
        """Look at every transaction, and at the calls that belong to none."""
        begins = [row["begin"] - row["monotonic"] + row["real"] for row in self._logs.transactions]
        of: list[list[Event]] = [[] for _ in begins]
        for event in self._logs.calls:
            at = bisect_right(begins, event.begin) - 1
            row = self._logs.transactions[at] if at >= 0 else None
            ahead = row["real"] - row["monotonic"] if row is not None else 0
            if row is None or event.begin - ahead > row["end"]:
                if event.what == "advise":
                    self.verdict.wrong.append(f"a call outside all transactions: {event}")
                continue
            end = min(event.end - ahead, row["end"])
            of[at].append(event._replace(begin=event.begin - ahead, end=end))
        for row, events in zip(self._logs.transactions, of, strict=True):
            _Transaction(self, row, events).judge()
        return self.verdict

    def pages(self, start: int, end: int) -> range:
        """Return the addresses of the pages of a stretch."""
        return range(start, end, self._page)

    def possible(self, address: int, begin: int, end: int) -> set[Identity]:
        """Return all that may have stood at an address at some moment of a time."""
        history = self._histories.get(address)
        return {NOTHING} if history is None else history.possible(begin, end)

    def changes(self, begin: int, end: int) -> int:
        """Return how often the target began or ended a change of its map between two moments."""
        return bisect_left(self._times, end) - bisect_right(self._times, begin)


class _Transaction:
    """One transaction, and the engine's calls in it."""

    def __init__(self, witness: Witness, row: dict[str, Any], events: list[Event]) -> None:
        self._witness = witness
        self._row = row
        self._calls = [event for event in events if event.what == "advise"]
        self._count = witness.verdict.count
        self._held = row["freeze"] != "off"
        first = self._calls[0].begin if self._calls else row["end"]
        last = self._calls[-1].end if self._calls else row["end"]
        # The first query of a transaction only asks whether the call is there.
        queries = [event for event in events if event.what == "query" and event.end <= first][1:]
        self._recheck = _times_of(queries)
        if self._held and row["rehearsed"] and self._calls and not queries:
            # The text of the map was what it was before the hold. It was read before the pages were.
            scans = [event for event in events if event.what == "scan" and event.end <= first]
            self._recheck = _times_of(scans[-1:])
            self._count["holds that were rehearsed"] += 1
        self._last = last if self._calls else (self._recheck or (0, row["end"]))[1]
        self._second_look = _times_of([e for e in events if e.what == "query" and e.begin >= last])
        # Only the first scan behind the calls is sure to be of the hold, and only its beginning is known.
        looks = self._calls[-1:] or queries[-1:]
        looks += [event for event in events if event.what == "scan" and event.begin >= last][:1]
        self._last_look = looks[-1].begin if looks else 0
        self._owners: dict[int, Identity] = {}
        for start, end, perms, inode, delta in row["marks"]:
            for address in witness.pages(start, end):
                self._owners[address] = (perms, inode, delta)
        self._asked: set[int] = set()
        self._advised: set[int] = set()
        for call in self._calls:
            left = call.result
            for start, end in call.elements:
                self._asked.update(witness.pages(start, end))
                left -= end - start
                if left >= 0:
                    self._advised.update(witness.pages(start, end))

    def judge(self) -> None:
        """Apply all rules to it."""
        self._count["transactions"] += 1
        self._count["calls"] += len(self._calls)
        self._count["advised pages"] += len(self._advised)
        self._count[f"outcome {self._row['outcome']}"] += 1
        if self._row["freeze"] != self._row["method"]:
            self._wrong(f"worked with {self._row['freeze']}")
        self._only_what_was_marked()
        self._all_that_stands()
        self._as_reported()
        if self._held:
            self._stood_still()
        else:
            self._raced_is_told()

    def _wrong(self, words: str) -> None:
        row = self._row
        self._witness.verdict.wrong.append(f"{row['method']} transaction {row['number']}: {words}")

    def _only_what_was_marked(self) -> None:
        """Nothing is advised but what was marked, where at the re-check the marked mapping stood."""
        if any(call.pid != self._row["pid"] for call in self._calls):
            self._wrong("a call on another process")
        if self._calls and self._recheck is None:
            self._wrong("advised without a re-check")
            return
        for address in sorted(self._asked):
            marked = self._owners.get(address)
            if marked is None:
                self._wrong(f"{address:x} was advised and not marked")
            elif self._recheck and marked not in self._witness.possible(address, *self._recheck):
                self._wrong(f"{address:x} was advised, and had changed before the re-check")

    def _all_that_stands(self) -> None:
        """Whatever of the plan stood from the re-check to the last call was advised.

        With off it was asked for: an element fails as a whole where a part of it went just before.
        """
        row = self._row
        not_held = self._held and not row["holds"] and any(goes for _, _, goes, *_ in row["ranges"])
        if row["outcome"] == "freeze_lost" or not_held:
            self._count["not held to the end"] += 1
            return
        reached = self._advised if self._held else self._asked
        goes = {
            address
            for start, end, goes, *_ in row["ranges"]
            for address in (self._witness.pages(start, end) if goes else ())
        }
        self._count["planned pages"] += len(goes)
        for address, marked in self._owners.items():
            # Of what the plan refused: only where the marked mapping stood from the marking on.
            begin = self._recheck[0] if address in goes and self._recheck else row["begin"]
            stood = self._witness.possible(address, begin, self._last) == {marked}
            self._count["standing pages"] += stood and address in goes
            if stood and address not in reached:
                self._wrong(f"{address:x} stood and was not advised")

    def _as_reported(self) -> None:
        """What memtui says was advised is what the kernel said."""
        for start, end, _goes, advised, _outcome in self._row["ranges"]:
            pages = self._witness.pages(start, end)
            size = pages.step * sum(address in self._advised for address in pages)
            if size != advised:
                self._wrong(f"{start:x}-{end:x}: {advised} bytes reported as advised, {size} seen")

    def _stood_still(self) -> None:
        """The map is one and the same from the re-check to the last look."""
        if self._recheck is None or self._row["outcome"] == "freeze_lost":
            return
        changes = self._witness.changes(self._recheck[0], self._last_look)
        if changes:
            self._wrong(f"the target changed its map while held ({changes} times)")
        if self._calls:
            self._count["map reads while held"] += self._row["maps_read"]
            self._count["holds with 50 reads or more"] += self._row["maps_read"] >= 50
            if self._row["maps_seen"] != 1:
                self._wrong(f"{self._row['maps_seen']} different maps were read while held")

    def _raced_is_told(self) -> None:
        """What the second look must have found changed is told as raced, and only what it may have."""
        if not self._calls:
            return
        if self._second_look is None:
            self._wrong("there was no second look")
            return
        for start, end, _goes, _advised, outcome in self._row["ranges"]:
            asked = [address for address in self._witness.pages(start, end) if address in self._asked]
            found = [(self._owners[a], self._witness.possible(a, *self._second_look)) for a in asked]
            changed = any(marked not in possible for marked, possible in found)
            may_be = any(possible != {marked} for marked, possible in found)
            self._count["raced ranges"] += outcome == "raced"
            self._count["ranges sure to have raced"] += changed
            if changed and outcome != "raced":
                self._wrong(f"{start:x}-{end:x} raced and is told as {outcome}")
            if outcome == "raced" and not may_be:
                self._wrong(f"{start:x}-{end:x} is told as raced and did not")


def _times_of(queries: list[Event]) -> tuple[int, int] | None:
    return (queries[0].begin, queries[-1].end) if queries else None


def judge(folder: Path) -> Verdict:
    """Judge the logs in a folder."""
    return Witness(read_logs(folder)).judge()

"""A re-check that was rehearsed before the hold: a map that changed since is seen, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memtui.advise import recheck
from memtui.advise.recheck import Recheck
from memtui.advise.segments import Segment
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.procfs import parse_maps
from memtui.linux.syscalls import MapQuery
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import Outcome
from memtui.model.vma import VmaIdentity
from tests.kernel.toolkit import PAGE, Child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COUNT = 100


@pytest.fixture
def handle(child: Child) -> Iterator[ProcessHandle]:
    opened = ProcessHandle(child.pid)
    yield opened
    opened.close()


def _pieces(handle: ProcessHandle) -> tuple[list[Segment], list[VmaIdentity]]:
    # The text tells of [vsyscall] and PROCMAP_QUERY does not; it is never advised.
    vmas = [vma for vma in parse_maps(handle.read_maps(), frozenset()) if vma.name != "[vsyscall]"]
    pieces = [Segment(vma.start, vma.end, number) for number, vma in enumerate(vmas)]
    return pieces, [vma.identity for vma in vmas]


@pytest.mark.parametrize("rehearsed", [True, False])
def test_what_changed_since_the_rehearsal_is_seen(
    child: Child, handle: ProcessHandle, monkeypatch: pytest.MonkeyPatch, rehearsed: bool
) -> None:
    # However long reading takes here.
    monkeypatch.setattr(recheck, "_QUERY_S", 1.0)
    start = child.map(4 * PAGE, fill=1)
    pieces, identities = _pieces(handle)
    ours = next(piece for piece in pieces if piece.start <= start < piece.end)
    check = Recheck(handle)
    asked = 0
    real = check._ask

    def ask(address: int) -> object:
        nonlocal asked
        asked += 1
        return real(address)

    monkeypatch.setattr(check, "_ask", ask)
    if rehearsed:
        check.rehearse(pieces, identities)
    same = check.check(pieces, identities)
    assert (same.standing, same.changed, same.gone) == (pieces, [], [])
    assert (asked == 0) == rehearsed
    if rehearsed:
        check.rehearse(pieces, identities)
    child.do("unmap", address=start, size=PAGE)
    asked = 0
    other = check.check(pieces, identities)
    assert asked
    assert other.gone == [Segment(start, start + PAGE, ours.owner)]
    assert (
        sum(piece.end - piece.start for piece in other.standing)
        == sum(piece.end - piece.start for piece in pieces) - PAGE
    )


def test_a_rehearsal_is_for_the_next_check_of_the_same_pieces_only(
    child: Child, handle: ProcessHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recheck, "_QUERY_S", 1.0)
    pieces, identities = _pieces(handle)
    check = Recheck(handle)
    check.rehearse(pieces, identities)
    assert check.check(pieces[:1], identities).standing == pieces[:1]
    assert check._rehearsed is None


def test_a_rehearsal_is_not_kept_where_asking_is_quicker(child: Child, handle: ProcessHandle) -> None:
    pieces, identities = _pieces(handle)
    for _ in range(COUNT):
        check = Recheck(handle)
        check.rehearse(pieces[:1], identities)
        assert check._rehearsed is None


@pytest.mark.parametrize("when", ["never", "before the re-check", "behind the call"])
def test_many_pieces_that_nothing_holds_are_re_checked_by_the_text(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(recheck, "_QUERY_S", 1.0)
    start = child.do("map_pages", count=COUNT, fill=1)
    pages = [start + 2 * number * PAGE for number in range(COUNT)]
    gone = pages[COUNT // 2]
    asked: list[int] = []
    real_ask, real_call = MapQuery.at_or_after, syscalls.process_madvise

    def ask(query: MapQuery, address: int) -> object:
        asked.append(address)
        return real_ask(query, address)

    def call(pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
        result = real_call(pidfd, elements, advice, flags)
        if elements and when == "behind the call":
            child.do("unmap", address=gone, size=PAGE)
        return result

    monkeypatch.setattr(MapQuery, "at_or_after", ask)
    monkeypatch.setattr(syscalls, "process_madvise", call)
    with LocalHost(tmp_path, journal_dir=tmp_path / "holds") as host:
        target = host.open(child.pid)
        marks = tuple(Mark(Range(page, page + PAGE), None) for page in pages)
        plan = host.plan(Advice.COLD, [Selection(target, marks)], Freeze.OFF)
        if when == "before the re-check":
            child.do("unmap", address=gone, size=PAGE)
        (report,) = host.apply(plan)
    # Only whether the kernel has the query at all.
    assert asked == [0]
    outcomes = {item.planned.range.start: item.outcome for item in report.ranges}
    of_it = outcomes.pop(gone)
    assert set(outcomes.values()) <= {Outcome.DONE, Outcome.UNVERIFIED}
    if when == "never":
        assert of_it in (Outcome.DONE, Outcome.UNVERIFIED)
    else:
        assert of_it is (Outcome.RACED if when == "behind the call" else Outcome.GONE)
    advised = COUNT - (when == "before the re-check")
    assert report.advised_bytes == advised * PAGE

"""Swap is what smaps says, and never what only looks like it: markers, droppable and hugetlb memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.host.target import LocalTarget
from memtui.linux import folios, pagemap
from memtui.linux.pagemap import Source
from memtui.linux.process_handle import ProcessHandle
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark, Plan
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from memtui.model.vma import MappedVma, VmaKind
from memtui.render.effect import describe_range_effect, summary
from memtui.render.forecast import forecast_in_words
from tests.conftest import need
from tests.kernel.mappings import drain_batches
from tests.kernel.toolkit import HUGE, MIB, PAGE, RESIDUE_BYTES, Child, at, memtui, rows, smaps

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 64 * MIB
TOUCHED = 4 * MIB
MADV_PAGEOUT = 21


def do(child: Child, command: str, **arguments: object) -> None:
    """Have the child do what not every kernel has."""
    try:
        child.do(command, **arguments)
    except AssertionError as error:
        need(False, f"not on this kernel: {command}: {error}")


def row_of(target: LocalTarget, start: int, *, details: bool = True) -> MappedVma:
    space = target.look(details=details)
    return next(row for row in space.rows() if row.vma.start == start)


def plan(host: LocalHost, target: LocalTarget, advice: Advice, start: int, size: int) -> Plan:
    wanted = [Selection(target, (Mark(Range(start, start + size), None),))]
    return host.plan(advice, wanted, Freeze.OFF)


@pytest.fixture(params=["write_protect", "poison"])
def marked(child: Child, request: pytest.FixtureRequest) -> int:
    """64 MiB of which 4 MiB are touched, and the rest is but marked."""
    start = child.map(SIZE, no_reserve=True)
    child.do("dirty", address=start, size=TOUCHED, step=PAGE)
    if request.param == "write_protect":
        do(child, "write_protect", address=start, size=SIZE)
    else:
        do(child, "poison", address=start, size=SIZE, skip=TOUCHED)
    told = at(child.pid, start)
    assert (told.start, told.end) == (start, start + SIZE)
    assert (told.rss, told.swap) == (TOUCHED, 0)
    return start


@pytest.fixture(params=list(Source))
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Each way of reading the pages."""
    found: Source = request.param

    class Lesser(pagemap.PageReader):
        def __init__(self, handle: ProcessHandle, _best: Source = Source.SCAN) -> None:
            super().__init__(handle, found)

    monkeypatch.setattr("memtui.host.target.PageReader", Lesser)
    return found


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The types of swap entries cannot be seen, as without CAP_SYS_ADMIN."""
    real = pagemap.os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        if Path(f"/proc/self/fd/{fd}").readlink().name != "pagemap":
            return data
        top = (1 << 64) - (1 << 55)
        entries = (int.from_bytes(data[at : at + 8], "little") & top for at in range(0, len(data), 8))
        return b"".join(entry.to_bytes(8, "little") for entry in entries)

    monkeypatch.setattr("memtui.linux.pagemap.os.pread", pread)
    monkeypatch.setattr(folios.Folios, "open", staticmethod(lambda _fd: None))


def test_markers_are_not_in_swap(child: Child, host: LocalHost, marked: int, source: Source) -> None:
    target = host.open(child.pid)
    first = row_of(target, marked, details=False)
    assert first.rss_bytes == TOUCHED
    assert first.swap_bytes in (0, None), "what smaps has not told is not known"
    row = row_of(target, marked)
    assert (row.rss_bytes, row.swap_bytes) == (TOUCHED, 0)
    again = row_of(target, marked, details=False)
    assert (again.rss_bytes, again.swap_bytes) == (TOUCHED, 0)
    assert target.look().source == source.value
    target.release()


def test_markers_that_come_later_are_not_in_swap(child: Child, host: LocalHost) -> None:
    start = child.map(SIZE, no_reserve=True)
    child.do("dirty", address=start, size=TOUCHED, step=PAGE)
    target = host.open(child.pid)
    assert row_of(target, start).swap_bytes == 0
    do(child, "write_protect", address=start, size=SIZE)
    assert at(child.pid, start).swap == 0
    assert row_of(target, start, details=False).swap_bytes is None
    assert row_of(target, start).swap_bytes == 0
    target.release()


@pytest.mark.usefixtures("swap_file")
def test_what_is_in_swap_beside_markers_is_told(child: Child, host: LocalHost) -> None:
    start = child.map(SIZE, no_reserve=True)
    child.do("dirty", address=start, size=TOUCHED, step=PAGE)
    do(child, "write_protect", address=start, size=SIZE)
    drain_batches()
    child.do("madvise", address=start, size=TOUCHED, advice=MADV_PAGEOUT)
    told = at(child.pid, start)
    assert told.swap >= TOUCHED - RESIDUE_BYTES
    target = host.open(child.pid)
    row = row_of(target, start)
    assert (row.rss_bytes, row.swap_bytes) == (told.rss, told.swap)
    (willneed,) = plan(host, target, Advice.WILLNEED, start, SIZE).targets
    assert willneed.forecast_bytes == told.swap
    (part,) = plan(host, target, Advice.WILLNEED, start, SIZE // 2).targets
    assert part.forecast_bytes == told.swap
    (pageout,) = plan(host, target, Advice.PAGEOUT, start, SIZE // 2).targets
    assert {why.reason: why.count_bytes for why in pageout.reasons}[Reason.ALREADY_OUT] == told.swap
    target.release()


def test_markers_are_neither_forecast_nor_reported_as_swap(
    child: Child, host: LocalHost, marked: int
) -> None:
    target = host.open(child.pid)
    for size in (SIZE, SIZE // 2):
        (willneed,) = plan(host, target, Advice.WILLNEED, marked, size).targets
        assert willneed.forecast_bytes == 0
        (pageout,) = plan(host, target, Advice.PAGEOUT, marked, size).targets
        reasons = {why.reason: why.count_bytes for why in pageout.reasons}
        assert Reason.ALREADY_OUT not in reasons
        assert reasons[Reason.UNTOUCHED] == size - TOUCHED
    part = plan(host, target, Advice.PAGEOUT, marked + TOUCHED, SIZE - TOUCHED)
    (report,) = host.apply(part)
    (item,) = report.ranges
    assert item.outcome is Outcome.NO_EFFECT
    assert item.reason is not Reason.ALREADY_OUT
    assert item.swap_before_bytes in (0, None)
    (report,) = host.apply(plan(host, target, Advice.WILLNEED, marked, SIZE))
    assert report.ranges[0].swap_before_bytes == at(child.pid, marked).swap == 0
    target.release()


@pytest.mark.usefixtures("hidden")
def test_who_sees_no_types_is_told_what_smaps_tells(child: Child, host: LocalHost, marked: int) -> None:
    target = host.open(child.pid)
    (whole,) = plan(host, target, Advice.PAGEOUT, marked, SIZE).targets
    assert {why.reason for why in whole.reasons} == {Reason.UNTOUCHED}
    (part,) = plan(host, target, Advice.PAGEOUT, marked, SIZE // 2).targets
    assert {why.reason for why in part.reasons} == {Reason.UNTOUCHED}, "smaps says that none of it is in swap"
    target.release()


@pytest.mark.usefixtures("hidden", "swap_file")
def test_who_sees_no_types_is_not_told_what_cannot_be_known(child: Child, host: LocalHost) -> None:
    start = child.map(SIZE, no_reserve=True)
    child.do("dirty", address=start, size=TOUCHED, step=PAGE)
    do(child, "write_protect", address=start, size=SIZE)
    drain_batches()
    child.do("madvise", address=start, size=TOUCHED, advice=MADV_PAGEOUT)
    assert at(child.pid, start).swap > 0
    target = host.open(child.pid)
    (willneed,) = plan(host, target, Advice.WILLNEED, start, SIZE // 2).targets
    assert willneed.forecast_bytes is None
    (pageout,) = plan(host, target, Advice.PAGEOUT, start, SIZE // 2).targets
    assert Reason.OUT_OR_MARKED in {why.reason for why in pageout.reasons}
    assert Reason.ALREADY_OUT not in {why.reason for why in pageout.reasons}
    target.release()


@pytest.mark.usefixtures("swap_file")
def test_a_marker_left_of_shared_memory_is_not_swap(child: Child, host: LocalHost) -> None:
    start = child.map(TOUCHED, path=child.do("memfd", size=TOUCHED), shared=True, fill=1)
    do(child, "write_protect", address=start, size=TOUCHED)
    drain_batches()
    target = host.open(child.pid)
    (report,) = host.apply(plan(host, target, Advice.PAGEOUT, start, TOUCHED))
    (item,) = report.ranges
    told = at(child.pid, start)
    assert item.moved_bytes == TOUCHED - told.rss > 0
    assert item.swapped_bytes == 0, "unmapped, as far as the page table tells"
    assert item.swap_after_bytes == told.swap
    target.release()


def droppable(child: Child) -> int:
    try:
        start = child.map(TOUCHED, droppable=True)
    except AssertionError as error:
        need(False, f"no MAP_DROPPABLE on this kernel: {error}")
    child.do("dirty", address=start, size=TOUCHED, step=PAGE)
    assert "dp" in at(child.pid, start).flags
    drain_batches()
    return start


@pytest.mark.usefixtures("swap_file")
def test_droppable_memory_is_dropped_and_told_so(child: Child, host: LocalHost) -> None:
    start = droppable(child)
    target = host.open(child.pid)
    made = plan(host, target, Advice.PAGEOUT, start, TOUCHED)
    (verdict,) = (item.verdict for item in made.targets[0].ranges)
    assert (verdict.forecast_bytes, verdict.swap_bytes) == (TOUCHED, 0)
    assert [(why.reason, why.count_bytes) for why in verdict.reasons] == [(Reason.DROPPABLE, TOUCHED)]
    assert "MAP_DROPPABLE" in forecast_in_words(Advice.PAGEOUT, made)
    (report,) = host.apply(made)
    told = at(child.pid, start)
    assert (told.rss, told.swap) == (0, 0)
    assert child.do("touch", address=start, size=TOUCHED) == 0, "its bytes are lost"
    words = " ".join(summary(report, Advice.PAGEOUT))
    assert "4M were dropped and are lost" in words
    assert "in swap" not in words.replace("read in from swap", "")
    assert "MADV_FREE" not in words
    assert describe_range_effect(report.ranges[0], Advice.PAGEOUT) == "4M left RSS: dropped (MAP_DROPPABLE)"
    target.release()


def test_droppable_memory_needs_no_swap(child: Child, host: LocalHost, no_swap: None) -> None:
    start = droppable(child)
    target = host.open(child.pid)
    made = plan(host, target, Advice.PAGEOUT, start, TOUCHED)
    assert made.forecast_bytes == TOUCHED
    host.apply(made)
    assert at(child.pid, start).rss == 0
    target.release()


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Eight huge pages of 2 MiB in the pool, on top of what stands in it."""
    pool = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    need(pool.exists(), "no hugetlb memory on this machine")
    before = int(pool.read_text())
    pool.write_text(str(before + 8))
    try:
        need(int(pool.read_text()) == before + 8, "no eight free huge pages")
        yield
    finally:
        pool.write_text(str(before))


@pytest.mark.usefixtures("huge_pages")
@pytest.mark.parametrize("sort", ["anonymous", "anonymous shared", "memfd", "memfd private", "shm"])
def test_hugetlb_memory_is_told_by_one_rule(
    child: Child, host: LocalHost, tmp_path: Path, sort: str, source: Source
) -> None:
    if sort == "shm":
        start = int(child.do("system_v", size=HUGE, hugetlb=True))
    elif sort.startswith("memfd"):
        path = child.do("memfd", size=HUGE, hugetlb=True)
        start = child.map(HUGE, align=HUGE, path=path, shared=sort == "memfd")
    else:
        start = child.map(HUGE, align=HUGE, hugetlb=True, shared=sort.endswith("shared"))
    child.do("write", address=start, size=HUGE, seed=1)
    told = at(child.pid, start)
    assert "ht" in told.flags
    held = told.fields["Private_Hugetlb"] + told.fields["Shared_Hugetlb"]
    assert (told.rss, told.swap, held) == (0, 0, HUGE)
    target = host.open(child.pid)
    for details in (True, False):
        row = row_of(target, start, details=details)
        assert (row.kind, row.rss_bytes, row.swap_bytes) == (VmaKind.HUGETLB, 0, 0)
        assert row.details is not None
        assert row.details.hugetlb_bytes == held
    target.release()
    (listed,) = (process for process in host.processes() if process.pid == child.pid)
    assert listed.hugetlb_bytes == HUGE
    if source is Source.SCAN:
        (shown,) = (
            shown
            for shown in rows(memtui("maps", child.pid, "--json", state_dir=tmp_path))
            if int(shown["start"], 16) == start
        )
        assert (shown["kind"], shown["rss_bytes"], shown["swap_bytes"]) == ("hugetlb", 0, 0)
        assert shown["hugetlb_bytes"] == HUGE
        assert "(2M of hugetlb in RAM)" in memtui("maps", child.pid, state_dir=tmp_path).stdout


def test_every_vma_has_the_swap_that_smaps_says(child: Child, host: LocalHost, marked: int) -> None:
    target = host.open(child.pid)
    space = target.look(details=True)
    told = {entry.start: entry.swap for entry in smaps(child.pid).values()}
    assert {row.vma.start: row.swap_bytes for row in space.rows()} == told
    target.release()
    assert marked in told

"""PAGEOUT's forecast held against its effect, mapping by mapping; and what the forecast of the others is."""

from __future__ import annotations

import gzip
import os
import queue
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.advise.forecast import Part
from memtui.advise.plan_lookup import PlanLookup
from memtui.format import size
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import sysinfo
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.procfs import parse_maps
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark, PlannedRange
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, TargetReport
from memtui.model.verdict import Expectation, Verdict
from memtui.model.vma import AddressSpace, VmaKind
from memtui.render.effect import summary
from memtui.ui.messages import Answered
from memtui.ui.options import UiOptions
from memtui.ui.session import Session
from tests.conftest import need
from tests.kernel import swaps
from tests.kernel.mappings import (
    CASES,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_HUGEPAGE,
    MADV_PAGEOUT,
    MADV_WILLNEED,
    SIZE,
    Spot,
    Stage,
    drain_batches,
    file_private,
    page_out,
)
from tests.kernel.toolkit import (
    HUGE,
    MIB,
    NOBODY,
    PAGE,
    REPOSITORY,
    RESIDUE_BYTES,
    Child,
    as_user,
    at,
    command,
    memtui,
    rows,
    span,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALONE = [name for name in CASES if name != "everything"]
"""Mappings that nobody else on the machine maps."""
FEW = "+sys_nice,+sys_ptrace,+dac_read_search"


@pytest.fixture(autouse=True)
def smaps_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have smaps read beside every action: how long that takes depends on what else runs."""
    monkeypatch.setattr("memtui.host.target.CHEAP_SMAPS_MS", float("inf"))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as made:
        yield made


def plan(host: LocalHost, advice: Advice, *spots: Spot) -> list[PlannedRange]:
    """Return the planned ranges of some spots, each a target of its own."""
    with ExitStack() as stack:
        wanted = []
        for spot in spots:
            target = host.open(spot.pid)
            stack.callback(target.release)
            wanted.append(Selection(target, (Mark(Range(spot.start, spot.start + spot.size), None),)))
        made = host.plan(advice, wanted, Freeze.OFF)
        return [item for target_plan in made.targets for item in target_plan.ranges]


def reasons(item: PlannedRange) -> dict[Reason, int | None]:
    return {why.reason: why.count_bytes for why in item.verdict.reasons}


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("name", ALONE)
def test_what_pageout_will_move(host: LocalHost, stage: Stage, name: str) -> None:
    spot = CASES[name](stage)
    results = page_out(host, spot)
    assert results
    wrong = [result for result in results if not result.is_right]
    assert not wrong, "nothing happens where something was forecast, or the other way round"
    close = sum(result.is_close for result in results)
    assert close >= 0.95 * len(results), [result for result in results if not result.is_close]


@pytest.mark.usefixtures("swap_file")
def test_what_pageout_will_move_of_a_whole_process(host: LocalHost) -> None:
    """Other processes that begin or end between plan and call change who maps a library: not thrice alike."""
    wrong: set[str] = set()
    for number in range(3):
        with Stage() as stage:
            results = page_out(host, CASES["everything"](stage))
        assert len(results) > 20
        assert sum(result.is_close for result in results) >= 0.95 * len(results)
        names = {f"{result.name} {result.requested}" for result in results if not result.is_right}
        wrong = names if number == 0 else wrong & names
        if not wrong:
            return
    raise AssertionError(f"wrong about anything happening, each time: {wrong}")


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("name", ALONE)
def test_every_byte_asked_for_is_forecast_or_has_a_reason(host: LocalHost, stage: Stage, name: str) -> None:
    for item in plan(host, Advice.PAGEOUT, CASES[name](stage)):
        assert item.verdict.forecast_bytes is not None
        explained = sum(why.count_bytes or 0 for why in item.verdict.reasons)
        assert item.verdict.forecast_bytes + explained == item.requested_bytes
        assert not item.verdict.is_estimate


def test_the_zero_page_is_told_from_what_was_never_touched(host: LocalHost, stage: Stage) -> None:
    start = stage.child.map(SIZE)
    stage.child.do("touch", address=start, size=SIZE // 2)
    (item,) = plan(host, Advice.PAGEOUT, stage.spot(start))
    assert reasons(item) == {Reason.ZERO_PAGE: SIZE // 2, Reason.UNTOUCHED: SIZE // 2}
    assert item.verdict.will is Expectation.NO


@pytest.mark.usefixtures("swap_file")
def test_the_reasons_have_their_bytes(host: LocalHost, stage: Stage) -> None:
    start = stage.child.map(SIZE)
    quarter = SIZE // 4
    stage.child.do("write", address=start, size=quarter, seed=1)
    drain_batches()
    stage.child.do("madvise", address=start, size=quarter, advice=MADV_PAGEOUT)
    out = at(stage.child.pid, start).swap
    assert out >= quarter - RESIDUE_BYTES
    stage.child.do("write", address=start + quarter, size=quarter, seed=1)
    stage.child.fork()
    stage.child.do("write", address=start + 2 * quarter, size=quarter, seed=1)
    for advice in (Advice.PAGEOUT, Advice.COLD):
        (item,) = plan(host, advice, stage.spot(start))
        # What stayed behind in an LRU batch of the first quarter is shared since the fork.
        assert item.verdict.forecast_bytes == quarter
        assert reasons(item) == {
            Reason.SHARED_PAGES: quarter + quarter - out,
            Reason.ALREADY_OUT: out,
            Reason.UNTOUCHED: quarter,
        }
        assert item.verdict.will is Expectation.PARTLY


def test_pageout_without_swap(host: LocalHost, stage: Stage, no_swap: None) -> None:
    """Anonymous memory stays. The pages of a file go, and those of shared memory leave RSS (not RAM)."""
    for name in ("anonymous", "huge"):
        spot = CASES[name](stage)
        (item,) = plan(host, Advice.PAGEOUT, spot)
        assert reasons(item) == {Reason.NO_SWAP: spot.size}
        (result,) = page_out(host, spot)
        assert (result.forecast, result.effect) == (0, 0), name
    for name in ("file_shared", "file_private_half_written", "shared_anonymous", "tmpfs_file", "zero_page"):
        (result,) = page_out(host, CASES[name](stage))
        assert result.is_right, name
        assert result.is_close, name


def test_pageout_without_swap_frees_what_its_owner_gave_up(
    host: LocalHost, stage: Stage, no_swap: None
) -> None:
    spot = CASES["anonymous"](stage)
    stage.child.do("madvise", address=spot.start, size=SIZE // 2, advice=MADV_FREE)
    drain_batches()
    (item,) = plan(host, Advice.PAGEOUT, spot)
    assert reasons(item) == {Reason.NO_SWAP: SIZE // 2, Reason.LAZY_FREE: SIZE // 2}
    (result,) = page_out(host, spot)
    assert result.forecast == SIZE // 2
    assert result.is_close
    assert at(spot.pid, spot.start).rss >= SIZE // 2, "what was not given up stays"


def test_swap_that_is_nearly_full_is_spent_once(
    host: LocalHost, stage: Stage, no_swap: None, tmp_path: Path
) -> None:
    """One purse for a plan: what the first target takes the second no longer has."""
    free_bytes = 6 * MIB
    with swaps.in_file(tmp_path / "swap", free_bytes + PAGE):
        free = sysinfo.memory().swap_free_bytes
        assert free is not None
        assert free <= free_bytes
        other = stage.another()
        spots = [CASES["anonymous"](stage), stage.spot(other.map(SIZE, fill=1), pid=other.pid)]
        first, second = plan(host, Advice.PAGEOUT, *spots)
        assert (first.verdict.forecast_bytes, first.verdict.will) == (SIZE, Expectation.YES)
        assert (second.verdict.forecast_bytes, second.verdict.will) == (free - SIZE, Expectation.PARTLY)
        assert reasons(second) == {Reason.NO_SWAP: 2 * SIZE - free}
        for spot, item in zip(spots, (first, second), strict=True):
            (result,) = page_out(host, spot)
            assert result.effect > 0
            assert abs(result.effect - (item.verdict.forecast_bytes or 0)) <= RESIDUE_BYTES
        stage.child.end()
        other.end()


def as_nobody(
    state_dir: Path, capabilities: str, *arguments: object, json: bool = True, freeze: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run memtui as a user with a few capabilities; no target is held."""
    more = [*(["--freeze", "off"] if freeze else []), *(["--json"] if json else [])]
    words = command("--state-dir", state_dir, *arguments, *more)
    return subprocess.run(
        as_user(NOBODY, words, capabilities),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("capabilities", ["+sys_nice,+sys_ptrace", FEW])
def test_what_not_all_could_be_seen_of_is_an_estimate(
    stage: Stage, nobodys_dir: Path, tmp_path: Path, capabilities: str
) -> None:
    """Without CAP_DAC_READ_SEARCH only smaps tells, without CAP_SYS_ADMIN large folios are hidden."""
    spot = CASES["forked_half_written"](stage)
    wanted = ("plan", "pageout", spot.pid, "--range", span(spot.start, SIZE))
    (plan_row,) = rows(as_nobody(nobodys_dir, capabilities, *wanted))
    assert plan_row["forecast_bytes"] == SIZE // 2
    assert "about 2M (estimated" in as_nobody(nobodys_dir, capabilities, *wanted, json=False).stdout
    assert "2M of 4M will leave RSS; 2M shared\n" in memtui(*wanted, state_dir=tmp_path).stdout


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize(
    ("shared", "mode", "forecast"),
    [(True, 0o644, 0), (False, 0o644, SIZE // 2), (True, 0o666, SIZE), (False, 0o666, SIZE)],
)
def test_a_file_of_another_user(
    stage: Stage, nobodys_dir: Path, shared: bool, mode: int, forecast: int
) -> None:
    """can_do_file_pageout(): they stay unless one may write it; of a private mapping what is written goes."""
    path = stage.file()
    os.chmod(path, mode)
    start = stage.mapped(path, shared=shared, align=HUGE)
    stage.child.do("dirty", address=start, size=SIZE // 2, step=PAGE)
    drain_batches()
    done = as_nobody(nobodys_dir, FEW, "advise", "pageout", stage.child.pid, "--range", span(start, SIZE))
    (report,) = rows(done)
    effect = SIZE - at(stage.child.pid, start).rss
    assert report["forecast_bytes"] == forecast
    assert forecast - RESIDUE_BYTES <= effect <= forecast
    assert (effect > 0) == (forecast > 0)
    barred = [why for why in report["ranges"][0]["reasons"] if why["reason"] == "file_not_writable"]
    assert [why["bytes"] for why in barred] == ([SIZE - forecast] if forecast < SIZE else [])


@pytest.mark.parametrize(
    "name",
    ["anonymous", "zero_page", "forked_half_written", "huge", "huge_forked_parent_wrote", "file_of_two"],
)
def test_before_linux_6_7_the_page_table_tells_as_much(stage: Stage, name: str) -> None:
    """Without PAGEMAP_SCAN: the zero page is told by smaps then."""
    spot = CASES[name](stage)
    found = []
    with ProcessHandle(spot.pid) as handle:
        reader = PageReader(handle)
        (of,) = (vma for vma in parse_maps(handle.read_maps(), frozenset()) if vma.start == spot.start)
        space = AddressSpace(handle.process, [of], None, None, reader.details())
        for source in (Source.SCAN, Source.PAGEMAP):
            study = PlanLookup(handle, sysinfo.huge_page_bytes(), None, source)
            found += study.of([Part.of(space, 0)], Advice.PAGEOUT)
    assert found[0] is not None
    assert found[0] == found[1]


@pytest.mark.usefixtures("swap_file")
def test_willneed_reads_in_what_is_out(host: LocalHost, stage: Stage) -> None:
    (item,) = plan(host, Advice.WILLNEED, CASES["half_swapped"](stage))
    out = at(stage.child.pid, item.range.start).swap
    assert item.verdict.forecast_bytes == out
    found = reasons(item)
    # It has just gone to a swap file: the kernel keeps it in the swap cache as long as it can.
    assert found.pop(Reason.SWAP_CACHED) == out
    assert item.verdict.is_estimate
    assert found == {Reason.NOTHING_SWAPPED: SIZE - out}
    start = stage.child.map(SIZE, shared=True, fill=1)
    drain_batches()
    stage.child.do("madvise", address=start, size=SIZE, advice=MADV_PAGEOUT)
    (shmem,) = plan(host, Advice.WILLNEED, stage.spot(start))
    assert shmem.verdict.forecast_bytes == at(stage.child.pid, start).swap > 0


def test_willneed_of_a_file_reads_what_is_not_in_the_page_cache(host: LocalHost, stage: Stage) -> None:
    path = stage.file()
    fd = os.open(path, os.O_RDWR)
    try:
        os.truncate(fd, SIZE // 2 - 100)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        start = stage.child.map(SIZE, path=path)
        (none,) = plan(host, Advice.WILLNEED, stage.spot(start))
        cached = SIZE // 2 - (none.verdict.forecast_bytes or 0)
        assert none.verdict.will is Expectation.YES
        assert reasons(none).get(Reason.UNTOUCHED) == SIZE // 2
        os.pread(fd, SIZE, 0)
        (all_in,) = plan(host, Advice.WILLNEED, stage.spot(start))
        assert all_in.verdict.will is Expectation.NO
        assert reasons(all_in) == {Reason.CACHED_ALREADY: SIZE // 2, Reason.UNTOUCHED: SIZE // 2}
        # A page or so may linger in a batch of the page cache.
        assert cached <= RESIDUE_BYTES
    finally:
        os.close(fd)


@pytest.mark.usefixtures("swap_file")
def test_collapse_says_by_how_much_rss_will_grow(host: LocalHost, stage: Stage) -> None:
    need(sysinfo.huge_page_bytes() == HUGE, "huge pages of 2 MiB")
    start = stage.child.map(4 * HUGE, align=HUGE)
    spot = stage.spot(start, 4 * HUGE)
    (nothing,) = plan(host, Advice.COLLAPSE, spot)
    assert reasons(nothing) == {Reason.NOTHING_TO_COLLAPSE: spot.size}
    stage.child.do("dirty", address=start, size=HUGE, step=HUGE)
    stage.child.do("write", address=start + HUGE, size=HUGE, seed=1)
    stage.child.do("madvise", address=start + 2 * HUGE, size=HUGE, advice=14)
    stage.child.do("write", address=start + 2 * HUGE, size=HUGE, seed=1)
    # Neighbours of other flags are VMAs of their own.
    items = plan(host, Advice.COLLAPSE, stage.spot(start, 2 * HUGE))
    assert sum(item.verdict.forecast_bytes or 0 for item in items) == 2 * HUGE
    before = at(stage.child.pid, start)
    target = host.open(stage.child.pid)
    try:
        made = host.plan(Advice.COLLAPSE, [Selection(target, (Mark(Range(start, start + 4 * HUGE), None),))])
        host.apply(made)
    finally:
        target.release()
    after = at(stage.child.pid, start)
    grown = sum(reasons(item).get(Reason.RSS_GROWS, 0) or 0 for item in items)
    assert (grown, after.rss - before.rss, after.huge - before.huge) == (HUGE - PAGE, HUGE - PAGE, 2 * HUGE)
    huge = [item for item in made.targets[0].ranges if Reason.ALL_HUGE in reasons(item)]
    assert [reasons(item)[Reason.ALL_HUGE] for item in huge] == [HUGE]


def test_the_reasons_name_the_cause(host: LocalHost, stage: Stage) -> None:
    """What stays in RAM stays for a reason of its own: others map none of it."""
    causes = {
        "memfd_twice": Reason.SHARED_PAGES,
        "merged": Reason.MERGED_PAGES,
        "system_v_locked": Reason.UNEVICTABLE,
        "ramfs_file": Reason.UNEVICTABLE,
        "ramfs_file_private_half_written": Reason.UNEVICTABLE,
        "ramfs_hidden": Reason.UNEVICTABLE,
        "pinned": Reason.PINNED,
        "pinned_huge": Reason.PINNED,
    }
    for name, reason in causes.items():
        spot = CASES[name](stage)
        for advice in (Advice.PAGEOUT, Advice.COLD):
            (item,) = plan(host, advice, spot)
            why = {reason: count for reason, count in reasons(item).items() if reason is not Reason.NO_SWAP}
            stays = spot.size if name in ("system_v_locked", "ramfs_file", "ramfs_hidden") else spot.size // 2
            assert why == {reason: stays}, (name, advice)


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("name", ["system_v_locked", "ramfs_file"])
def test_cold_of_what_never_leaves_ram_is_not_called_done(host: LocalHost, stage: Stage, name: str) -> None:
    """Referenced falls all the same: for reclaim, which never takes these pages."""
    spot = CASES[name](stage)
    was = at(spot.pid, spot.start).referenced
    report = applied(host, Advice.COLD, spot)
    assert at(spot.pid, spot.start).referenced < was
    assert (report.outcome, report.reason) == (Outcome.NO_EFFECT, Reason.UNEVICTABLE)
    told = " ".join(summary(report, Advice.COLD))
    assert "reclaim takes these pages first" not in told
    assert "of memory that reclaim does not take" in told


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("name", ["tmpfs_unmounted", "tmpfs_outside_of_its_root", "overlay_on_tmpfs"])
def test_shared_memory_that_no_mount_shows(
    host: LocalHost, stage: Stage, nobodys_dir: Path, name: str
) -> None:
    """It looks like a file of a disk, and is in swap once it is paged out."""
    spot = CASES[name](stage)
    (item,) = plan(host, Advice.PAGEOUT, spot)
    assert item.kind is VmaKind.SHMEM
    assert item.verdict.swap_bytes == SIZE
    report = applied(host, Advice.PAGEOUT, spot)
    swap = at(spot.pid, spot.start).swap
    assert swap >= SIZE - RESIDUE_BYTES
    told = " ".join(summary(report, Advice.PAGEOUT))
    assert f"{size(swap)} of the shared memory went to swap." in told
    assert "page cache" not in told
    target = host.open(spot.pid)
    try:
        (row,) = (row for row in target.look(details=True).rows() if row.vma.start == spot.start)
    finally:
        target.release()
    assert (row.kind, row.swap_bytes) == (VmaKind.SHMEM, swap)
    # Without CAP_SYS_ADMIN the pages' flags are hidden: what is in swap, and shared, is no file of a disk.
    done = as_nobody(nobodys_dir, FEW, "maps", spot.pid, freeze=False)
    (seen,) = (item for item in rows(done) if item["start"] == f"{spot.start:x}")
    assert (seen["kind"], seen["swap_bytes"]) == ("shmem", swap)


@pytest.mark.usefixtures("swap_file")
def test_the_page_cache_of_a_file_on_an_overlay_is_not_known(host: LocalHost, stage: Stage) -> None:
    """To cachestat(2) the file of an overlay has no page, wherever those of its layer are."""
    spot = CASES["overlay_on_a_disk"](stage)
    (item,) = plan(host, Advice.WILLNEED, spot)
    assert (item.kind, item.verdict.forecast_bytes) == (VmaKind.FILE, None)
    assert reasons(item) == {Reason.CACHE_UNKNOWN: None}
    told = " ".join(summary(applied(host, Advice.PAGEOUT, spot), Advice.PAGEOUT))
    assert "of the files also left the page cache could not be seen" in told
    assert at(spot.pid, spot.start).swap == 0


@pytest.mark.usefixtures("swap_file")
def test_shared_memory_that_was_never_written_is_not_said_to_be_in_swap(
    host: LocalHost, stage: Stage
) -> None:
    start = stage.mapped(stage.child.do("memfd", size=SIZE), shared=True)
    stage.child.do("write", address=start, size=SIZE // 4, seed=1)
    report = applied(host, Advice.PAGEOUT, stage.spot(start))
    after = at(stage.child.pid, start)
    assert after.swap <= SIZE // 4
    told = " ".join(summary(report, Advice.PAGEOUT))
    assert f"{size(after.swap)} of the shared memory went to swap." in told
    assert f"{size(SIZE - after.swap - after.rss)} of the shared memory was never written: dropped" in told


@pytest.mark.usefixtures("swap_file")
def test_own_copies_of_shared_memory_are_not_said_to_be_still_in_ram(host: LocalHost, stage: Stage) -> None:
    spot = CASES["tmpfs_file_private"](stage)
    told = " ".join(summary(applied(host, Advice.PAGEOUT, spot), Advice.PAGEOUT))
    after = at(spot.pid, spot.start)
    assert after.swap >= SIZE - 2 * RESIDUE_BYTES
    assert "still in RAM" not in told


@pytest.mark.usefixtures("swap_file")
def test_zeroes_of_huge_pages_are_freed_and_not_let_go_by_the_target(host: LocalHost, stage: Stage) -> None:
    """The kernel splits the huge page, and maps the zero page where nothing else was in it."""
    need(sysinfo.huge_page_bytes() == HUGE, "huge pages of 2 MiB")
    start = stage.child.map(2 * HUGE, align=HUGE)
    stage.child.do("madvise", address=start, size=2 * HUGE, advice=MADV_HUGEPAGE)
    for at_huge in (start, start + HUGE):
        stage.child.do("write", address=at_huge, size=HUGE // 8, seed=1)
    assert at(stage.child.pid, start).huge == 2 * HUGE
    report = applied(host, Advice.PAGEOUT, stage.spot(start, 2 * HUGE))
    after = at(stage.child.pid, start)
    assert after.rss == 0
    assert report.moved_bytes == 2 * HUGE
    told = " ".join(summary(report, Advice.PAGEOUT))
    assert "let go" not in told
    if after.swap < 2 * HUGE:
        # Before Linux 6.12 the zeroes go to swap.
        assert f"{size(2 * HUGE - after.swap)} freed (the zero page" in told
    assert report.ranges[0].swap_after_bytes == after.swap


def applied(host: LocalHost, advice: Advice, spot: Spot) -> TargetReport:
    """Apply an advice; return the report."""
    drain_batches()
    target = host.open(spot.pid)
    try:
        marks = (Mark(Range(spot.start, spot.start + spot.size), None),)
        (report,) = host.apply(host.plan(advice, [Selection(target, marks)], Freeze.OFF))
    finally:
        target.release()
    return report


COLLAPSES: dict[str, Callable[[Stage], Spot]] = {
    "anonymous": lambda stage: stage.spot(stage.child.map(SIZE, align=HUGE, fill=1)),
    "file_private": lambda stage: stage.spot(stage.mapped(stage.file(), align=HUGE)),
    "file_shared": lambda stage: stage.spot(stage.mapped(stage.file(), shared=True, align=HUGE)),
    "file_copied": lambda stage: stage.spot(stage.child.map(SIZE, path=stage.file(), align=HUGE, fill=1)),
    "file_shorter": lambda stage: stage.spot(
        stage.child.map(2 * SIZE, path=stage.file(), align=HUGE), 2 * SIZE
    ),
    "memfd": lambda stage: _memfd(stage, shared=True),
    "memfd_private": lambda stage: _memfd(stage, shared=False),
    "memfd_copied": lambda stage: _memfd(stage, shared=False, copied=PAGE),
    "memfd_all_copied": lambda stage: _memfd(stage, shared=False, copied=SIZE),
    "memfd_misaligned": lambda stage: _misaligned(stage),
    "only_read": lambda stage: _only_read(stage),
    "half_only_read": lambda stage: _only_read(stage, written=HUGE),
    "read_only": lambda stage: _read_only(stage),
    "write_protected": lambda stage: _write_protected(stage, SIZE),
    "watched": lambda stage: _watched(stage, written=SIZE),
    "watched_with_holes": lambda stage: _watched(stage, written=HUGE + PAGE),
    "pinned_start": lambda stage: _pinned_start(stage),
    "shmem_swapped": lambda stage: _shmem_swapped(stage),
}


def _misaligned(stage: Stage) -> Spot:
    path = stage.child.do("memfd", size=2 * SIZE)
    start = stage.child.map(SIZE, path=path, shared=True, align=HUGE, offset=16 * PAGE)
    stage.child.do("write", address=start, size=SIZE, seed=1)
    return stage.spot(start)


def _only_read(stage: Stage, written: int = 0) -> Spot:
    """Of the zero page alone the kernel makes no huge page."""
    start = stage.child.map(SIZE, align=HUGE)
    stage.child.do("touch", address=start, size=SIZE)
    stage.child.do("dirty", address=start, size=written, step=HUGE)
    return stage.spot(start)


def _read_only(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, align=HUGE, fill=1)
    stage.child.do("protect", address=start, size=SIZE, protection=1)
    return stage.spot(start)


def _write_protected(stage: Stage, count: int) -> Spot:
    start = stage.child.map(SIZE, align=HUGE, fill=1)
    stage.child.do("protect_from_writes", address=start, size=count)
    return stage.spot(start)


def _watched(stage: Stage, written: int) -> Spot:
    start = stage.child.map(SIZE, align=HUGE)
    stage.child.do("write", address=start, size=written, seed=1)
    stage.child.do("serve_faults", address=start, size=SIZE)
    return stage.spot(start)


def _pinned_start(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, align=HUGE, fill=1)
    stage.child.do("pin", address=start, size=PAGE)
    return stage.spot(start)


def _shmem_swapped(stage: Stage) -> Spot:
    """It is read in where it stands, out of the swap cache too."""
    spot = _memfd(stage, shared=True, copied=SIZE)
    out_of_the_swap_cache(stage, spot)
    return spot


def out_of_the_swap_cache(stage: Stage, spot: Spot) -> None:
    """Page out twice: what was only read in between needs no writing, and leaves the swap cache too."""
    for _ in range(2):
        drain_batches()
        stage.child.do("madvise", address=spot.start, size=spot.size, advice=MADV_PAGEOUT)
        stage.child.do("touch", address=spot.start, size=spot.size)
        _wait_for_writes()
    drain_batches()
    stage.child.do("madvise", address=spot.start, size=spot.size, advice=MADV_PAGEOUT)


def _wait_for_writes() -> None:
    """What is still being written stays."""

    def none_is_written() -> bool:
        lines = Path("/proc/vmstat").read_text().splitlines()
        return "nr_writeback 0" in lines

    wait_until(none_is_written, "nothing is being written")


def _memfd(stage: Stage, *, shared: bool, copied: int = 0) -> Spot:
    start = stage.mapped(stage.child.do("memfd", size=SIZE), shared=shared, align=HUGE)
    stage.child.do("dirty", address=start, size=copied, step=PAGE)
    return stage.spot(start)


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("name", COLLAPSES)
def test_what_collapse_will_make_huge(host: LocalHost, stage: Stage, name: str) -> None:
    """A number is forecast only where it comes true; of files, most kernels make no huge page."""
    need(sysinfo.huge_page_bytes() == HUGE, "huge pages of 2 MiB")
    spot = COLLAPSES[name](stage)
    was = huge_of(spot)
    (item,) = plan(host, Advice.COLLAPSE, spot)
    target = host.open(spot.pid)
    try:
        marks = (Mark(Range(spot.start, spot.start + spot.size), None),)
        (report,) = host.apply(host.plan(Advice.COLLAPSE, [Selection(target, marks)], Freeze.OFF))
    finally:
        target.release()
    effect = huge_of(spot) - was
    if item.verdict.forecast_bytes is None:
        assert name.startswith("file")
        assert Reason.FILE_HUGE_UNKNOWN in reasons(item)
    else:
        assert item.verdict.forecast_bytes == effect, (report.outcome, reasons(item))
    copied = {"memfd_copied": HUGE, "memfd_all_copied": SIZE}.get(name)
    assert reasons(item).get(Reason.OWN_COPIES) == copied
    cause = CAUSES.get(name)
    if cause is not None:
        assert cause in reasons(item)
        assert report.ranges[0].reason is cause, report.ranges[0].reason_text


CAUSES = {
    "memfd_misaligned": Reason.HUGE_MISALIGNED,
    "only_read": Reason.NOTHING_TO_COLLAPSE,
    "write_protected": Reason.WATCHED,
    "watched_with_holes": Reason.WATCHED,
    "pinned_start": Reason.PINNED,
}
"""Why not all of it becomes huge: the forecast and the report say the same."""


@pytest.mark.usefixtures("swap_file")
def test_collapse_of_what_is_in_swap_only_says_what_to_do_first(host: LocalHost, stage: Stage) -> None:
    """The kernel ends as busy, again and again: what is read in first becomes huge at once."""
    need(sysinfo.huge_page_bytes() == HUGE, "huge pages of 2 MiB")
    spot = stage.spot(stage.child.map(SIZE, align=HUGE, fill=1))
    out_of_the_swap_cache(stage, spot)
    (item,) = plan(host, Advice.COLLAPSE, spot)
    assert item.verdict.forecast_bytes == 0
    assert reasons(item)[Reason.SWAPPED_OUT] == SIZE
    report = applied(host, Advice.COLLAPSE, spot)
    assert huge_of(spot) == 0
    assert report.ranges[0].reason is Reason.SWAPPED_OUT
    assert "WILLNEED" in Reason.SWAPPED_OUT.next_step
    stage.child.do("madvise", address=spot.start, size=spot.size, advice=MADV_WILLNEED)
    # Reading goes on after the call; without it a huge page would take a try for each of its pages.
    tries = 0
    while huge_of(spot) < SIZE and tries < HUGE // PAGE // 8:
        applied(host, Advice.COLLAPSE, spot)
        tries += 1
    assert huge_of(spot) == SIZE


def huge_of(spot: Spot) -> int:
    entry = at(spot.pid, spot.start)
    return sum(entry.fields[name] for name in ("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"))


def test_whether_files_have_huge_pages_is_the_configurations_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration to be read, or with one that does not name it, nobody knows."""
    on, off = b"CONFIG_READ_ONLY_THP_FOR_FS=y\n", b"# CONFIG_READ_ONLY_THP_FOR_FS is not set\n"
    boot = f"/boot/config-{os.uname().release}"
    for files, known in (
        ({"/proc/config.gz": gzip.compress(on)}, True),
        ({"/proc/config.gz": gzip.compress(off), boot: on}, False),
        ({boot: b"CONFIG_X=y\n" + on}, True),
        ({"/proc/config.gz": b"no gzip"}, None),
        ({boot: b"CONFIG_X=y\n"}, None),
        ({}, None),
    ):
        monkeypatch.setattr(sysinfo, "_read", files.get)
        assert sysinfo.file_huge_pages.__wrapped__() is known
    name = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
    for text, may in ((b"always [never] deny\n", True), (b"never [deny] force\n", False), (None, None)):
        monkeypatch.setattr(sysinfo, "_read", {name: text}.get)
        assert sysinfo.shmem_huge_pages() is may


def test_the_explanation_of_a_vma_says_what_a_plan_would(host: LocalHost, stage: Stage) -> None:
    """What smaps alone tells is too much for COLLAPSE, and nothing for WILLNEED of a file."""
    start = stage.child.map(SIZE, align=HUGE)
    stage.child.do("dirty", address=start, size=PAGE, step=PAGE)
    for spot in (stage.spot(start), file_private(stage)):
        assert explained(host, spot) == {advice: plan(host, advice, spot)[0].verdict for advice in Advice}
    assert explained(host, stage.spot(start))[Advice.COLLAPSE].forecast_bytes == HUGE
    assert explained(host, spot)[Advice.WILLNEED].forecast_bytes == 0


def explained(host: LocalHost, spot: Spot) -> dict[Advice, Verdict]:
    """Return what the screen shows of a VMA, asked for as the screen does."""
    answers: queue.Queue[object] = queue.Queue()
    verdicts: queue.Queue[tuple[tuple[Advice, Verdict], ...]] = queue.Queue()
    session = Session(host, UiOptions(read_only=True), answers.put, sampling=False)
    target = host.open(spot.pid)
    (row,) = (row for row in target.look().rows() if row.vma.start == spot.start)
    session.start()
    try:
        session.ask_verdicts(None, target, row, verdicts.put, pytest.fail)
        answered = answers.get(timeout=20)
        assert isinstance(answered, Answered)
        answered.deliver()
    finally:
        session.stop()
    return dict(verdicts.get_nowait())


def test_a_plan_is_cancelled_soon(host: LocalHost, stage: Stage) -> None:
    target = host.open(stage.child.pid)
    cancelled = threading.Event()
    cancelled.set()
    try:
        for advice in Advice:
            with pytest.raises(MemtuiError) as caught:
                host.plan(advice, [Selection(target)], Freeze.OFF, cancelled=cancelled)
            assert caught.value.reason is Reason.CANCELLED
    finally:
        target.release()


def test_4_gib_are_looked_at_in_well_under_a_second(host: LocalHost) -> None:
    """Of 1 GiB here, so that a small machine can: a quarter of the time."""
    size = 1 << 30
    available = sysinfo.memory().available_bytes
    need(available is not None and available > 3 * size, "3 GiB of memory to spare")
    with Child() as child:
        start = child.map(size)
        child.do("dirty", address=start, size=size, step=PAGE)
        spot = Spot(child.pid, start, size)
        (warm,) = plan(host, Advice.COLD, spot)
        assert warm.verdict.forecast_bytes == size
        took = []
        for _ in range(3):
            # Not by the clock: others may have the CPU meanwhile.
            began = time.process_time()
            plan(host, Advice.COLD, spot)
            took.append(time.process_time() - began)
        assert min(took) < 0.25
        child.do("madvise", address=start, size=size, advice=MADV_DONTNEED)

"""PAGEOUT's forecast held against its effect, mapping by mapping; and what the forecast of the others is."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memtui.advise.forecast import Part
from memtui.advise.study import Study
from memtui.host import Wanted
from memtui.host.local import LocalHost
from memtui.linux import machine
from memtui.linux.handle import ProcessHandle
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.procfs import parse_maps
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.plan import Freeze, Mark, PlannedRange
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.verdict import Will
from memtui.model.vma import MappedVma
from tests.conftest import need
from tests.kernel import swaps
from tests.kernel.mappings import (
    CASES,
    MADV_DONTNEED,
    MADV_PAGEOUT,
    SIZE,
    Spot,
    Stage,
    drain_batches,
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
)

ALONE = [name for name in CASES if name != "everything"]
"""Mappings that nobody else on the machine maps."""
FEW = "+sys_nice,+sys_ptrace,+dac_read_search"


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as made:
        yield made


@pytest.fixture
def nobodys_dir() -> Iterator[Path]:
    """A state directory of the user nobody."""
    with tempfile.TemporaryDirectory(prefix="memtui-test-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with LocalHost(tmp_path, journal_dir=tmp_path / "holds") as opened:
        yield opened


def plan(host: LocalHost, advice: Advice, *spots: Spot) -> list[PlannedRange]:
    """Return the planned ranges of some spots, each a target of its own."""
    with ExitStack() as stack:
        wanted = []
        for spot in spots:
            target = host.open(spot.pid)
            stack.callback(target.close)
            wanted.append(Wanted(target, (Mark(Range(spot.start, spot.start + spot.size), None),)))
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
    assert item.verdict.will is Will.NO


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
        assert item.verdict.will is Will.PARTLY


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


def test_swap_that_is_nearly_full_is_spent_once(
    host: LocalHost, stage: Stage, no_swap: None, tmp_path: Path
) -> None:
    """One purse for a plan: what the first target takes the second no longer has."""
    free_bytes = 6 * MIB
    with swaps.in_file(tmp_path / "swap", free_bytes + PAGE):
        free = machine.memory().swap_free_bytes
        assert free is not None
        assert free <= free_bytes
        other = stage.another()
        spots = [CASES["anonymous"](stage), stage.spot(other.map(SIZE, fill=1), pid=other.pid)]
        first, second = plan(host, Advice.PAGEOUT, *spots)
        assert (first.verdict.forecast_bytes, first.verdict.will) == (SIZE, Will.YES)
        assert (second.verdict.forecast_bytes, second.verdict.will) == (free - SIZE, Will.PARTLY)
        assert reasons(second) == {Reason.NO_SWAP: 2 * SIZE - free}
        for spot, item in zip(spots, (first, second), strict=True):
            (result,) = page_out(host, spot)
            assert result.effect > 0
            assert abs(result.effect - (item.verdict.forecast_bytes or 0)) <= RESIDUE_BYTES
        stage.child.end()
        other.end()


def as_nobody(
    state_dir: Path, capabilities: str, *arguments: object, json: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run memtui as a user with a few capabilities; no target is held."""
    words = command("--state-dir", state_dir, *arguments, "--freeze", "off", *(["--json"] if json else []))
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
    assert "of 4M requested 2M will leave RSS; 2M shared\n" in memtui(*wanted, state_dir=tmp_path).stdout


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
        row = MappedVma(of, details=reader.details()[of.start])
        for source in (Source.SCAN, Source.PAGEMAP):
            study = Study(handle, machine.huge_page_bytes(), None, source)
            (looked_up,) = study.rows([Part(row, of, of.range)], Advice.PAGEOUT)
            found.append(looked_up.pages)
    assert found[0] is not None
    assert found[0] == found[1]


@pytest.mark.usefixtures("swap_file")
def test_willneed_reads_in_what_is_out(host: LocalHost, stage: Stage) -> None:
    (item,) = plan(host, Advice.WILLNEED, CASES["half_swapped"](stage))
    out = at(stage.child.pid, item.range.start).swap
    assert item.verdict.forecast_bytes == out
    assert reasons(item) == {Reason.NOTHING_SWAPPED: SIZE - out}
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
        assert none.verdict.will is Will.YES
        assert reasons(none).get(Reason.UNTOUCHED) == SIZE // 2
        os.pread(fd, SIZE, 0)
        (all_in,) = plan(host, Advice.WILLNEED, stage.spot(start))
        assert all_in.verdict.will is Will.NO
        assert reasons(all_in) == {Reason.CACHED_ALREADY: SIZE // 2, Reason.UNTOUCHED: SIZE // 2}
        # A page or so may linger in a batch of the page cache.
        assert cached <= RESIDUE_BYTES
    finally:
        os.close(fd)


@pytest.mark.usefixtures("swap_file")
def test_collapse_says_by_how_much_rss_will_grow(host: LocalHost, stage: Stage) -> None:
    need(machine.huge_page_bytes() == HUGE, "huge pages of 2 MiB")
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
        made = host.plan(Advice.COLLAPSE, [Wanted(target, (Mark(Range(start, start + 4 * HUGE), None),))])
        host.apply(made)
    finally:
        target.close()
    after = at(stage.child.pid, start)
    grown = sum(reasons(item).get(Reason.RSS_GROWS, 0) or 0 for item in items)
    assert (grown, after.rss - before.rss, after.huge - before.huge) == (HUGE - PAGE, HUGE - PAGE, 2 * HUGE)
    huge = [item for item in made.targets[0].ranges if Reason.ALL_HUGE in reasons(item)]
    assert [reasons(item)[Reason.ALL_HUGE] for item in huge] == [HUGE]


def test_a_plan_is_cancelled_soon(host: LocalHost, stage: Stage) -> None:
    target = host.open(stage.child.pid)
    cancelled = threading.Event()
    cancelled.set()
    try:
        for advice in Advice:
            with pytest.raises(MemtuiError) as caught:
                host.plan(advice, [Wanted(target)], Freeze.OFF, cancelled=cancelled)
            assert caught.value.reason is Reason.CANCELLED
    finally:
        target.close()


def test_4_gib_are_looked_at_in_well_under_a_second(host: LocalHost) -> None:
    """Of 1 GiB here, so that a small machine can: a quarter of the time."""
    size = 1 << 30
    available = machine.memory().available_bytes
    need(available is not None and available > 3 * size, "3 GiB of memory to spare")
    with Child() as child:
        start = child.map(size)
        child.do("dirty", address=start, size=size, step=PAGE)
        spot = Spot(child.pid, start, size)
        (warm,) = plan(host, Advice.COLD, spot)
        assert warm.verdict.forecast_bytes == size
        took = []
        for _ in range(3):
            began = time.perf_counter()
            plan(host, Advice.COLD, spot)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.25
        child.do("madvise", address=start, size=size, advice=MADV_DONTNEED)

"""The report says what smaps, meminfo, vmstat and cachestat say, each read here in a way of its own.

The numbers in the names are those of the facts about the kernel that these tests were written from:
``fact_3_5``; the others stand in test_advice.py and test_edges.py. Each is a case in which the
kernel's return value says something else than what happened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from mmap import PAGESIZE as PAGE
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.advise import lru_drain, vector
from memtui.advise.ledger import Ledger
from memtui.advise.segments import Segment, Segments
from memtui.format import size as in_words
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.reasons import Reason, reason_of_errno
from memtui.model.report import Outcome, TargetReport
from memtui.render.effect import summary
from tests.conftest import need
from tests.kernel.toolkit import (
    HUGE,
    MIB,
    RESIDUE_BYTES,
    Child,
    at,
    memtui,
    rows,
    smaps,
    span,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("swap_file")

SIZE = 8 * MIB
SLACK_BYTES = 4 * MIB
"""What the rest of the machine may do to its counters meanwhile."""
SYS_CACHESTAT = 451
MADV_FREE = 8


@pytest.fixture
def disk_folder(swap_file: Path) -> Iterator[Path]:
    """A folder on a disk, never tmpfs."""
    folder = Path(tempfile.mkdtemp(prefix="memtui-test-", dir=swap_file.parent))
    yield folder
    shutil.rmtree(folder)


def advise_vector(
    host: LocalHost,
    child: Child,
    advice: Advice,
    start: int,
    size: int,
    freeze: Freeze = Freeze.OFF,
    thorough: bool = False,
) -> TargetReport:
    target = host.open(child.pid)
    try:
        wanted = [Selection(target, (Mark(Range(start, start + size), None),))]
        (report,) = host.apply(host.plan(advice, wanted, freeze, thorough=thorough))
        return report
    finally:
        target.release()


@dataclass(frozen=True)
class Machine:
    """Counters of the whole machine, in bytes."""

    free: int
    swap_cached: int
    swapped_in: int
    swapped_out: int


def machine() -> Machine:
    info = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    stat = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return Machine(
        int(info["MemFree"].split()[0]) * 1024,
        int(info["SwapCached"].split()[0]) * 1024,
        int(stat["pswpin"]) * PAGE,
        int(stat["pswpout"]) * PAGE,
    )


def cached(path: Path, offset: int = 0, length: int = 0) -> int:
    """Return how much of a file is in the page cache, asked by cachestat(2); 0 stands for all of it."""
    asked, answer = (ctypes.c_uint64 * 2)(offset, length), (ctypes.c_uint64 * 5)()
    with path.open("rb") as file:
        result = ctypes.CDLL(None, use_errno=True).syscall(
            SYS_CACHESTAT, file.fileno(), ctypes.byref(asked), ctypes.byref(answer), 0
        )
    need(result == 0, f"no cachestat here: {os.strerror(ctypes.get_errno())}")
    return int(answer[0]) * PAGE


def file_of(folder: Path, size: int) -> Path:
    path = folder / "pages"
    path.write_bytes(os.urandom(MIB) * (size // MIB))
    forget(path)
    return path


def forget(path: Path) -> None:
    """Write a file to its disk and drop it from the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def tells(report: TargetReport, *words: str, advice: Advice = Advice.PAGEOUT) -> None:
    """Assert that each of these stands in a sentence of its own."""
    told = summary(report, advice)
    for word in words:
        assert sum(word in line for line in told) == 1, (word, told)


def tells_nothing_of(report: TargetReport, *words: str, advice: Advice = Advice.PAGEOUT) -> None:
    told = " ".join(summary(report, advice))
    assert not [word for word in words if word in told], told


def the_machine_is_named(report: TargetReport, advice: Advice = Advice.PAGEOUT) -> None:
    """Its counters stand in one sentence, which says whose they are."""
    for word in ("MemFree +", "MemFree -", "SwapCached +", "SwapCached -", "read in from swap"):
        for line in summary(report, advice):
            assert word not in line or line.startswith("System-wide change meanwhile: "), line


def test_fact_3_5_unmapped_is_not_freed(host: LocalHost, child: Child) -> None:
    """PEERS 1: RSS and Swap tell that it is gone, MemFree that it is still there."""
    size = 16 * MIB
    start = child.map(size, fill=1)
    before, was = at(child.pid, start), machine()
    report = advise_vector(host, child, Advice.PAGEOUT, start, size)
    after, now = at(child.pid, start), machine()
    assert report.advised_bytes == size
    assert report.moved_bytes == before.rss - after.rss >= size - RESIDUE_BYTES
    assert report.ranges[0].swapped_bytes == after.swap == report.moved_bytes
    assert now.swapped_out - was.swapped_out >= report.moved_bytes
    assert now.swap_cached - was.swap_cached >= report.moved_bytes - SLACK_BYTES
    assert (report.effect.swap_cached_delta_bytes or 0) >= report.moved_bytes - SLACK_BYTES
    tells(report, "left RSS", "unmapped is not freed", "System-wide change meanwhile")
    tells_nothing_of(report, "zram", "is free")
    the_machine_is_named(report)


def test_pageout_drops_what_its_owner_gave_up(host: LocalHost, child: Child) -> None:
    """MADV_FREE: it takes no swap, its content is gone, and the report says whose word that was."""
    start = child.map(SIZE, fill=1)
    child.do("madvise", address=start, size=SIZE // 2, advice=MADV_FREE)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, thorough=True)
    after = at(child.pid, start)
    assert after.rss == 0
    assert abs(after.swap - SIZE // 2) <= RESIDUE_BYTES
    planned = report.ranges[0].planned.verdict
    (freed,) = planned.reasons
    given_up = freed.count_bytes or 0
    # What waits in an LRU batch is given up, and not yet counted so.
    assert SIZE // 2 - RESIDUE_BYTES <= given_up <= SIZE // 2
    assert freed.reason is Reason.LAZY_FREE
    assert (planned.forecast_bytes, planned.swap_bytes) == (SIZE, SIZE - given_up)
    dropped = SIZE - after.swap
    assert report.ranges[0].given_up_bytes == dropped
    tells_nothing_of(report, "the target let go of it")
    tells(report, f"{in_words(dropped)} were freed: their owner had given them up (MADV_FREE).")
    child.do("touch", address=start, size=PAGE)
    assert at(child.pid, start).rss == 0, "the zero page: what was in it is gone"


def test_fact_3_7_huge_pages_come_back_as_small_ones(host: LocalHost, child: Child) -> None:
    start = child.map(2 * HUGE, align=HUGE, fill=1)
    advise_vector(host, child, Advice.COLLAPSE, start, HUGE)
    assert at(child.pid, start).huge == HUGE
    report = advise_vector(host, child, Advice.PAGEOUT, start, 2 * HUGE, thorough=True)
    assert report.moved_bytes == 2 * HUGE
    tells(report, "2M of it were huge pages; they come back as small ones.")
    child.do("touch", address=start, size=2 * HUGE)
    after = at(child.pid, start)
    assert (after.rss, after.huge) == (2 * HUGE, 0)


def test_peers_2_a_second_pageout_does_nothing(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=1)
    first = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, thorough=True)
    assert first.moved_bytes == SIZE
    assert at(child.pid, start).rss == 0
    again = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    assert (again.advised_bytes, again.moved_bytes) == (SIZE, 0)
    assert (again.outcome, again.reason) == (Outcome.NO_EFFECT, Reason.ALREADY_OUT)
    tells(again, "Nothing left RSS.")
    tells_nothing_of(again, "in swap", "unmapped")


def test_peers_3_pages_of_a_library_stay(host: LocalHost, child: Child) -> None:
    """Each page of libc that any other process maps is skipped, also for root."""
    with Child() as other:
        text = next(
            entry
            for entry in smaps(other.pid).values()
            if "libc.so" in entry.name and entry.perms == "r-xp" and entry.rss
        )
        start, size = text.start, text.end - text.start
        before = at(other.pid, start)
        report = advise_vector(host, other, Advice.PAGEOUT, start, size)
        after = at(other.pid, start)
    assert report.advised_bytes == size
    assert report.moved_bytes == before.rss - after.rss
    assert after.rss > 0
    assert report.ranges[0].reason is Reason.SHARED_PAGES
    assert (report.outcome is Outcome.NO_EFFECT) == (report.moved_bytes == 0)


def test_peers_4_of_forked_memory_only_the_part_of_ones_own_goes(host: LocalHost, child: Child) -> None:
    size, own = 16 * MIB, 4 * MIB
    start = child.map(size, fill=1)
    child.fork()
    child.do("write", address=start, size=own, seed=2)
    before = at(child.pid, start)
    report = advise_vector(host, child, Advice.PAGEOUT, start, size, thorough=True)
    after = at(child.pid, start)
    assert report.advised_bytes == size
    assert report.moved_bytes == before.rss - after.rss == own
    assert (report.outcome, report.ranges[0].reason) == (Outcome.DONE, Reason.SHARED_PAGES)


def test_peers_7_willneed_of_swap_shows_in_no_rss(host: LocalHost, child: Child) -> None:
    """Fact 3.9: swap cache is all that fills, and only the machine's counters tell."""
    start = child.map(SIZE, fill=1)
    _out_of_the_swap_cache(child, start, SIZE)
    before, was = at(child.pid, start), machine()
    report = advise_vector(host, child, Advice.WILLNEED, start, SIZE)
    after, now = at(child.pid, start), machine()
    assert (after.rss, after.swap) == (before.rss, before.swap)
    came = now.swapped_in - was.swapped_in
    assert came >= before.swap - SLACK_BYTES
    assert 0 < (report.effect.swapped_in_bytes or 0) <= came
    assert report.outcome is Outcome.UNVERIFIED
    assert report.moved_bytes is None
    tells(
        report,
        "only counters of the whole machine show it",
        "RSS does not rise by it",
        advice=Advice.WILLNEED,
    )
    tells_nothing_of(report, "page cache", advice=Advice.WILLNEED)
    the_machine_is_named(report, Advice.WILLNEED)


def _out_of_the_swap_cache(child: Child, start: int, size: int) -> None:
    """Read back what was written to swap: it is clean then, and leaves RAM whole."""
    fd = os.pidfd_open(child.pid)
    number = Advice.PAGEOUT.number

    def is_out() -> bool:
        syscalls.process_madvise(fd, [(start, start + size)], number)
        return at(child.pid, start).rss <= RESIDUE_BYTES

    try:
        syscalls.process_madvise(fd, [(start, start + size)], number)
        child.do("touch", address=start, size=size)
        wait_until(is_out, "the pages have left RAM")
    finally:
        os.close(fd)


def test_peers_8_nothing_behind_an_address_is_no_effect(host: LocalHost, child: Child) -> None:
    """PROT_NONE "succeeds": the kernel walks it and there is nothing."""
    start = child.map(SIZE, protection=0)
    for advice in (Advice.COLD, Advice.PAGEOUT):
        report = advise_vector(host, child, advice, start, SIZE)
        assert report.advised_bytes == SIZE
        assert (report.outcome, report.ranges[0].rss_before_bytes) == (Outcome.NO_EFFECT, 0)
        assert report.reason is Reason.NOTHING_RESIDENT


def test_fact_3_3_the_zero_page_takes_no_memory(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE)
    child.do("touch", address=start, size=SIZE)
    assert at(child.pid, start).rss == 0
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    assert (report.advised_bytes, report.moved_bytes) == (SIZE, 0)
    assert (report.outcome, report.reason) == (Outcome.NO_EFFECT, Reason.ZERO_PAGE)


@pytest.fixture
def hugetlb_page() -> Iterator[None]:
    """One page of hugetlb memory for the whole machine, and as many as before at the end."""
    setting = Path("/proc/sys/vm/nr_hugepages")
    before = int(setting.read_text())
    setting.write_text(str(before + 1))
    try:
        need(int(setting.read_text()) > before, "no hugetlb page can be had")
        yield
    finally:
        setting.write_text(str(before))


@pytest.mark.parametrize("advice", list(Advice))
def test_fact_3_2_hugetlb_memory_is_in_no_rss(
    hugetlb_page: None, host: LocalHost, child: Child, advice: Advice
) -> None:
    """The page table shows it present: it must not be called resident, nor moved."""
    start = child.map(HUGE, align=HUGE, hugetlb=True, fill=1)
    assert at(child.pid, start).rss == 0
    assert at(child.pid, start).fields["Private_Hugetlb"] == HUGE
    report = advise_vector(host, child, advice, start, HUGE)
    child.do("unmap", address=start, size=HUGE)
    (part,) = report.ranges
    assert not part.moved_bytes
    if advice is Advice.WILLNEED:
        assert (part.outcome, part.reason) == (Outcome.NO_EFFECT, Reason.LOCKED_IN_RAM)
        assert not part.rss_before_bytes
    else:
        assert (part.outcome, part.reason, part.advised_bytes) == (Outcome.REFUSED, Reason.HUGETLB, 0)


@pytest.mark.parametrize("shared", [False, True])
def test_fact_3_3_clean_pages_of_a_file_are_freed(
    host: LocalHost, child: Child, disk_folder: Path, shared: bool
) -> None:
    path = file_of(disk_folder, SIZE)
    start = child.map(SIZE, path=str(path), shared=shared)
    child.do("touch", address=start, size=SIZE)
    before, was = at(child.pid, start).rss, cached(path)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, thorough=True)
    after, now = at(child.pid, start), cached(path)
    assert report.moved_bytes == before - after.rss > 0
    assert report.ranges[0].cache_delta_bytes == now - was < 0
    assert report.ranges[0].swapped_bytes == after.swap == 0
    tells(report, "left the page cache and is free")
    tells_nothing_of(report, "Swap on", "in swap")


def test_fact_3_3_what_was_just_written_is_told_as_the_page_cache_has_it(
    host: LocalHost, child: Child, disk_folder: Path
) -> None:
    """Dirty pages of a file are written back; whether they are free then is up to the file system."""
    path = file_of(disk_folder, SIZE)
    start = child.map(SIZE, path=str(path), shared=True)
    child.do("dirty", address=start, size=SIZE, step=PAGE)
    before, was = at(child.pid, start).rss, cached(path)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    after, now = at(child.pid, start).rss, cached(path)
    assert report.moved_bytes == before - after
    assert report.ranges[0].cache_delta_bytes == now - was
    if report.moved_bytes and now == was:
        tells(report, "unmapped, not freed")
        tells_nothing_of(report, "is free")
    elif report.moved_bytes:
        tells(report, "left the page cache and is free")


def test_fact_3_3_copied_pages_of_a_private_file_go_to_swap(
    host: LocalHost, child: Child, disk_folder: Path
) -> None:
    path = file_of(disk_folder, SIZE)
    start = child.map(SIZE, path=str(path))
    child.do("touch", address=start, size=SIZE)
    child.do("dirty", address=start, size=SIZE // 2, step=PAGE)
    before = at(child.pid, start)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, thorough=True)
    after = at(child.pid, start)
    assert report.moved_bytes == before.rss - after.rss
    assert report.ranges[0].swapped_bytes == after.swap >= SIZE // 2 - RESIDUE_BYTES
    tells(report, "unmapped pages of files", "unmapped is not freed")


def test_fact_3_3_read_ahead_pages_are_not_touched(host: LocalHost, child: Child, disk_folder: Path) -> None:
    """Cached and not mapped: PAGEOUT walks them, and leaves them."""
    path = file_of(disk_folder, SIZE)
    start = child.map(SIZE, path=str(path))
    path.read_bytes()
    was = cached(path)
    assert was == SIZE
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    assert cached(path) == was
    assert (report.advised_bytes, report.moved_bytes) == (SIZE, 0)
    assert (report.outcome, report.reason) == (Outcome.NO_EFFECT, Reason.UNMAPPED_HERE)
    (why,) = report.ranges[0].planned.verdict.reasons
    assert (why.reason, why.count_bytes) == (Reason.UNMAPPED_HERE, SIZE)
    tells_nothing_of(report, "page cache")


def test_fact_3_3_swap_of_shared_memory_is_smaps_word(host: LocalHost, child: Child) -> None:
    """The page table shows nothing of it: the report must not say that none is in swap."""
    start = child.map(SIZE, shared=True, fill=1)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, thorough=True)
    after = at(child.pid, start)
    (part,) = report.ranges
    assert report.moved_bytes == SIZE - after.rss == SIZE
    assert (part.swap_before_bytes, part.swap_after_bytes) == (0, after.swap)
    assert after.swap == SIZE
    tells(report, "of the shared memory went to swap", "unmapped is not freed")
    partly = advise_vector(host, child, Advice.PAGEOUT, start, SIZE // 2)
    assert partly.ranges[0].swap_after_bytes is None


def test_fact_3_6_thorough_takes_what_waits_in_batches(host: LocalHost, child: Child) -> None:
    """Pages fresh on another CPU than ours stay at the first try; nothing is counted twice."""
    cpus = sorted(os.sched_getaffinity(0))
    need(len(cpus) > 1, "one CPU has no other whose batch could hold pages")
    size = 20 * PAGE
    mine = os.sched_getaffinity(0)

    def plain_leaves_some() -> bool:
        start = child.map(size, fill=1)
        report = advise_vector(host, child, Advice.PAGEOUT, start, size)
        stays = at(child.pid, start).rss
        assert report.moved_bytes == size - stays
        assert report.ranges[0].reason is (Reason.LRU_BATCH if stays else None)
        return stays > 0

    def thorough_asked_again() -> bool:
        start = child.map(size, fill=1)
        report = advise_vector(host, child, Advice.PAGEOUT, start, size, Freeze.PTRACE, thorough=True)
        assert os.sched_getaffinity(0) == {cpus[0]}
        assert at(child.pid, start).rss == 0
        assert report.moved_bytes == report.advised_bytes == size
        return report.calls > 1

    try:
        os.sched_setaffinity(0, {cpus[0]})
        for task in Path(f"/proc/{child.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cpus[1]})
        # Whatever else runs on that CPU may empty the batch before we come.
        wait_until(plain_leaves_some, "pages wait in a batch and stay")
        wait_until(thorough_asked_again, "a second pass was needed")
    finally:
        os.sched_setaffinity(0, mine)


def test_fact_3_6_a_second_pass_that_may_not_go_to_a_cpu_does_not_blame_the_pages(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    need(len(cpus) > 1, "one CPU has no other whose batch could hold pages")
    mine = os.sched_getaffinity(0)
    # As in a cpuset of one CPU.
    monkeypatch.setattr(lru_drain, "_move_to", lambda cpu: cpu == cpus[0])

    def some_stay() -> bool:
        start = child.map(12 * PAGE, fill=1)
        report = advise_vector(host, child, Advice.PAGEOUT, start, 12 * PAGE, thorough=True)
        stays = at(child.pid, start).rss
        assert report.ranges[0].reason is (Reason.LRU_BATCH if stays else None)
        return stays > 0

    try:
        os.sched_setaffinity(0, {cpus[0]})
        for task in Path(f"/proc/{child.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cpus[1]})
        wait_until(some_stay, "pages wait in the batch of a CPU that is not ours")
    finally:
        os.sched_setaffinity(0, mine)


def test_fact_3_7_a_part_of_a_huge_page_splits_it(host: LocalHost, child: Child) -> None:
    start = child.map(HUGE, align=HUGE, fill=1)
    advise_vector(host, child, Advice.COLLAPSE, start, HUGE)
    assert at(child.pid, start).huge == HUGE
    report = advise_vector(host, child, Advice.PAGEOUT, start, 100 * PAGE, thorough=True)
    after = at(child.pid, start)
    assert after.huge == 0
    assert report.moved_bytes == HUGE - after.rss
    assert report.effect.huge_delta_bytes is not None
    assert report.effect.huge_delta_bytes < 0


def test_fact_3_9_a_file_of_64_mib_comes_in_whole(host: LocalHost, child: Child, disk_folder: Path) -> None:
    """One element reads at most the device's read-ahead, and the kernel says that it read all."""
    size = 64 * MIB
    path = file_of(disk_folder, size)
    start = child.map(size, path=str(path))
    assert cached(path) == 0
    report = advise_vector(host, child, Advice.WILLNEED, start, size)
    assert cached(path) == size
    assert at(child.pid, start).rss == 0
    assert report.ranges[0].cache_delta_bytes == size
    assert report.outcome is Outcome.DONE
    tells(report, "64M of files came into the page cache", advice=Advice.WILLNEED)
    tells_nothing_of(report, "swap cache;", "What came from swap", advice=Advice.WILLNEED)


def test_fact_3_11_a_collapse_shows_the_rss_that_it_added(child: Child, tmp_path: Path) -> None:
    """One page touched in each of two huge ones: RSS grows 512-fold; one huge already is not claimed."""
    start = child.map(3 * HUGE, align=HUGE)
    child.do("write", address=start, size=PAGE, seed=1)
    child.do("write", address=start + HUGE, size=PAGE, seed=2)
    child.do("write", address=start + 2 * HUGE, size=HUGE, seed=3)
    memtui("advise", "collapse", child.pid, "--range", span(start + 2 * HUGE, HUGE), state_dir=tmp_path)
    before = at(child.pid, start)
    assert (before.rss, before.huge) == (HUGE + 2 * PAGE, HUGE)
    arguments = ("advise", "collapse", child.pid, "--range", span(start, 3 * HUGE))
    (report,) = rows(memtui(*arguments, "--json", state_dir=tmp_path))
    after = at(child.pid, start)
    assert (after.rss, after.huge) == (3 * HUGE, 3 * HUGE)
    assert report["moved_bytes"] == after.huge - before.huge == 2 * HUGE
    assert report["effect"]["rss_delta_bytes"] == after.rss - before.rss == 2 * HUGE - 2 * PAGE
    again = memtui(*arguments, state_dir=tmp_path)
    assert "No page became huge." in again.stdout
    assert "no_effect" in again.stdout
    assert "RSS did not grow." in again.stdout


def test_fact_3_11_the_command_says_by_how_much_rss_grew(child: Child, tmp_path: Path) -> None:
    start = child.map(HUGE, align=HUGE)
    child.do("write", address=start, size=PAGE, seed=1)
    done = memtui("advise", "collapse", child.pid, "--range", span(start, HUGE), state_dir=tmp_path)
    assert at(child.pid, start).huge == HUGE
    assert "2M became huge pages." in done.stdout
    assert "RSS grew by 2.0M: holes" in done.stdout


REFUSED: list[tuple[Advice, Callable[[Child], tuple[int, int]], str]] = [
    (Advice.COLLAPSE, lambda child: (child.map(HUGE, align=HUGE), HUGE), "EINVAL"),
    (Advice.COLD, lambda child: (_locked(child), PAGE), "EINVAL"),
    (Advice.PAGEOUT, lambda child: (_locked(child), PAGE), "EINVAL"),
    (Advice.WILLNEED, lambda child: (_unmapped(child), PAGE), "ENOMEM"),
    (Advice.PAGEOUT, lambda child: (_unmapped(child), PAGE), "ENOMEM"),
    (Advice.PAGEOUT, lambda child: (0xFFFF_FFFF_FF60_0000, PAGE), "EFAULT"),
]


def _locked(child: Child) -> int:
    start = child.map(PAGE, fill=1)
    child.do("lock", address=start, size=PAGE)
    return start


def _unmapped(child: Child) -> int:
    start = child.map(PAGE, fill=1)
    child.do("unmap", address=start, size=PAGE)
    return start


@pytest.mark.parametrize(("advice", "arrange", "name"), REFUSED)
def test_facts_2_each_errno_has_a_reason_and_a_step(
    child: Child, advice: Advice, arrange: Callable[[Child], tuple[int, int]], name: str
) -> None:
    """Facts 1.1, 2.2, 2.3, 3.1 and 3.11: what the kernel says to one element, in words."""
    start, size = arrange(child)
    fd = os.pidfd_open(child.pid)
    try:
        result = vector.advise_vector(
            lambda elements, number: syscalls.process_madvise(fd, elements, number),
            Segments.of([Segment(start, start + size, 0)]),
            advice.number,
        )
    finally:
        os.close(fd)
    assert not result.advised
    ((_piece, number),) = result.failed
    assert errno.errorcode[number] == name
    reason = reason_of_errno(advice, number)
    assert reason is not Reason.KERNEL_REFUSED
    assert reason.text
    assert reason.next_step


def test_the_ledger_keeps_how_good_the_forecast_was(host: LocalHost, child: Child, tmp_path: Path) -> None:
    start = child.map(SIZE, fill=1)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    events, torn = Ledger(tmp_path / "state").read()
    assert not torn
    done = next(event for event in events if event.kind == "done")
    score = done.mapping("score")
    left = SIZE - at(child.pid, start).rss
    assert score["effect_bytes"] == report.moved_bytes == left
    assert score["forecast_bytes"] == report.planned.forecast_bytes
    assert score["off_by_bytes"] == abs(left - (report.planned.forecast_bytes or 0))
    assert (score["judged_ranges"], score["wrong_ranges"]) == (1, 0)

"""Each advice does what its report says: checked against smaps, read separately."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, TargetReport
from tests.kernel import toolkit
from tests.kernel.toolkit import HUGE, MIB, PAGE, RESIDUE_BYTES, Child, at, memtui, rows, span, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("swap_file")

SIZE = 8 * MIB
METHODS = [method.value for method in Freeze]


def advise_vector(
    host: LocalHost, child: Child, advice: Advice, start: int, size: int, freeze: Freeze = Freeze.OFF
) -> TargetReport:
    target = host.open(child.pid)
    try:
        plan = host.plan(advice, [Selection(target, (Mark(Range(start, start + size), None),))], freeze)
        (report,) = host.apply(plan)
        return report
    finally:
        target.release()


def file_of(folder: Path, size: int) -> Path:
    """Make a file on a disk (never tmpfs) whose pages are all clean."""
    path = folder / "pages"
    path.write_bytes(os.urandom(size))
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_pageout_moves_what_smaps_says_left(host: LocalHost, child: Child, method: str) -> None:
    start = child.map(SIZE, fill=1)
    before, sum_before = at(child.pid, start), child.checksum(start, SIZE)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, Freeze(method))
    after = at(child.pid, start)
    assert report.outcome is Outcome.DONE
    assert report.advised_bytes == report.requested_bytes == SIZE
    assert report.moved_bytes == before.rss - after.rss
    assert SIZE - RESIDUE_BYTES <= report.moved_bytes <= SIZE
    (part,) = report.ranges
    assert (part.rss_before_bytes, part.rss_after_bytes) == (before.rss, after.rss)
    assert (part.swap_before_bytes, part.swap_after_bytes) == (before.swap, after.swap)
    assert report.effect.rss_delta_bytes == after.rss - before.rss
    assert report.effect.swap_delta_bytes == after.swap - before.swap
    assert report.freeze is Freeze(method)
    assert (report.holds > 0) == (report.held_ms > 0) == (method != "off")
    assert child.checksum(start, SIZE) == sum_before


def test_pageout_of_what_is_out_already_has_no_effect(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=1)

    def is_out() -> bool:
        advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
        return at(child.pid, start).rss == 0

    # What stands in the LRU batch of the CPU that the child ran on goes once the batch is drained.
    drain_batches()
    wait_until(is_out, "nothing of it is in RAM")
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    assert report.outcome is Outcome.NO_EFFECT
    assert report.reason is Reason.ALREADY_OUT
    assert report.advised_bytes == SIZE
    assert report.moved_bytes == 0


def drain_batches() -> None:
    """Have every CPU fill its LRU batch with other pages, so that those of the child are in the LRU."""
    mine = os.sched_getaffinity(0)
    try:
        for cpu in mine:
            os.sched_setaffinity(0, {cpu})
            with mmap.mmap(-1, 64 * PAGE) as pages:
                for place in range(0, len(pages), PAGE):
                    pages[place] = 1
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.parametrize("method", METHODS)
def test_cold_leaves_rss_and_takes_referenced(host: LocalHost, child: Child, method: str) -> None:
    start = child.map(SIZE, fill=1)
    before = at(child.pid, start)
    assert before.referenced == SIZE
    report = advise_vector(host, child, Advice.COLD, start, SIZE, Freeze(method))
    after = at(child.pid, start)
    assert report.outcome is Outcome.DONE
    assert report.advised_bytes == SIZE
    assert report.moved_bytes is None
    assert after.rss == before.rss == SIZE
    assert report.effect.rss_delta_bytes == 0
    assert report.effect.referenced_delta_bytes == after.referenced - before.referenced
    assert after.referenced <= RESIDUE_BYTES
    (part,) = report.ranges
    assert part.moved_bytes is None
    assert part.rss_before_bytes == part.rss_after_bytes == SIZE


def test_cold_of_pages_that_another_process_maps_claims_nothing(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=1)
    child.fork()
    before = at(child.pid, start)
    report = advise_vector(host, child, Advice.COLD, start, SIZE)
    assert at(child.pid, start).referenced == before.referenced
    assert report.advised_bytes == SIZE
    assert report.outcome is Outcome.NO_EFFECT
    assert report.reason is Reason.SHARED_PAGES


@pytest.mark.parametrize("method", METHODS)
def test_pageout_of_shared_pages_says_why_nothing_moved(host: LocalHost, child: Child, method: str) -> None:
    start = child.map(SIZE, fill=1)
    child.fork()
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE, Freeze(method))
    assert at(child.pid, start).rss == SIZE
    assert report.advised_bytes == SIZE
    assert report.moved_bytes == 0
    assert report.outcome is Outcome.NO_EFFECT
    assert report.reason is Reason.SHARED_PAGES


def test_willneed_reads_swap_in_and_claims_no_rss(host: LocalHost, child: Child, swap_file: Path) -> None:
    start = child.map(SIZE, fill=1)
    advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    leave_swap_cache(child, start, SIZE)
    before, came_before = at(child.pid, start), swapped_in_bytes()
    assert before.swap >= SIZE - RESIDUE_BYTES
    report = advise_vector(host, child, Advice.WILLNEED, start, SIZE)
    after, came = at(child.pid, start), swapped_in_bytes() - came_before
    assert after.rss == before.rss
    assert report.moved_bytes is None
    assert report.ranges[0].moved_bytes is None
    assert report.effect.rss_delta_bytes == 0
    assert report.advised_bytes == SIZE
    assert came > 0
    # Only counters of the whole machine show it, which proves nothing of this process.
    assert report.outcome is Outcome.UNVERIFIED
    assert "whole machine" in (report.ranges[0].reason_text or "")
    # All of it is in the swap cache now: nothing more is read in by a touch.
    faults_before = major_faults(child.pid)
    child.do("touch", address=start, size=SIZE)
    assert major_faults(child.pid) == faults_before


def leave_swap_cache(child: Child, start: int, size: int) -> None:
    """Get swapped pages out of the swap cache: read back they are clean, and leave RAM whole."""
    child.do("touch", address=start, size=size)
    fd = os.pidfd_open(child.pid)

    def is_out() -> bool:
        # Pages still being written back stay at the first try.
        syscalls.process_madvise(fd, [(start, start + size)], Advice.PAGEOUT.number)
        return at(child.pid, start).rss <= RESIDUE_BYTES

    try:
        wait_until(is_out, "the pages have left RAM")
    finally:
        os.close(fd)


def swapped_in_bytes() -> int:
    fields = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(fields["pswpin"]) * PAGE


def major_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[9])


def test_willneed_without_anything_in_swap_has_no_effect(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=1)
    report = advise_vector(host, child, Advice.WILLNEED, start, SIZE)
    assert report.advised_bytes == SIZE
    assert report.outcome is Outcome.NO_EFFECT
    assert report.reason is Reason.NOTHING_SWAPPED
    assert report.moved_bytes is None


def test_willneed_of_a_file_reads_all_of_it_into_the_page_cache(
    host: LocalHost, child: Child, disk_folder: Path
) -> None:
    size = 32 * MIB
    path = file_of(disk_folder, size)
    start = child.map(size, path=str(path), shared=True)
    drop_cache(path)
    assert cached(path) == 0
    report = advise_vector(host, child, Advice.WILLNEED, start, size)
    # Pages are in the cache at once, and count here when they have been read.
    wait_until(lambda: cached(path) == size, "the whole file is in the page cache")
    assert at(child.pid, start).rss == 0
    assert report.outcome is Outcome.DONE
    assert report.moved_bytes is None
    assert report.ranges[0].reason_text == f"{size // MIB}M came into the page cache"
    again = advise_vector(host, child, Advice.WILLNEED, start, size)
    assert again.outcome is Outcome.NO_EFFECT
    assert again.reason is Reason.NOTHING_CAME


def drop_cache(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def cached(path: Path) -> int:
    """Return how much of a file is in the page cache, asked by mincore(2)."""
    size = path.stat().st_size
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        vector = (ctypes.c_ubyte * (size // PAGE))()
        anchor = ctypes.c_char.from_buffer(memory)
        try:
            result = ctypes.CDLL(None).mincore(
                ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(size), vector
            )
        finally:
            del anchor
        assert result == 0
        return sum(state & 1 for state in vector) * PAGE


@pytest.fixture
def disk_folder(swap_file: Path) -> Iterator[Path]:
    """A folder beside the swap file, which is on a disk."""
    folder = Path(tempfile.mkdtemp(prefix="memtui-test-", dir=swap_file.parent))
    yield folder
    shutil.rmtree(folder)


def test_pageout_of_a_file_drops_its_clean_pages(host: LocalHost, child: Child, disk_folder: Path) -> None:
    path = file_of(disk_folder, SIZE)
    start = child.map(SIZE, path=str(path))
    child.do("touch", address=start, size=SIZE)
    before = at(child.pid, start)
    assert before.rss == SIZE
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    after = at(child.pid, start)
    assert report.moved_bytes == before.rss - after.rss >= SIZE - RESIDUE_BYTES
    assert report.outcome is Outcome.DONE
    assert after.swap == 0


def test_pageout_of_shared_memory(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, shared=True, fill=1)
    report = advise_vector(host, child, Advice.PAGEOUT, start, SIZE)
    after = at(child.pid, start)
    assert report.moved_bytes == SIZE - after.rss >= SIZE - RESIDUE_BYTES
    assert after.swap == report.moved_bytes


@pytest.mark.parametrize("method", METHODS)
def test_collapse_gains_huge_pages(host: LocalHost, child: Child, method: str) -> None:
    start = child.map(2 * HUGE, align=HUGE, fill=1)
    before, sum_before = at(child.pid, start), child.checksum(start, 2 * HUGE)
    assert before.huge == 0
    report = advise_vector(host, child, Advice.COLLAPSE, start, 2 * HUGE, Freeze(method))
    after = at(child.pid, start)
    assert after.huge == 2 * HUGE
    assert report.moved_bytes == after.huge
    assert report.advised_bytes == 2 * HUGE
    assert report.outcome is Outcome.DONE
    assert child.checksum(start, 2 * HUGE) == sum_before


def test_collapse_leaves_out_what_is_empty_and_says_so(host: LocalHost, child: Child) -> None:
    start = child.map(4 * HUGE, align=HUGE)
    child.do("write", address=start + HUGE, size=PAGE, seed=1)
    report = advise_vector(host, child, Advice.COLLAPSE, start, 4 * HUGE)
    assert at(child.pid, start).huge == HUGE
    assert report.moved_bytes == report.advised_bytes == HUGE
    assert report.outcome is Outcome.DONE
    assert report.reason is Reason.NOTHING_TO_COLLAPSE
    again = advise_vector(host, child, Advice.COLLAPSE, start, 4 * HUGE)
    assert (again.outcome, again.reason, again.moved_bytes) == (Outcome.NO_EFFECT, Reason.ALL_HUGE, 0)


def test_pageout_of_a_huge_page(host: LocalHost, child: Child) -> None:
    start = child.map(2 * HUGE, align=HUGE, fill=1)
    advise_vector(host, child, Advice.COLLAPSE, start, 2 * HUGE)
    report = advise_vector(host, child, Advice.PAGEOUT, start, 2 * HUGE)
    assert report.moved_bytes == 2 * HUGE - at(child.pid, start).rss
    assert report.moved_bytes >= HUGE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("advice", [advice.value for advice in Advice])
def test_the_command_agrees_with_smaps(child: Child, tmp_path: Path, advice: str, method: str) -> None:
    start = child.map(2 * HUGE, align=HUGE, fill=1)
    if advice == "willneed":
        memtui("advise", "pageout", child.pid, "--range", span(start, 2 * HUGE), state_dir=tmp_path)
        leave_swap_cache(child, start, 2 * HUGE)
    before = at(child.pid, start)
    done = memtui(
        "advise",
        advice,
        child.pid,
        "--range",
        span(start, 2 * HUGE),
        "--freeze",
        method,
        "--json",
        state_dir=tmp_path,
    )
    after = at(child.pid, start)
    assert (done.returncode, done.stderr) == (0, "")
    (report,) = rows(done)
    (part,) = report["ranges"]
    assert report["outcome"] == part["outcome"]
    assert part["outcome"] == ("unverified" if advice == "willneed" else "done")
    assert report["freeze"] == method
    assert report["requested_bytes"] == report["advised_bytes"] == 2 * HUGE
    assert (part["rss_before_bytes"], part["rss_after_bytes"]) == (before.rss, after.rss)
    assert (part["swap_before_bytes"], part["swap_after_bytes"]) == (before.swap, after.swap)
    assert report["effect"]["rss_delta_bytes"] == after.rss - before.rss
    moved = {
        "cold": None,
        "pageout": before.rss - after.rss,
        "willneed": None,
        "collapse": after.huge - before.huge,
    }[advice]
    assert report["moved_bytes"] == part["moved_bytes"] == moved
    assert moved is None or moved > 0
    if advice == "cold":
        delta = report["effect"]["referenced_delta_bytes"]
        assert delta == after.referenced - before.referenced
        assert delta < 0
    else:
        assert report["effect"]["referenced_delta_bytes"] is None


def test_between_two_holds_the_target_runs_as_long_as_it_was_held(host: LocalHost, child: Child) -> None:
    size = 96 * MIB
    start = child.map(size, fill=1)
    target = host.open(child.pid)
    plan = host.plan(
        Advice.PAGEOUT,
        [Selection(target, (Mark(Range(start, start + size), None),))],
        Freeze.PTRACE,
        hold_ms=1,
    )
    began = time.monotonic()
    (report,) = host.apply(plan)
    elapsed_ms = (time.monotonic() - began) * 1000
    target.release()
    assert report.holds > 1
    assert elapsed_ms >= 2 * report.held_ms - report.longest_held_ms
    assert report.longest_held_ms < 2000
    assert report.moved_bytes == size - at(child.pid, start).rss >= size - report.calls * RESIDUE_BYTES
    assert toolkit.state_of(child.pid) in "SR"

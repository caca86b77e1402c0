"""Restore: what an action moved is read back, and nothing else. What came is read from smaps and pagemap."""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.advise import headroom
from memtui.advise import restore as restoring
from memtui.advise.pages_file import PageRecords
from memtui.cli import restore as restore_command
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import proc_mem
from memtui.linux.exec_identity import Program, places_of, random_address
from memtui.linux.proc_mem import MemoryFile
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, Progress, TargetReport
from memtui.model.restore import RestoreReport
from memtui.render.restore import summary
from tests.conftest import need
from tests.kernel import swaps
from tests.kernel.mappings import drain_batches
from tests.kernel.toolkit import (
    HUGE,
    MIB,
    NOBODY,
    PAGE,
    REPOSITORY,
    RESIDUE_BYTES,
    Child,
    Smap,
    at,
    command,
    memtui,
    one_line,
    rows,
    smaps,
    span,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 16 * MIB


@pytest.fixture(params=["file", "zram"])
def swap(request: pytest.FixtureRequest) -> Iterator[str]:
    """Swap in a file, and on zram."""
    if request.param == "file":
        request.getfixturevalue("swap_file")
        yield "file"
        return
    request.getfixturevalue("no_swap")
    with swaps.in_zram(256 * MIB):
        yield "zram"


@pytest.fixture
def disk_file() -> Iterator[Path]:
    """A file of 16 MiB on a disk."""
    path = Path(f"/var/tmp/memtui-test-restore-{os.getpid()}")
    with path.open("wb") as file:
        file.write(os.urandom(MIB) * (SIZE // MIB))
        file.flush()
        # What waits to be written is not dropped at once.
        os.fsync(file.fileno())
    yield path
    path.unlink()


def page_out(host: LocalHost, child: Child, *parts: tuple[int, int]) -> TargetReport:
    target = host.open(child.pid)
    marks = tuple(Mark(Range(start, start + size), None) for start, size in parts)
    (report,) = host.apply(host.plan(Advice.PAGEOUT, [Selection(target, marks)], Freeze.OFF))
    target.release()
    return report


def restore(host: LocalHost, action: str | None = None) -> RestoreReport:
    (planned,) = host.plan_restore(action)
    (report,) = host.restore([planned])
    assert summary(report)
    return report


def present(pid: int, start: int, size: int) -> list[int]:
    """Return the numbers of the pages that are present, read from pagemap."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        data = os.pread(file.fileno(), size // PAGE * 8, start // PAGE * 8)
    return [number for number, (entry,) in enumerate(struct.iter_unpack("=Q", data)) if entry >> 63]


def assert_all_back(report: RestoreReport, moved_bytes: int | None) -> None:
    assert moved_bytes
    assert moved_bytes >= SIZE - RESIDUE_BYTES
    assert report.outcome is Outcome.DONE, summary(report)
    assert report.wanted_bytes == report.restored_bytes == moved_bytes
    assert report.still_out_bytes == 0


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("shared", [False, True])
def test_memory_comes_back_whole_and_unchanged(host: LocalHost, child: Child, shared: bool) -> None:
    start = child.map(SIZE, shared=shared, fill=7)
    content = child.checksum(start, SIZE)
    child.do("write", address=start, size=SIZE, seed=7)
    report = page_out(host, child, (start, SIZE))
    assert at(child.pid, start).rss <= RESIDUE_BYTES
    restored = restore(host)
    assert_all_back(restored, report.moved_bytes)
    assert at(child.pid, start).rss >= SIZE * 0.99
    assert child.checksum(start, SIZE) == content
    assert restore(host).reason is Reason.ALL_BACK


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_comes_back(host: LocalHost, child: Child, disk_file: Path, shared: bool) -> None:
    start = child.map(SIZE, shared=shared, path=str(disk_file))
    child.do("touch", address=start, size=SIZE)
    report = page_out(host, child, (start, SIZE))
    assert at(child.pid, start).rss <= RESIDUE_BYTES
    drop_cache(disk_file)
    assert_all_back(restore(host), report.moved_bytes)
    assert at(child.pid, start).rss >= SIZE * 0.99


def drop_cache(path: Path) -> None:
    """Have the page cache of a file go that no process maps."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_of_a_file_what_came_along_is_reported(host: LocalHost, child: Child, disk_file: Path) -> None:
    """Every 32nd page was there. What the page cache holds around it is mapped with it (fault-around)."""
    start = child.map(SIZE, shared=True, path=str(disk_file))
    child.do("touch", address=start, size=SIZE)
    page_out(host, child, (start, SIZE))
    drop_cache(disk_file)
    child.do("madvise", address=start, size=SIZE, advice=1)
    child.do("touch", address=start, size=SIZE, step=32 * PAGE)
    report = page_out(host, child, (start, SIZE))
    assert 0 < (report.moved_bytes or 0) <= SIZE // 32
    child.do("madvise", address=start, size=SIZE, advice=0)
    disk_file.read_bytes()
    before = at(child.pid, start).rss
    restored = restore(host)
    assert restored.outcome is Outcome.DONE
    assert restored.restored_bytes == report.moved_bytes
    assert restored.also_back_bytes == at(child.pid, start).rss - before - report.moved_bytes > 0
    assert any("also restored" in line for line in summary(restored))


@pytest.mark.usefixtures("swap_file")
def test_a_tmpfs_file_comes_back(host: LocalHost, child: Child, tmp_path: Path) -> None:
    path = Path(f"/dev/shm/memtui-test-{os.getpid()}")
    path.write_bytes(bytes(SIZE))
    try:
        start = child.map(SIZE, shared=True, path=str(path), fill=5)
        report = page_out(host, child, (start, SIZE))
        assert_all_back(restore(host), report.moved_bytes)
        assert at(child.pid, start).rss >= SIZE * 0.99
    finally:
        path.unlink()


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize(("kept", "of"), [(1, 2), (3, 7), (1, 64)])
def test_of_private_memory_no_other_page_comes(host: LocalHost, child: Child, kept: int, of: int) -> None:
    """A pattern of pages goes in the action; all the others went before it, and stay where they are."""
    start = child.map(SIZE, fill=3)
    numbers = [number for number in range(SIZE // PAGE) if number % of < kept]
    page_out(host, child, (start, SIZE))
    for number in numbers:
        child.do("touch", address=start + number * PAGE, size=PAGE)
    was = set(present(child.pid, start, SIZE))
    report = page_out(host, child, (start, SIZE))
    left_behind = set(present(child.pid, start, SIZE))
    restored = restore(host, report.id)
    assert restored.outcome is Outcome.DONE
    assert restored.also_back_bytes == 0
    assert set(present(child.pid, start, SIZE)) == was
    assert restored.restored_bytes == (len(was) - len(left_behind)) * PAGE
    assert len(was) - len(left_behind) >= max(1, len(numbers) - RESIDUE_BYTES // PAGE)


@pytest.mark.usefixtures("swap_file")
def test_a_huge_page_that_was_swapped_whole_comes_back(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, align=HUGE)
    child.do("madvise", address=start, size=SIZE, advice=14)
    child.do("write", address=start, size=SIZE, seed=1)
    need(at(child.pid, start).huge == SIZE, "no huge pages to be had")
    report = page_out(host, child, (start, SIZE))
    assert_all_back(restore(host), report.moved_bytes)
    assert at(child.pid, start).rss == SIZE


@pytest.mark.usefixtures("swap_file")
def test_what_was_dropped_since_is_not_made_again(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))
    child.do("madvise", address=start, size=SIZE // 2, advice=4)
    restored = restore(host)
    assert restored.outcome is Outcome.DONE
    assert set(present(child.pid, start, SIZE // 2)) == set()
    assert any("dropped" in line for line in summary(restored))
    assert child.checksum(start, PAGE) == child.checksum(start + PAGE, PAGE), "zeros"


@pytest.mark.usefixtures("swap_file")
def test_holes_of_shared_memory_stay_holes(host: LocalHost, child: Child) -> None:
    """MADV_REMOVE punches a hole: a read there would allocate the page."""
    start = child.map(SIZE, shared=True, fill=3)
    page_out(host, child, (start, SIZE))
    child.do("madvise", address=start + MIB, size=8 * MIB, advice=9)
    entry = at(child.pid, start)
    path = f"/proc/{child.pid}/map_files/{entry.start:x}-{entry.end:x}"
    blocks = os.stat(path).st_blocks
    restored = restore(host)
    assert restored.outcome is Outcome.DONE
    assert os.stat(path).st_blocks == blocks == (SIZE - 8 * MIB) // 512
    assert restored.restored_bytes == restored.wanted_bytes
    assert at(child.pid, start).rss >= (SIZE - 8 * MIB) * 0.99
    assert any("were dropped (by MADV_FREE" in line for line in summary(restored)), summary(restored)


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("read", ["by the file", "by the mapping"])
def test_holes_punched_between_the_look_and_the_reads_stay_holes(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """All but the first 16 pages go when the first page of the step is read."""
    start = child.map(MIB, shared=True, fill=3, align=HUGE)
    drain_batches()
    page_out(host, child, (start, MIB))
    entry = at(child.pid, start)
    need(entry.rss == 0, "some of it waits in an LRU batch")
    path = f"/proc/{child.pid}/map_files/{entry.start:x}-{entry.end:x}"
    place, offset = (f"/proc/{child.pid}/mem", start) if read == "by the mapping" else (os.readlink(path), 0)
    pread, punched = os.pread, threading.Event()

    def punch_at_first(fd: int, size: int, at_byte: int) -> bytes:
        data = pread(fd, size, at_byte)
        if size == 1 and at_byte == offset and os.readlink(f"/proc/self/fd/{fd}") == place:
            if not punched.is_set():
                child.do("madvise", address=start + 16 * PAGE, size=MIB - 16 * PAGE, advice=9)
            punched.set()
        return data

    monkeypatch.setattr(os, "pread", punch_at_first)
    restored = restore(host)
    assert punched.is_set()
    assert os.stat(path).st_blocks == 16 * PAGE // 512, "no page was made"
    assert (restored.outcome, restored.reason) == (Outcome.PARTIAL, Reason.PAGE_GONE), summary(restored)
    assert (restored.restored_bytes, restored.still_out_bytes) == (16 * PAGE, 0)
    assert any("punched out or cut off meanwhile" in line for line in summary(restored)), summary(restored)


@pytest.mark.usefixtures("swap_file")
def test_what_left_again_is_told_from_what_is_gone(host: LocalHost, child: Child) -> None:
    """After the last step: a part is paged out again, one dropped, one unmapped, one another mapping."""
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))
    quarter = SIZE // 4
    (planned,) = host.plan_restore()
    wanted = planned.wanted_bytes or 0

    def change(progress: Progress) -> None:
        if progress.done_bytes == wanted:
            child.do("madvise", address=start, size=quarter // 2, advice=21)
            child.do("madvise", address=start + quarter, size=quarter, advice=4)
            child.do("unmap", address=start + 2 * quarter, size=quarter)
            child.do("protect", address=start + 3 * quarter, size=quarter, protection=1)

    (restored,) = host.restore([planned], change)
    assert restored.outcome is Outcome.PARTIAL
    stayed = len(present(child.pid, start, quarter // 2)) * PAGE
    assert stayed <= RESIDUE_BYTES, "it did go"
    assert restored.still_out_bytes == pytest.approx(quarter // 2, abs=RESIDUE_BYTES)
    assert restored.restored_bytes == pytest.approx(quarter // 2, abs=2 * RESIDUE_BYTES)
    told = "\n".join(summary(restored))
    for words in (Reason.WENT_AGAIN.text, "unmapped meanwhile", "mapping meanwhile", "cut off meanwhile"):
        assert words in told


@pytest.mark.usefixtures("swap_file")
def test_a_mapping_that_is_cut_short_meanwhile_comes_back_all_the_same(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, shared=True, fill=3)
    page_out(host, child, (start, SIZE))
    cut = threading.Event()

    def unmap_end(progress: Progress) -> None:
        if progress.done_bytes and not cut.is_set():
            cut.set()
            child.do("unmap", address=start + SIZE - MIB, size=MIB)

    (restored,) = host.restore(host.plan_restore(), unmap_end)
    assert at(child.pid, start).rss == SIZE - MIB, summary(restored)
    assert (restored.reason, restored.still_out_bytes) == (Reason.GONE, 0)


@pytest.mark.usefixtures("swap_file")
def test_where_holes_cannot_be_told_nothing_is_read(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user without CAP_SYS_ADMIN, who may not open what is behind the mapping."""
    start = child.map(MIB, shared=True, fill=3)
    page_out(host, child, (start, MIB))
    monkeypatch.setattr(proc_mem, "open_mapped", lambda _pid, _vma: None)
    restored = restore(host)
    assert (restored.outcome, restored.reason) == (Outcome.REFUSED, Reason.HOLES_UNKNOWN)
    assert at(child.pid, start).rss <= RESIDUE_BYTES


@pytest.mark.usefixtures("swap_file")
def test_a_file_that_was_cut_off_is_not_read_beyond_its_end(
    host: LocalHost, child: Child, disk_file: Path
) -> None:
    start = child.map(SIZE, shared=True, path=str(disk_file))
    child.do("touch", address=start, size=SIZE)
    page_out(host, child, (start, SIZE))
    os.truncate(disk_file, SIZE // 2)
    restored = restore(host)
    assert restored.outcome is Outcome.DONE
    assert at(child.pid, start).rss == pytest.approx(SIZE // 2, abs=RESIDUE_BYTES)
    assert disk_file.stat().st_size == SIZE // 2


@pytest.mark.usefixtures("swap_file")
def test_memory_that_nobody_may_touch_is_read_all_the_same(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    child.do("protect", address=start, size=SIZE, protection=0)
    report = page_out(host, child, (start, SIZE))
    assert_all_back(restore(host), report.moved_bytes)
    assert at(child.pid, start).perms == "---p"


def test_what_the_kernel_does_not_read_is_counted(child: Child) -> None:
    start = child.map(4 * PAGE, fill=3)
    child.do("unmap", address=start + PAGE, size=2 * PAGE)
    with MemoryFile(child.pid) as memory:
        assert memory.bring((Range(start, start + 4 * PAGE),)) == (Range(start + PAGE, start + 3 * PAGE),)
        child.exec()
        assert memory.bring((Range(start, start + PAGE),)) is None, "its memory is gone"


@pytest.mark.usefixtures("swap_file")
def test_what_is_locked_since_was_brought_in_by_that(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=3)
    page_out(host, child, (start, MIB))
    child.do("lock", address=start, size=MIB)
    assert at(child.pid, start).rss == MIB
    assert restore(host).reason is Reason.ALL_BACK


@pytest.mark.usefixtures("swap_file")
def test_changed_and_unmapped_ones_are_skipped_and_counted(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))
    child.do("unmap", address=start, size=2 * MIB)
    child.do("protect", address=start + 4 * MIB, size=4 * MIB, protection=1)
    restored = restore(host)
    assert restored.outcome is Outcome.DONE
    assert at(child.pid, start + 4 * MIB).rss <= RESIDUE_BYTES
    assert at(child.pid, start + 8 * MIB).rss == pytest.approx(8 * MIB, abs=RESIDUE_BYTES)
    assert any("were unmapped since" in line for line in summary(restored)), summary(restored)
    assert any("became another mapping since" in line for line in summary(restored)), summary(restored)


@pytest.mark.usefixtures("swap_file")
def test_memory_that_a_userfaultfd_serves_is_left_alone(host: LocalHost, child: Child) -> None:
    start, beside = child.map(MIB, fill=3), child.map(MIB, fill=4)
    page_out(host, child, (start, MIB), (beside, MIB))
    child.do("serve_faults", address=start, size=MIB)
    assert "um" in at(child.pid, start).flags
    left_behind = at(child.pid, start).rss
    restored = restore(host)
    assert (restored.outcome, restored.reason) == (Outcome.PARTIAL, Reason.USERFAULTFD)
    assert at(child.pid, start).rss == left_behind <= RESIDUE_BYTES
    assert at(child.pid, beside).rss == MIB
    assert restored.still_out_bytes == MIB - left_behind


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("shared", [False, True])
def test_memory_that_a_userfaultfd_serves_meanwhile_is_left_alone(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """It begins to serve when the first step is over."""
    monkeypatch.setattr(restoring, "SERVED_EVERY_S", 0)
    start = child.map(SIZE, shared=shared, fill=3)
    page_out(host, child, (start, SIZE))
    half = start + SIZE // 2
    left_behind = len(present(child.pid, half, SIZE // 2)) * PAGE
    begun = threading.Event()

    def serve(progress: Progress) -> None:
        if progress.done_bytes and not begun.is_set():
            begun.set()
            child.do("serve_faults", address=half, size=SIZE // 2)
            # However long the look took, the next step is after the next look.
            monkeypatch.setattr(time, "monotonic", lambda: clock() + 60)

    clock = time.monotonic
    (restored,) = host.restore(host.plan_restore(), serve)
    assert begun.is_set()
    assert len(present(child.pid, half, SIZE // 2)) * PAGE == left_behind <= RESIDUE_BYTES
    assert (restored.outcome, restored.reason) == (Outcome.PARTIAL, Reason.USERFAULTFD)
    assert restored.still_out_bytes == SIZE // 2 - left_behind


@pytest.mark.usefixtures("swap_file")
def test_it_stops_while_memory_is_short(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))
    monkeypatch.setattr(headroom, "FLOOR_SHARE", 1.0)
    restored = restore(host)
    assert (restored.outcome, restored.reason) == (Outcome.REFUSED, Reason.MEMORY_LOW)
    assert restored.still_out_bytes == restored.wanted_bytes
    assert at(child.pid, start).rss <= RESIDUE_BYTES


@pytest.mark.usefixtures("swap_file")
def test_a_target_at_the_limit_of_its_cgroup_is_not_killed(group: Path, tmp_path: Path) -> None:
    """What we bring in is charged to its group: without a look at the limit the kernel kills it."""
    size = 64 * MIB
    with Child() as child, LocalHost(tmp_path) as host:
        (group / "cgroup.procs").write_text(str(child.pid))
        start, locked = child.map(size, fill=3), child.map(size // 4, fill=4)
        page_out(host, child, (start, size))
        child.do("lock", address=locked, size=size // 4)
        limit = next(name for name in ("memory.limit_in_bytes", "memory.max") if (group / name).exists())
        # What is in the swap cache still is charged too: a lower limit has it go.
        for part in (2, 3):
            (group / limit).write_text(str(size * part // 4))
        restored = restore(host)
        assert (restored.outcome, restored.reason) == (Outcome.PARTIAL, Reason.MEMORY_LIMIT)
        assert MIB <= at(child.pid, start).rss <= size // 2
        assert any("its cgroup has too little room" in line for line in summary(restored))
        (group / limit).write_text(str(4 * size))
        assert restore(host).outcome is Outcome.DONE


@pytest.mark.usefixtures("swap_file")
def test_cancel_ends_it_at_a_steps_edge(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))
    seen: list[int] = []
    cancelled = threading.Event()

    def cancel(progress: Progress) -> None:
        if progress.done_bytes:
            seen.append(at(child.pid, start).rss)
            cancelled.set()

    (restored,) = host.restore(host.plan_restore(), cancel, cancelled=cancelled)
    assert restored.outcome is Outcome.CANCELLED
    assert len(seen) == 1
    assert restored.restored_bytes == restoring.STEP_BYTES
    assert restored.still_out_bytes == (restored.wanted_bytes or 0) - restoring.STEP_BYTES
    assert restore(host).outcome is Outcome.DONE, "the rest comes with the next"


@pytest.mark.usefixtures("swap_file")
def test_a_process_that_is_gone_or_another_program_is_left_alone(host: LocalHost, child: Child) -> None:
    with Child() as other:
        first, second = child.map(MIB, fill=3), other.map(MIB, fill=3)
        ids = [page_out(host, child, (first, MIB)).id, page_out(host, other, (second, MIB)).id]
        child.exec()
        assert restore(host, ids[0]).reason is Reason.EXECED
    assert restore(host, ids[1]).reason is Reason.EXITED
    assert {entry.restored_bytes for entry in host.history().entries} == {None}


def stack_of(child: Child) -> Smap:
    return next(entry for entry in smaps(child.pid).values() if entry.name == "[stack]")


def has_random_bytes_in_ram(child: Child) -> bool:
    stack, address = stack_of(child), random_address(child.pid)
    assert address is not None
    return (address - stack.start) // PAGE in present(child.pid, stack.start, stack.end - stack.start)


def page_out_random_bytes(child: Child) -> None:
    """Have the page of the bytes that tell one program from another leave RAM."""
    stack = stack_of(child)

    def is_out() -> bool:
        drain_batches()
        child.do("madvise", address=stack.start, size=stack.end - stack.start, advice=21)
        return not has_random_bytes_in_ram(child)

    wait_until(is_out, "the last page of the stack is out")


def without_randomisation(child: Child) -> str:
    """Have a child start anew with the addresses that it will have after the next exec too."""
    child.do("do_not_randomise")
    child.exec()
    places = places_of(child.pid)
    assert places is not None
    return places


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("stack_is_out", [False, True])
def test_without_randomisation_the_next_program_is_told_too(
    host: LocalHost, child: Child, stack_is_out: bool
) -> None:
    """The same program once more, at the same addresses, with memory of its own out of RAM there."""
    places = without_randomisation(child)
    start = child.map(SIZE, fill=3, at=0x10000000000)
    stack = stack_of(child)
    report = page_out(host, child, (start, SIZE), (stack.start, stack.end - stack.start))
    child.exec()
    assert places_of(child.pid) == places, "nothing else tells them apart"
    child.map(SIZE, fill=4, at=0x10000000000)
    child.do("madvise", address=start, size=SIZE, advice=21)
    if stack_is_out:
        page_out_random_bytes(child)
    rss = at(child.pid, start).rss
    (planned,) = host.plan_restore(report.id)
    assert (planned.blocked is Reason.EXECED) is not stack_is_out
    assert has_random_bytes_in_ram(child) is not stack_is_out, "a plan brings nothing in"
    (restored,) = host.restore([planned])
    assert (restored.outcome, restored.reason) == (Outcome.GONE, Reason.EXECED), summary(restored)
    assert at(child.pid, start).rss == rss <= RESIDUE_BYTES


@pytest.mark.usefixtures("swap_file")
def test_the_same_program_is_known_with_its_stack_out(host: LocalHost, child: Child) -> None:
    without_randomisation(child)
    start, stack = child.map(SIZE, fill=3), stack_of(child)
    page_out(host, child, (start, SIZE), (stack.start, stack.end - stack.start))
    page_out_random_bytes(child)
    restored = restore(host)
    assert restored.outcome is Outcome.DONE, summary(restored)
    assert at(child.pid, start).rss == SIZE
    assert not any("address space randomisation" in line for line in summary(restored))


@pytest.mark.usefixtures("swap_file")
def test_where_the_program_cannot_be_told_it_says_so(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = child.map(SIZE, fill=3)
    report = page_out(host, child, (start, SIZE))
    records = PageRecords(host.state_dir / "pages")
    moved = records.read(report.id)
    assert moved is not None
    then = Program.of_text(moved.program)
    assert then.random is not None
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "random_address", lambda _pid: None)
        restored = restore(host)
        assert (restored.outcome, restored.reason) == (Outcome.REFUSED, Reason.PROGRAM_UNKNOWN)
        assert at(child.pid, start).rss <= RESIDUE_BYTES
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "places_of", lambda _pid: None)
        assert restore(host).reason is Reason.PROGRAM_UNKNOWN
    # It never was known: an operator without the right to attach made the record.
    path = host.state_dir / "pages" / f"{report.id}.pages"
    header, _, frames = path.read_bytes().partition(b"\n")
    content = {**json.loads(header), "program": Program(then.places, None).text}
    path.write_bytes(json.dumps(content).encode() + b"\n" + frames)
    restored = restore(host)
    assert restored.outcome is Outcome.DONE
    assert any("address space randomisation" in line for line in summary(restored)), summary(restored)


@pytest.mark.usefixtures("swap_file")
def test_one_that_exits_in_the_middle_is_told(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))

    def end(progress: Progress) -> None:
        if progress.done_bytes:
            child.end()

    (restored,) = host.restore(host.plan_restore(), end)
    assert (restored.outcome, restored.reason) == (Outcome.GONE, Reason.EXITED)
    assert restored.restored_bytes is None
    assert restored.still_out_bytes is None


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be without any right for a while: what is opened meanwhile is opened as another user."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.usefixtures("swap_file")
def test_without_the_right_to_attach_it_is_refused(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = child.map(MIB, fill=3)
    page_out(host, child, (start, MIB))
    opened = os.open

    def open_as_nobody(path: str, *arguments: int, **named: int) -> int:
        if str(path).endswith("/mem"):
            with as_nobody():
                return opened(path, *arguments, **named)
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", open_as_nobody)
    (planned,) = host.plan_restore()
    assert planned.blocked is Reason.NO_ATTACH
    (restored,) = host.restore([planned])
    assert (restored.outcome, restored.reason) == (Outcome.REFUSED, Reason.NO_ATTACH)
    assert at(child.pid, start).rss <= RESIDUE_BYTES


@pytest.mark.usefixtures("swap_file")
def test_looking_what_could_be_restored_touches_nothing(host: LocalHost, child: Child) -> None:
    start, shared = child.map(MIB, fill=3), child.map(MIB, shared=True, fill=3)
    report = page_out(host, child, (start, MIB), (shared, MIB))
    before = {number: at(child.pid, number).fields for number in (start, shared)}
    (planned,) = host.plan_restore(report.action_id)
    assert planned.wanted_bytes == planned.moved_bytes == report.moved_bytes
    assert planned.blocked is None
    assert {number: at(child.pid, number).fields for number in (start, shared)} == before


def test_what_moved_nothing_has_nothing_to_restore(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=3)
    target = host.open(child.pid)
    plan = host.plan(Advice.COLD, [Selection(target, (Mark(Range(start, start + MIB), None),))], Freeze.OFF)
    (report,) = host.apply(plan)
    restored = restore(host, report.id)
    assert (restored.outcome, restored.reason) == (Outcome.NO_EFFECT, Reason.NOTHING_MOVED)


@pytest.mark.usefixtures("swap_file")
def test_without_its_record_nothing_is_guessed(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=3)
    report = page_out(host, child, (start, MIB))
    (file,) = (host.state_dir / "pages").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    data = file.read_bytes()
    for torn in (b"", b"\xff" + data, data.replace(b'"format":2', b'"format":9')):
        file.write_bytes(torn)
        restored = restore(host, report.id)
        assert (restored.outcome, restored.reason) == (Outcome.REFUSED, Reason.PAGES_UNKNOWN)
    file.write_bytes(data)
    assert restore(host, report.id).outcome is Outcome.DONE


@pytest.mark.usefixtures("swap_file")
def test_the_command(child: Child, tmp_path: Path) -> None:
    nothing = memtui("restore", "--last", state_dir=tmp_path)
    assert nothing.returncode == 1
    assert "nothing in the ledger has moved anything" in one_line(nothing)
    start = child.map(SIZE, fill=3)
    part = ("--range", span(start, SIZE), "--freeze", "off", "--json")
    (moved,) = rows(memtui("advise", "pageout", child.pid, *part, state_dir=tmp_path))
    wrong = memtui("restore", "20200101T000000-abcd", state_dir=tmp_path)
    assert wrong.returncode == 2
    assert "no such action" in one_line(wrong)
    done = memtui("restore", moved["action_id"], "--json", state_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = rows(done)
    assert list(row) == [
        *("schema", "id", "time", "target", "operator", "wanted_bytes", "restored_bytes"),
        *("also_back_bytes", "still_out_bytes", "outcome", "reason", "reason_text"),
    ]
    assert (row["schema"], row["id"], row["outcome"]) == ("memtui.restore/1", moved["id"], "done")
    assert row["restored_bytes"] == moved["moved_bytes"]
    assert at(child.pid, start).rss >= SIZE * 0.99
    again = memtui("restore", "--last", state_dir=tmp_path)
    assert again.returncode == 0
    assert "no_effect" in again.stdout
    whose = again.stdout.splitlines()[0]
    assert whose.startswith(f"the last action: pageout on {child.pid} ")
    assert whose.endswith(", by uid 0 without a terminal") or "uid 0 (" in whose
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert entry["restored_bytes"] == moved["moved_bytes"]


@pytest.mark.usefixtures("swap_file")
def test_an_interrupt_ends_it_and_says_how_far_it_came(child: Child, tmp_path: Path) -> None:
    size = 256 * MIB
    start = child.map(size, fill=3)
    part = ("--range", span(start, size), "--freeze", "off")
    memtui("advise", "pageout", child.pid, *part, state_dir=tmp_path)
    process = subprocess.Popen(
        command("--state-dir", tmp_path, "restore", "--last", "--json"),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: at(child.pid, start).rss > 4 * MIB, "the first pages are back")
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)
    assert process.returncode == 5
    row = json.loads(told)
    assert row["outcome"] == "cancelled"
    assert row["reason_text"] == "cancelled in the middle"
    assert row["restored_bytes"] == at(child.pid, start).rss
    assert row["restored_bytes"] + row["still_out_bytes"] == row["wanted_bytes"]


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("when", ["plan_restore", "restore"])
def test_an_interrupt_before_the_first_page_is_not_forgotten(
    child: Child,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    when: str,
) -> None:
    """It comes when all was planned, or when the restore is just to begin."""
    start = child.map(SIZE, fill=3)
    part = ("--range", span(start, SIZE), "--freeze", "off")
    memtui("advise", "pageout", child.pid, *part, state_dir=tmp_path)
    rss = at(child.pid, start).rss
    original = getattr(LocalHost, when)

    def interrupt(host: LocalHost, *arguments: object, cancelled: threading.Event, **named: object) -> object:
        planned = original(host, *arguments, cancelled=cancelled, **named) if when == "plan_restore" else None
        os.kill(os.getpid(), signal.SIGINT)
        assert cancelled.wait(20), "the signal was heard"
        return planned or original(host, *arguments, cancelled=cancelled, **named)

    monkeypatch.setattr(LocalHost, when, interrupt)
    asked = argparse.Namespace(id=None, last=True, of_pid=None, dry_run=False, json=False, state_dir=tmp_path)
    code = restore_command.run(asked)
    assert code == 5
    assert at(child.pid, start).rss == rss, "nothing was touched"
    told = capsys.readouterr()
    assert "cancelled" in told.out + told.err


@pytest.mark.usefixtures("swap_file")
def test_a_target_that_drops_pages_meanwhile_gets_none_of_them_back(host: LocalHost, child: Child) -> None:
    """The pages are looked at again before each step, not only at the beginning."""
    start = child.map(SIZE, fill=3)
    page_out(host, child, (start, SIZE))
    dropped = threading.Event()

    def drop(progress: Progress) -> None:
        if progress.done_bytes and not dropped.is_set():
            dropped.set()
            child.do("madvise", address=start + SIZE // 2, size=SIZE // 2, advice=4)

    (restored,) = host.restore(host.plan_restore(), drop)
    assert (restored.outcome, restored.reason) == (Outcome.PARTIAL, Reason.PAGE_GONE)
    assert restored.still_out_bytes == 0, "what is no more is not out"
    assert present(child.pid, start + SIZE // 2, SIZE // 2) == []
    wait_until(lambda: at(child.pid, start).rss >= SIZE * 0.49, "the first half is back")

"""What is read of processes is what the kernel says of them, by every way of reading it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import process_handle as handle_module
from memtui.linux import processes as processes_module
from memtui.linux import syscalls, sysinfo
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.processes import ProcessList
from memtui.linux.procfs import parse_maps, read_stat
from memtui.linux.sharers import mappers_of
from memtui.linux.vma_table import MapTable
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError, NoSuchProcess, Unusable
from memtui.model.freeze import Freeze
from memtui.model.pages import tally
from memtui.model.plan import Mark
from memtui.model.process import Liveness, Process
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.vma import ANONYMOUS_KINDS, Vma, VmaKind
from tests.conftest import need
from tests.kernel.toolkit import HUGE, MIB, NOBODY, PAGE, RESIDUE_BYTES, Child, at, smaps, wait_until, within

if TYPE_CHECKING:
    from collections.abc import Iterator

MADV_GUARD_INSTALL = 102


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of our own, named as a unit: of v1's memory controller where v2 is not in use here."""
    top = Path("/sys/fs/cgroup/memory")
    top = top if top.is_dir() else Path("/sys/fs/cgroup")
    need((top / "cgroup.procs").exists(), "no cgroups on this machine")
    folder = top / f"memtui-test-{os.getpid()}.service"
    folder.mkdir()
    yield folder
    for pid in (folder / "cgroup.procs").read_text().split():
        (top / "cgroup.procs").write_text(pid)
    folder.rmdir()


SOURCES = [Source.SCAN, Source.PAGEMAP, Source.SMAPS]


def look(handle: ProcessHandle, source: Source) -> dict[tuple[int, int], tuple[Vma, int, int]]:
    """Return RSS and swap by the addresses of each VMA."""
    vmas = parse_maps(handle.read_maps(), sysinfo.shmem_devices(handle.pid))
    found = PageReader(handle, source).residency(vmas)
    return {
        (vma.start, vma.end): (vma, rss, swap)
        for vma, rss, swap in zip(vmas, found.rss_bytes, found.swap_bytes, strict=True)
    }


def all_handles() -> Iterator[ProcessHandle]:
    for entry in sorted(os.listdir("/proc")):
        if entry.isdigit():
            try:
                handle = ProcessHandle(int(entry))
            except MemtuiError:
                # A kernel thread, a zombie, or gone: it has no map.
                continue
            with handle:
                yield handle


def faults(handle: ProcessHandle) -> tuple[int, int]:
    """How often it faulted: where a page came between two looks that agree, one more time."""
    stat = read_stat(handle.pid)
    return stat.minor_faults, stat.major_faults


@pytest.mark.parametrize("source", SOURCES)
def test_rss_and_swap_of_every_vma_on_the_machine_equal_smaps(source: Source) -> None:
    compared = processes = 0
    for handle in all_handles():
        try:
            faulted = faults(handle)
            first = look(handle, source)
            told = smaps(handle.pid)
            second = look(handle, source)
            is_quiet = faults(handle) == faulted
        except (MemtuiError, OSError):
            assert handle.standing() is not Liveness.ALIVE
            continue
        processes += 1
        if not is_quiet:
            continue
        for key, row in first.items():
            entry = told.get(key)
            if entry is None or second.get(key) != row or "ht" in entry.flags:
                continue
            vma, rss, swap = row
            # The zero page cannot be told from others where pagemap is read entry by entry.
            extra = rss - entry.rss if source is Source.PAGEMAP and vma.kind in ANONYMOUS_KINDS else 0
            assert rss == entry.rss + extra, (handle.pid, vma, entry)
            assert 0 <= extra <= vma.size_bytes
            if vma.kind is not VmaKind.SHMEM:
                assert swap == entry.swap, (handle.pid, vma, entry)
            compared += 1
    assert processes >= 2
    assert compared >= 100


@pytest.mark.parametrize("source", SOURCES)
def test_more_runs_than_the_buffer_holds(child: Child, source: Source) -> None:
    pages = 10_000
    start = child.map(pages * PAGE)
    child.do("dirty", address=start, size=pages * PAGE, step=2 * PAGE)
    with ProcessHandle(child.pid) as handle:
        rss = {key[0]: row[1] for key, row in look(handle, source).items()}[start]
        assert rss == at(child.pid, start).rss == pages // 2 * PAGE
        runs = PageReader(handle, source).runs((Range(start, start + pages * PAGE),))
    if source is Source.SMAPS:
        assert runs is None
    else:
        assert runs is not None
        assert [run[:2] for run in runs] == [
            (place, place + PAGE) for place in range(start, start + pages * PAGE, 2 * PAGE)
        ]


def test_the_zero_page_is_no_rss(child: Child) -> None:
    start = child.map(64 * PAGE)
    child.do("touch", address=start, size=64 * PAGE)
    child.do("dirty", address=start, size=PAGE, step=PAGE)
    with ProcessHandle(child.pid) as handle:
        rss = {source: look(handle, source)[start, start + 64 * PAGE][1] for source in SOURCES}
    assert rss[Source.SCAN] == rss[Source.SMAPS] == at(child.pid, start).rss == PAGE
    # Documented: an entry of pagemap does not tell the zero page.
    assert rss[Source.PAGEMAP] == 64 * PAGE


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("source", SOURCES)
def test_swap_and_huge_pages(child: Child, source: Source) -> None:
    size = 2 * HUGE
    start = child.map(2 * size, align=HUGE, fill=1)
    child.do("madvise", address=start, size=size, advice=21)
    child.do("madvise", address=start + size, size=size, advice=25)
    told = at(child.pid, start)
    assert told.huge == size
    assert told.swap >= size - RESIDUE_BYTES
    with ProcessHandle(child.pid) as handle:
        assert look(handle, source)[told.start, told.end][1:] == (told.rss, told.swap)
        runs = PageReader(handle, source).runs((Range(told.start, told.end),))
    if runs is not None and source is Source.SCAN:
        assert tally(runs) == (told.rss, told.swap, told.huge)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM])
def test_a_kernel_without_the_two_ioctls_is_read_all_the_same(
    child: Child, host: LocalHost, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), "PAGEMAP_SCAN")

    monkeypatch.setattr(syscalls.PageScanner, "scan_raw", refuse)
    monkeypatch.setattr(syscalls.MapQuery, "at_or_after", refuse)
    start = child.map(MIB, fill=1)
    target = host.open(child.pid)
    space = target.look()
    assert space.source == Source.PAGEMAP.value
    assert space.rss_bytes is not None
    assert space.rss_bytes[[vma.start for vma in space.vmas].index(start)] == at(child.pid, start).rss == MIB
    wanted = [Selection(target, (Mark(Range(start, start + MIB), None),))]
    (report,) = host.apply(host.plan(Advice.COLD, wanted, Freeze.OFF))
    assert report.advised_bytes == MIB
    assert {finding.check for finding in host.doctor(child.pid)}
    target.release()


def test_details_are_those_of_smaps(child: Child) -> None:
    start = child.map(MIB, fill=1)
    child.do("lock", address=start, size=16 * PAGE)
    child.fork()
    with ProcessHandle(child.pid) as handle:
        details = PageReader(handle).details()
        told = smaps(child.pid)
        again = PageReader(handle).details()
    assert len(details) == len(told) > 20
    assert "lo" in details[start].flags
    # The child may still be copying a page of its own after the fork.
    still = [entry for entry in told.values() if details[entry.start] == again[entry.start]]
    assert len(still) > 20
    for entry in still:
        found = details[entry.start]
        assert found.flags == tuple(entry.flags)
        assert found.size_bytes == entry.end - entry.start
        assert found.shared_bytes == entry.fields["Shared_Clean"] + entry.fields["Shared_Dirty"]
        assert found.anonymous_bytes == entry.fields["Anonymous"]
        assert found.locked_bytes == entry.fields["Locked"]
        assert (found.pss_bytes, found.huge_bytes) == (entry.fields["Pss"], entry.huge)


@pytest.mark.parametrize("name", ["VmFlags:", "Rss:  1 kB", "1000-2000 r--p", "a\nVmFlags: rd"])
def test_a_name_like_a_line_of_smaps(child: Child, tmp_path: Path, name: str) -> None:
    """In the first record, from which the shape of all is learnt."""
    lowest = 0x10000
    (tmp_path / name).write_bytes(bytes(PAGE))
    child.map(PAGE, at=lowest, path=str(tmp_path / name))
    child.do("touch", address=lowest, size=PAGE)
    with ProcessHandle(child.pid) as handle:
        details = PageReader(handle).details()
        told = smaps(child.pid)
    assert min(details) == lowest
    assert details.keys() == {entry.start for entry in told.values()}
    assert details[lowest].rss_bytes == PAGE
    assert details[lowest].flags == tuple(at(child.pid, lowest).flags)


def test_a_file_name_is_read_as_the_kernel_writes_it(child: Child, tmp_path: Path) -> None:
    path = tmp_path / "a b\n [x] \x1b]0;x\x07\u202e\\ \udcff "
    path.write_bytes(bytes(PAGE))
    start = child.map(PAGE, path=str(path))
    with ProcessHandle(child.pid) as handle:
        vmas = {vma.start: vma for vma in parse_maps(handle.read_maps(), frozenset())}
    assert vmas[start].name == str(path).replace("\n", "\\012")


def test_an_exec_is_told(child: Child) -> None:
    with ProcessHandle(child.pid) as handle:
        assert handle.standing() is Liveness.ALIVE
        child.exec()
        assert handle.standing() is Liveness.EXECED
        with pytest.raises(Unusable) as told:
            handle.read_maps()
    assert told.value.reason is Reason.EXECED


def test_an_end_is_told(child: Child) -> None:
    with ProcessHandle(child.pid) as handle:
        child.exit()
        assert handle.standing() is Liveness.EXITED
        with pytest.raises(NoSuchProcess) as told:
            handle.read_maps()
    assert told.value.reason is Reason.EXITED
    with pytest.raises(NoSuchProcess) as told:
        ProcessHandle(child.pid)
    assert told.value.reason is Reason.NO_SUCH_PROCESS


def test_a_zombie_is_told(child: Child) -> None:
    zombie = child.fork_zombie()
    with pytest.raises(Unusable) as told:
        ProcessHandle(zombie)
    assert told.value.reason is Reason.ZOMBIE
    child.do("reap", child=zombie)


def test_a_thread_group_without_its_leader_is_told(child: Child) -> None:
    child.end_leader()
    with pytest.raises(Unusable) as told:
        ProcessHandle(child.pid)
    assert told.value.reason is Reason.LEADER_EXITED


def test_a_kernel_thread_is_told() -> None:
    with pytest.raises(Unusable) as told:
        ProcessHandle(2)
    assert told.value.reason is Reason.KERNEL_THREAD


def test_a_thread_is_no_process(child: Child) -> None:
    thread = next(int(tid) for tid in os.listdir(f"/proc/{child.pid}/task") if int(tid) != child.pid)
    with pytest.raises(NoSuchProcess):
        ProcessHandle(thread)


def test_without_pagemap_the_numbers_stay_live(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle_module, "_open_pagemap", lambda _pid: None)
    start = child.map(MIB)
    with LocalHost(tmp_path) as host:
        target = host.open(child.pid)

        def rss(details: bool) -> int | None:
            space = target.look(details=details)
            assert space.source == "smaps"
            return next(row.rss_bytes for row in space.rows() if row.vma.start == start)

        assert rss(details=True) == 0
        child.do("write", address=start, size=MIB, seed=1)
        assert rss(details=False) == at(child.pid, start).rss == MIB
        target.release()


def test_details_are_kept_only_while_the_same_vma_stands(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    with LocalHost(tmp_path) as host:
        target = host.open(child.pid)
        target.look(details=True)
        kept = target.look()
        assert start in kept.details
        child.do("unmap", address=start, size=MIB)
        child.map(MIB // 2, at=start)
        assert start not in target.look().details
        target.release()


def test_the_process_list_follows_an_exec(child: Child) -> None:
    processes = ProcessList()

    def row() -> tuple[str, str | None, int | None]:
        found = next(process for process in processes.read() if process.pid == child.pid)
        return found.name, found.command, found.rss_bytes

    command_before = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert row()[1] == command_before.rstrip(b"\0").replace(b"\0", b" ").decode()
    child.send("become", program="/bin/sleep", arguments=["sleep", "1000"])
    wait_until(lambda: b"1000" in Path(f"/proc/{child.pid}/cmdline").read_bytes(), "it sleeps")
    assert row()[:2] == ("sleep", "sleep 1000")


def test_the_process_list_has_what_status_says(child: Child) -> None:
    child.map(4 * MIB, fill=1)
    zombie = child.fork_zombie()
    found = {process.pid: process for process in ProcessList().read()}
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
    assert found[child.pid].rss_bytes == int(status["VmRSS"].split()[0]) * 1024
    assert found[child.pid].swap_bytes == int(status["VmSwap"].split()[0]) * 1024
    assert found[child.pid].user == "root"
    assert (found[zombie].state, found[zombie].rss_bytes) == ("Z", 0)
    assert found[2].is_kernel_thread
    assert list(found) == sorted(found)
    child.do("reap", child=zombie)


class Passes:
    """The process list, read every two seconds of a clock that a test moves on."""

    def __init__(self, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pid = pid
        self._now = 1000.0
        monkeypatch.setattr(processes_module, "time", SimpleNamespace(monotonic=lambda: self._now))
        self._list = ProcessList()

    def row(self) -> Process:
        self._now += 2.0
        return next(process for process in self._list.read() if process.pid == self._pid)

    def after_5_s(self) -> Process:
        """Return the row as of the last pass within five seconds."""
        self.row()
        return self.row()


def test_the_process_list_follows_a_change_of_the_user(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(child.pid, monkeypatch)
    assert passes.row().user == "root"
    child.do("set_user", user=NOBODY)
    assert Path(f"/proc/{child.pid}/stat").stat().st_uid == 0, "it is not dumpable now"
    assert passes.row().user == "nobody"


def test_the_process_list_follows_a_title(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(child.pid, monkeypatch)
    before = passes.after_5_s()
    for title in ("worker: idle", "worker: busy"):
        child.do("set_title", title=title)
        assert passes.after_5_s().command == title != before.command


def test_the_process_list_follows_an_exec_under_the_same_name(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(child.pid, monkeypatch)
    before = passes.after_5_s()
    arguments = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)"]
    child.send("become", program=sys.executable, arguments=arguments)
    wait_until(lambda: b"1000" in Path(f"/proc/{child.pid}/cmdline").read_bytes(), "it sleeps")
    after = passes.after_5_s()
    assert after.name == before.name
    assert after.command == " ".join(arguments) != before.command


def test_the_process_list_follows_a_move_to_another_cgroup(
    child: Child, cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(child.pid, monkeypatch)
    before = passes.after_5_s()
    (cgroup / "cgroup.procs").write_text(str(child.pid))
    after = passes.after_5_s()
    assert before.cgroup != after.cgroup
    assert after.cgroup is not None
    assert after.cgroup.endswith(f"/{cgroup.name}")
    assert after.unit == cgroup.name


def test_the_process_list_has_the_parts_of_rss(child: Child) -> None:
    child.map(4 * MIB, fill=1)
    child.map(2 * MIB, fill=1, shared=True)
    found = next(process for process in ProcessList().read() if process.pid == child.pid)
    told = dict(line.split(":\t", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
    parts = (found.anon_bytes, found.file_bytes, found.shmem_bytes)
    assert parts == tuple(int(told[key].split()[0]) * 1024 for key in ("RssAnon", "RssFile", "RssShmem"))
    assert sum(part or 0 for part in parts) == found.rss_bytes
    assert (found.anon_bytes or 0) >= 4 * MIB
    assert (found.shmem_bytes or 0) >= 2 * MIB
    assert found.hugetlb_bytes == 0


def test_a_process_whose_first_thread_has_ended_keeps_its_memory(child: Child) -> None:
    processes = ProcessList()

    def row() -> Process:
        return next(process for process in processes.read() if process.pid == child.pid)

    child.map(64 * MIB, fill=1)
    before = row()
    child.end_leader()
    after = row()
    assert (after.state, after.leader_exited, after.has_memory) == ("Z", True, True)
    assert after.command == before.command
    (thread,) = (name for name in os.listdir(f"/proc/{child.pid}/task") if name != str(child.pid))
    status = Path(f"/proc/{child.pid}/task/{thread}/status").read_text().splitlines()
    assert after.rss_bytes == next(
        int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:")
    )
    assert (after.rss_bytes or 0) > 64 * MIB
    child.map(8 * MIB, fill=1)
    assert (row().rss_bytes or 0) >= (after.rss_bytes or 0) + 7 * MIB


def test_a_name_that_looks_like_another_file_makes_no_mapper(child: Child, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted"
    wanted.write_bytes(bytes(PAGE))
    start = child.map(PAGE, path=str(wanted))
    (vma,) = (
        vma
        for vma in parse_maps(Path(f"/proc/{child.pid}/maps").read_bytes(), frozenset())
        if vma.start == start
    )
    evil = tmp_path / f"evil {vma.device} {vma.inode} y"
    evil.write_bytes(bytes(PAGE))
    with Child() as other:
        there = other.map(PAGE, path=str(evil))
        assert mappers_of(vma, but=child.pid).found == ()
        other.do("unmap", address=there, size=PAGE)
        other.map(PAGE, path=str(wanted))
        assert [mapper.pid for mapper in mappers_of(vma, but=child.pid).found] == [other.pid]


@pytest.mark.parametrize("source", SOURCES)
def test_a_guard_region_is_not_in_swap(child: Child, source: Source) -> None:
    start = child.map(4 * MIB, fill=1)
    try:
        child.do("madvise", address=start, size=MIB, advice=MADV_GUARD_INSTALL)
    except AssertionError as error:
        need(False, f"no guard regions on this kernel: {error}")
    told = at(child.pid, start)
    assert (told.rss, told.swap) == (3 * MIB, 0)
    with ProcessHandle(child.pid) as handle:
        _, rss, swap = next(item for item in look(handle, source).values() if item[0].start == start)
    assert (rss, swap) == (3 * MIB, 0)


def test_what_a_guard_region_covers_is_no_ones_to_read_in(child: Child, host: LocalHost) -> None:
    start = child.map(4 * MIB, fill=1)
    try:
        child.do("madvise", address=start, size=MIB, advice=MADV_GUARD_INSTALL)
    except AssertionError as error:
        need(False, f"no guard regions on this kernel: {error}")
    target = host.open(child.pid)
    wanted = [Selection(target, (Mark(Range(start, start + 4 * MIB), None),))]
    (willneed,) = host.plan(Advice.WILLNEED, wanted, Freeze.OFF).targets
    (pageout,) = host.plan(Advice.PAGEOUT, wanted, Freeze.OFF).targets
    assert willneed.forecast_bytes == 0
    assert Reason.ALREADY_OUT not in {why.reason for why in pageout.reasons}
    target.release()


@pytest.mark.usefixtures("swap_file")
def test_a_second_pass_sees_what_came_and_what_went_to_swap(child: Child, host: LocalHost) -> None:
    processes = ProcessList()

    def row() -> Process:
        return next(process for process in processes.read() if process.pid == child.pid)

    def told(key: str) -> int:
        lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

    first = row()
    assert row() is first
    start = child.map(4 * MIB, fill=1)
    assert row().rss_bytes == told("VmRSS:") > (first.rss_bytes or 0) + 3 * MIB
    wanted = Selection(host.open(child.pid), (Mark(Range(start, start + 4 * MIB), None),))
    host.apply(host.plan(Advice.PAGEOUT, [wanted], Freeze.OFF))
    assert row().swap_bytes == told("VmSwap:") > 3 * MIB
    child.checksum(start, 4 * MIB)
    assert row().swap_bytes == told("VmSwap:") < MIB


def test_live_numbers_of_every_vma_on_the_machine_equal_smaps() -> None:
    compared = 0
    for handle in all_handles():
        if handle.pid == os.getpid() or handle.pagemap_fd is None:
            continue
        try:
            faulted = faults(handle)
            before = smaps(handle.pid)
            table = MapTable(handle.read_maps(), sysinfo.shmem_devices(handle.pid))
            live = PageReader(handle).live(table)
            assert live is not None
            live.read()
            after = smaps(handle.pid)
            is_quiet = faults(handle) == faulted
        except (MemtuiError, OSError):
            assert handle.standing() is not Liveness.ALIVE
            continue
        if not is_quiet:
            continue
        for vma, rss in zip(table, live.rss_bytes, strict=True):
            was, now = before.get((vma.start, vma.end)), after.get((vma.start, vma.end))
            if was is not None and now is not None and was.rss == now.rss and vma.name != "[vsyscall]":
                assert rss == was.rss, (handle.name, vma)
                compared += 1
    assert compared > 50


def test_a_vma_of_one_page_each(child: Child) -> None:
    start = child.do("map_pages", count=500, fill=1)
    with ProcessHandle(child.pid) as handle:
        found = look(handle, Source.SCAN)
    told = within(child.pid, start, start + 1000 * PAGE)
    assert len(told) == 500
    assert all(found[entry.start, entry.end][1] == entry.rss == PAGE for entry in told)

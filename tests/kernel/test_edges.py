"""Awkward maps and awkward targets: all that could be advised was, the rest is named with its reason."""

from __future__ import annotations

import errno
import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import process_handle, syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, RangeReport, TargetReport
from tests.kernel.toolkit import (
    HUGE,
    MIB,
    PAGE,
    RESIDUE_BYTES,
    Child,
    at,
    memtui,
    one_line,
    rows,
    smaps,
    span,
    state_of,
    total,
    wait_until,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = pytest.mark.usefixtures("swap_file")

GIB = 1 << 30
METHODS = list(Freeze)


def advise_vector(
    host: LocalHost,
    child: Child,
    advice: Advice,
    ranges: Sequence[tuple[int, int]],
    freeze: Freeze = Freeze.OFF,
    on_call: Callable[[], None] | None = None,
) -> TargetReport:
    """Advise ranges (start, size); ``on_call`` runs after each call, when nothing is held."""
    target = host.open(child.pid)
    marks = tuple(Mark(Range(start, start + size), None) for start, size in ranges)
    try:
        plan = host.plan(advice, [Selection(target, marks)], freeze)
        (report,) = host.apply(plan, None if on_call is None else lambda _progress: on_call())
        return report
    finally:
        target.release()


def ends(report: TargetReport) -> list[tuple[Outcome, Reason | None]]:
    return [(item.outcome, item.reason) for item in report.ranges]


def part(report: TargetReport, address: int) -> RangeReport:
    return next(item for item in report.ranges if item.planned.range.start == address)


class Once:
    """Does something the first time it is called, and nothing after that."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self._action()


@pytest.fixture
def before_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Once]:
    """Have something happen between the re-check and the first real call."""

    def set_up(action: Callable[[], object]) -> Once:
        once, real = Once(action), syscalls.process_madvise

        def call(pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
            if elements:
                once()
            return real(pidfd, elements, advice, flags)

        monkeypatch.setattr(syscalls, "process_madvise", call)
        return once

    return set_up


@pytest.fixture
def behind_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Once]:
    """Have something happen between the first real call and what looks for its effect."""

    def set_up(action: Callable[[], object]) -> Once:
        once, real = Once(action), syscalls.process_madvise

        def call(pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
            result = real(pidfd, elements, advice, flags)
            if elements:
                once()
            return result

        monkeypatch.setattr(syscalls, "process_madvise", call)
        return once

    return set_up


@pytest.mark.parametrize("freeze", METHODS)
def test_two_thousand_vmas_of_one_page(host: LocalHost, child: Child, freeze: Freeze) -> None:
    count = 2000
    start = child.do("map_pages", count=count, fill=1)
    pages = [(start + 2 * number * PAGE, PAGE) for number in range(count)]
    report = advise_vector(host, child, Advice.PAGEOUT, pages, freeze)
    told = within(child.pid, start, start + 2 * count * PAGE)
    assert len(told) == len(report.ranges) == count
    assert report.advised_bytes == count * PAGE
    assert report.moved_bytes == count * PAGE - total(told, "rss") == total(told, "swap")
    assert report.moved_bytes >= count * PAGE - RESIDUE_BYTES
    assert report.calls == 8
    assert report.holds == (0 if freeze is Freeze.OFF else 1)
    for entry in told:
        assert part(report, entry.start).moved_bytes == PAGE - entry.rss


@pytest.mark.parametrize("freeze", METHODS)
def test_a_sparse_mapping_of_5_gib(host: LocalHost, child: Child, freeze: Freeze) -> None:
    size, step = 5 * GIB, 2 * MIB
    start = child.map(size, no_reserve=True)
    child.do("dirty", address=start, size=size, step=step)
    before = at(child.pid, start)
    assert before.rss == size // step * PAGE
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, size)], freeze)
    after = at(child.pid, start)
    # One call over all of it would have been cut at 2 GiB in silence.
    assert report.advised_bytes == size
    assert report.moved_bytes == before.rss - after.rss == after.swap
    assert after.rss <= RESIDUE_BYTES
    assert report.outcome is Outcome.DONE


@pytest.mark.parametrize("freeze", METHODS)
@pytest.mark.parametrize("protection", [0, 3])
def test_a_reservation_of_16_tib_costs_few_calls(
    host: LocalHost, child: Child, freeze: Freeze, protection: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 16 << 40
    start = child.map(size, no_reserve=True, protection=protection)
    scans = 0
    real = syscalls.PageScanner.scan

    def counted(scanner: syscalls.PageScanner, low: int, high: int, most: int) -> object:
        nonlocal scans
        scans += 1
        return real(scanner, low, high, most)

    monkeypatch.setattr(syscalls.PageScanner, "scan", counted)
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, size)], freeze)
    assert report.advised_bytes == size
    assert report.moved_bytes == 0
    assert ends(report) == [(Outcome.NO_EFFECT, Reason.NOTHING_RESIDENT)]
    # A call takes less than 2 GiB of addresses; a look at none of it costs one scan a hold or round.
    assert report.calls <= 2 * size // (2 * GIB)
    assert scans <= 1000


def test_a_range_over_a_hole(child: Child, tmp_path: Path) -> None:
    start = child.map(12 * PAGE, fill=1)
    child.do("unmap", address=start + 4 * PAGE, size=4 * PAGE)
    done = memtui(
        *("advise", "pageout", child.pid, "--range", span(start, 12 * PAGE), "--freeze", "off", "--json"),
        state_dir=tmp_path,
    )
    (report,) = rows(done)
    assert done.returncode == 1
    assert report["outcome"] == "partial"
    assert [(item["outcome"], item["reason"]) for item in report["ranges"]][1] == ("refused", "not_mapped")
    assert [item["advised_bytes"] for item in report["ranges"]] == [4 * PAGE, 0, 4 * PAGE]
    assert report["ranges"][1]["start"] == f"{start + 4 * PAGE:x}"
    assert report["ranges"][1]["end"] == f"{start + 8 * PAGE:x}"
    told = within(child.pid, start, start + 12 * PAGE)
    assert report["moved_bytes"] == 8 * PAGE - total(told, "rss")


@pytest.mark.parametrize("freeze", METHODS)
def test_a_locked_range_in_the_middle(host: LocalHost, child: Child, freeze: Freeze) -> None:
    size = 4 * MIB
    start = child.map(3 * size, fill=1)
    child.do("lock", address=start + size, size=size)
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, 3 * size)], freeze)
    assert [item.outcome for item in report.ranges] == [Outcome.DONE, Outcome.REFUSED, Outcome.DONE]
    locked = part(report, start + size)
    assert (locked.reason, locked.advised_bytes, locked.moved_bytes) == (Reason.LOCKED, 0, None)
    assert at(child.pid, start + size).rss == size
    told = within(child.pid, start, start + 3 * size)
    assert report.advised_bytes == 2 * size
    assert report.moved_bytes == 3 * size - total(told, "rss") >= 2 * size - 2 * RESIDUE_BYTES
    assert report.outcome is Outcome.PARTIAL


def test_a_range_locked_after_the_plan_is_named_with_its_errno(
    host: LocalHost, child: Child, before_call: Callable[[Callable[[], object]], Once]
) -> None:
    size = 4 * MIB
    start = child.map(3 * size, fill=1)
    marks = [(start, size), (start + size, size), (start + 2 * size, size)]
    once = before_call(lambda: child.do("lock", address=start + size, size=size))
    report = advise_vector(host, child, Advice.PAGEOUT, marks)
    assert once.done
    middle = part(report, start + size)
    assert (middle.outcome, middle.reason, middle.errno) == (
        Outcome.REFUSED,
        Reason.NOT_RECLAIMABLE,
        "EINVAL",
    )
    assert at(child.pid, start + size).rss == size
    assert at(child.pid, start).rss <= RESIDUE_BYTES
    assert at(child.pid, start + 2 * size).rss <= RESIDUE_BYTES
    assert report.advised_bytes == 2 * size
    assert report.outcome is Outcome.PARTIAL


@pytest.mark.parametrize("name", ["[vvar]", "[vvar_vclock]", "[vsyscall]"])
@pytest.mark.parametrize("advice", ["cold", "pageout", "collapse"])
def test_the_kernels_own_pages_are_refused(child: Child, tmp_path: Path, name: str, advice: str) -> None:
    found = [entry for entry in smaps(child.pid).values() if entry.name == name]
    if not found:
        pytest.skip(f"this kernel maps no {name}")
    (entry,) = found
    start = child.map(MIB, fill=1)
    done = memtui(
        *("advise", advice, child.pid, "--json", "--freeze", "off"),
        *("--range", span(entry.start, entry.end - entry.start), "--range", span(start, MIB)),
        state_dir=tmp_path,
    )
    (report,) = rows(done)
    assert done.returncode == 1
    by_start = {item["start"]: item for item in report["ranges"]}
    refused = by_start[f"{entry.start:x}"]
    reason = "vsyscall" if name == "[vsyscall]" else "pfnmap"
    assert (refused["outcome"], refused["reason"], refused["advised_bytes"]) == ("refused", reason, 0)
    if advice != "collapse":
        # It did not poison the vector of the other.
        assert by_start[f"{start:x}"]["advised_bytes"] == MIB


@pytest.mark.parametrize(
    "text", ["1001-2000", "1000-2001", "2000-1000", "1000-1000", "0-20000000000000000", "x-y", "1000", ""]
)
def test_an_absurd_range_is_wrong_usage(child: Child, tmp_path: Path, text: str) -> None:
    done = memtui("advise", "cold", child.pid, f"--range={text}", state_dir=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--range" in one_line(done)


@pytest.mark.parametrize("text", ["0-1000", "fffffffffffff000-10000000000000000"])
def test_a_range_of_nothing_is_not_mapped(child: Child, tmp_path: Path, text: str) -> None:
    done = memtui("advise", "cold", child.pid, "--range", text, "--json", state_dir=tmp_path)
    (report,) = rows(done)
    assert done.returncode == 1
    assert (report["outcome"], report["advised_bytes"], report["calls"]) == ("refused", 0, 0)
    assert [item["reason"] for item in report["ranges"]] == ["not_mapped"]


def test_all_addresses_there_are(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    done = memtui(
        *("advise", "cold", child.pid, "--range", "0-10000000000000000", "--json", "--freeze", "off"),
        state_dir=tmp_path,
    )
    (report,) = rows(done)
    assert done.returncode == 1
    ranges = report["ranges"]
    assert ranges[0]["start"] == "0"
    assert ranges[-1]["end"] == "10000000000000000"
    assert all(low["end"] == high["start"] for low, high in pairwise(ranges))
    mine = next(item for item in ranges if item["start"] == f"{start:x}")
    assert (mine["outcome"], mine["advised_bytes"]) == ("done", MIB)


def test_a_target_that_exits_between_two_calls(host: LocalHost, child: Child) -> None:
    start = child.map(128 * MIB, align=HUGE, fill=1)
    once = Once(child.exit)
    report = advise_vector(host, child, Advice.COLD, [(start, 128 * MIB)], on_call=once)
    assert once.done
    assert report.calls == 1
    assert report.reason is Reason.EXITED
    assert report.outcome is Outcome.PARTIAL
    assert 0 < report.advised_bytes <= 32 * MIB


def test_a_target_that_exits_before_the_first_call(
    host: LocalHost, child: Child, before_call: Callable[[Callable[[], object]], Once]
) -> None:
    start = child.map(MIB, fill=1)
    target = host.open(child.pid)
    plan = host.plan(
        Advice.PAGEOUT, [Selection(target, (Mark(Range(start, start + MIB), None),))], Freeze.OFF
    )
    child.exit()
    (report,) = host.apply(plan)
    assert (report.outcome, report.reason, report.advised_bytes) == (Outcome.GONE, Reason.EXITED, 0)
    target.release()


def test_a_target_that_exits_right_before_the_call(
    host: LocalHost, child: Child, before_call: Callable[[Callable[[], object]], Once]
) -> None:
    start = child.map(MIB, fill=1)
    before_call(child.exit)
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, MIB)])
    assert (report.outcome, report.reason, report.advised_bytes) == (Outcome.GONE, Reason.EXITED, 0)
    assert report.moved_bytes is None


@pytest.mark.parametrize(
    ("freeze", "ending"),
    [(Freeze.OFF, "exit"), (Freeze.OFF, "exec"), *((held, "kill") for held in METHODS[1:])],
)
@pytest.mark.parametrize("advice", [Advice.COLD, Advice.PAGEOUT, Advice.COLLAPSE])
def test_nothing_is_claimed_of_a_map_that_is_gone(
    host: LocalHost,
    child: Child,
    behind_call: Callable[[Callable[[], object]], Once],
    advice: Advice,
    ending: str,
    freeze: Freeze,
) -> None:
    start = child.map(HUGE, align=HUGE, fill=1)
    once = behind_call({"exit": child.exit, "exec": child.exec, "kill": child.end}[ending])
    report = advise_vector(host, child, advice, [(start, HUGE)], freeze)
    assert once.done
    assert_nothing_is_claimed(report)


def _is_free(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    cgroup = Path(f"/proc/{pid}/cgroup").read_text()
    return "TracerPid:\t0\n" in status and state_of(pid) not in "tT" and "/memtui-" not in cgroup


@pytest.mark.parametrize(
    ("freeze", "ending"),
    [
        *((held, ending) for held in METHODS[1:] for ending in ("deadline", "guard killed")),
        (Freeze.SIGSTOP, "SIGCONT"),
    ],
)
def test_a_hold_that_ends_early_is_told(
    host: LocalHost,
    child: Child,
    behind_call: Callable[[Callable[[], object]], Once],
    freeze: Freeze,
    ending: str,
) -> None:
    start = child.map(4 * MIB, fill=1)

    def end() -> None:
        if ending == "SIGCONT":
            os.kill(child.pid, signal.SIGCONT)
        elif ending == "guard killed":
            assert host.guards.current is not None
            os.kill(host.guards.current.pid, signal.SIGKILL)
        # The engine is in its call, and does nothing about it.
        wait_until(lambda: _is_free(child.pid), "it runs on by itself", 4)

    once = behind_call(end)
    report = advise_vector(host, child, Advice.COLD, [(start, 4 * MIB)], freeze)
    assert once.done
    assert report.reason is Reason.FREEZE_LOST
    assert ends(report) == [(Outcome.FREEZE_LOST, Reason.FREEZE_LOST)]
    words = {"deadline": "deadline", "guard killed": "the guard died", "SIGCONT": "SIGCONT"}[ending]
    assert words in (report.reason_text or "")
    assert _is_free(child.pid)
    assert child.checksum(start, 4 * MIB)


@pytest.mark.parametrize("way", ["thaw_now", "release"])
def test_a_hold_that_we_were_told_to_end_is_cancelled(
    host: LocalHost, child: Child, behind_call: Callable[[Callable[[], object]], Once], way: str
) -> None:
    start = child.map(4 * MIB, fill=1)

    def end() -> None:
        getattr(host, way)()
        wait_until(lambda: _is_free(child.pid), "it runs on", 4)

    once = behind_call(end)
    report = advise_vector(host, child, Advice.COLD, [(start, 4 * MIB)], Freeze.SIGSTOP)
    assert once.done
    assert (report.outcome, report.reason) == (Outcome.CANCELLED, Reason.CANCELLED)
    assert "let go in the middle of a hold" in (report.reason_text or "")
    assert child.checksum(start, 4 * MIB)


def assert_nothing_is_claimed(report: TargetReport) -> None:
    """Check that a report of a target that ended behind the call claims no effect."""
    (item,) = report.ranges
    assert report.reason in (Reason.EXITED, Reason.EXECED)
    assert item.moved_bytes is None
    assert report.moved_bytes is None
    assert item.rss_after_bytes is None
    assert item.outcome in (Outcome.UNVERIFIED, Outcome.FREEZE_LOST)


def test_a_target_that_execs_between_two_calls(host: LocalHost, child: Child) -> None:
    start = child.map(128 * MIB, align=HUGE, fill=1)
    once = Once(child.exec)
    report = advise_vector(host, child, Advice.COLD, [(start, 128 * MIB)], on_call=once)
    assert once.done
    assert report.reason is Reason.EXECED
    assert 0 < report.advised_bytes <= 32 * MIB
    assert report.outcome is Outcome.PARTIAL


def test_a_target_that_unmaps_what_is_still_to_come(host: LocalHost, child: Child) -> None:
    size = 128 * MIB
    start = child.map(size, fill=1)
    once = Once(lambda: child.do("unmap", address=start + size // 2, size=size // 2))
    report = advise_vector(host, child, Advice.COLD, [(start, size)], on_call=once)
    assert once.done
    assert report.advised_bytes == size // 2
    assert ends(report) == [(Outcome.PARTIAL, Reason.GONE)]


def test_a_target_that_maps_something_else_there(host: LocalHost, child: Child) -> None:
    size = 96 * MIB
    start = child.map(size, fill=1)
    middle = start + 32 * MIB

    def replace() -> None:
        child.do("unmap", address=middle, size=32 * MIB)
        child.map(32 * MIB, at=middle, shared=True, fill=2)

    once = Once(replace)
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, size)], on_call=once)
    assert once.done
    assert ends(report) == [(Outcome.PARTIAL, Reason.CHANGED)]
    assert report.advised_bytes == 64 * MIB
    assert at(child.pid, middle).rss == 32 * MIB


def test_a_map_that_changes_under_the_call_is_told(
    host: LocalHost, child: Child, before_call: Callable[[Callable[[], object]], Once]
) -> None:
    start = child.map(MIB, fill=1)

    def replace() -> None:
        child.do("unmap", address=start, size=MIB)
        child.map(MIB, at=start, shared=True, fill=2)

    before_call(replace)
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, MIB)])
    assert ends(report) == [(Outcome.RACED, Reason.RACED)]
    assert report.moved_bytes is None
    assert report.outcome is Outcome.RACED
    assert (report.moved_bytes, report.moved_pages) == (None, ())


def test_a_hole_that_opens_under_the_call_is_told(
    host: LocalHost, child: Child, before_call: Callable[[Callable[[], object]], Once]
) -> None:
    start = child.map(MIB, fill=1)
    before_call(lambda: child.do("unmap", address=start + MIB // 2, size=16 * PAGE))
    report = advise_vector(host, child, Advice.PAGEOUT, [(start, MIB)])
    # The kernel says ENOMEM, and has advised both sides all the same.
    assert report.advised_bytes == 0
    assert report.ranges[0].errno == "ENOMEM"
    assert ends(report) == [(Outcome.RACED, Reason.RACED)]
    assert total(within(child.pid, start, start + MIB), "rss") <= RESIDUE_BYTES


def test_marks_know_what_they_marked(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=1)
    target = host.open(child.pid)
    identity = next(vma for vma in target.look().vmas if vma.start == start).identity
    marks = (Mark(Range(start, start + MIB), identity),)
    child.do("unmap", address=start, size=MIB // 2)
    child.do("protect", address=start + MIB // 2, size=MIB // 4, protection=1)
    plan = host.plan(Advice.PAGEOUT, [Selection(target, marks)], Freeze.OFF)
    (report,) = host.apply(plan)
    assert [outcome for outcome, _ in ends(report)] == [Outcome.GONE, Outcome.CHANGED, Outcome.DONE]
    target.release()


def test_a_heap_that_grew_is_advised_where_it_was_marked(host: LocalHost, child: Child) -> None:
    target = host.open(child.pid)
    heap = next(vma for vma in target.look().vmas if vma.name == "[heap]")
    marks = (Mark(heap.range, heap.identity),)
    plan = host.plan(Advice.COLD, [Selection(target, marks)], Freeze.OFF)
    child.do("grow_heap", size=MIB)
    assert at(child.pid, heap.start).end > heap.end
    (report,) = host.apply(plan)
    assert report.advised_bytes == heap.size_bytes
    target.release()


@pytest.mark.parametrize("case", ["zombie", "kernel thread", "leader", "never there", "thread"])
def test_targets_without_memory(child: Child, tmp_path: Path, case: str) -> None:
    zombie = None
    if case == "zombie":
        pid = zombie = child.fork_zombie()
    elif case == "leader":
        pid = child.pid
        child.end_leader()
    elif case == "thread":
        pid = next(int(tid) for tid in os.listdir(f"/proc/{child.pid}/task") if int(tid) != child.pid)
    else:
        pid = 2 if case == "kernel thread" else (1 << 22) + 1
    code, words = {
        "zombie": (1, "a zombie has no memory"),
        "kernel thread": (1, "a kernel thread has no memory of its own"),
        "leader": (1, "its first thread has exited"),
        "never there": (4, "no such process"),
        "thread": (4, "no such process"),
    }[case]
    for verb in (["advise", "cold"], ["plan", "cold"], ["maps"]):
        done = memtui(*verb, pid, state_dir=tmp_path)
        assert done.returncode == code
        assert done.stdout == "" or verb[0] == "maps"
        assert one_line(done).startswith(f"memtui: process {pid}: {words}")
    if zombie is not None:
        child.do("reap", child=zombie)


def test_a_leader_that_ends_after_the_plan(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=1)
    target = host.open(child.pid)
    plan = host.plan(Advice.COLD, [Selection(target, (Mark(Range(start, start + MIB), None),))], Freeze.OFF)
    child.end_leader()
    (report,) = host.apply(plan)
    assert report.advised_bytes == 0
    assert report.outcome in (Outcome.REFUSED, Outcome.GONE)
    target.release()


def test_one_target_gone_and_one_advised_is_part(child: Child, tmp_path: Path) -> None:
    done = memtui("advise", "cold", child.pid, (1 << 22) + 1, "--json", state_dir=tmp_path)
    assert done.returncode == 1
    assert [row["target"]["pid"] for row in rows(done)] == [child.pid]
    assert "no such process" in one_line(done)


def test_a_selection_of_nothing(child: Child, tmp_path: Path) -> None:
    done = memtui("advise", "cold", child.pid, "--select", "name:nosuch", "--json", state_dir=tmp_path)
    (report,) = rows(done)
    assert done.returncode == 1
    assert (report["outcome"], report["ranges"], report["requested_bytes"]) == ("refused", [], 0)


class TestWithoutTheNewCalls:
    """Before Linux 6.7 and 6.11, and where pagemap may not be read: the same, in another way."""

    @pytest.fixture(params=["no query", "no scan", "no pagemap"])
    def way(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        def refuse(*_arguments: object) -> object:
            raise OSError(errno.ENOTTY, "not for this file")

        if request.param == "no query":
            monkeypatch.setattr(syscalls.MapQuery, "at_or_after", refuse)
        elif request.param == "no scan":
            monkeypatch.setattr(syscalls.PageScanner, "scan", refuse)
        else:
            monkeypatch.setattr(process_handle, "_open_pagemap", lambda _pid: None)
        return str(request.param)

    @pytest.mark.parametrize("freeze", METHODS)
    def test_pageout(self, host: LocalHost, child: Child, way: str, freeze: Freeze) -> None:
        size = 40 * MIB
        start = child.map(size, fill=1)
        report = advise_vector(host, child, Advice.PAGEOUT, [(start, size)], freeze)
        after = at(child.pid, start)
        assert report.outcome is Outcome.DONE
        assert report.advised_bytes == size
        assert report.moved_bytes == size - after.rss >= size - report.calls * RESIDUE_BYTES
        (item,) = report.ranges
        assert (item.rss_after_bytes, item.swap_after_bytes) == (after.rss, after.swap)

    def test_a_part_of_a_vma(self, host: LocalHost, child: Child, way: str) -> None:
        start = child.map(2 * MIB, fill=1)
        report = advise_vector(host, child, Advice.PAGEOUT, [(start, MIB)])
        left = 2 * MIB - at(child.pid, start).rss
        assert left >= MIB - RESIDUE_BYTES
        if way == "no pagemap":
            # Smaps tells of whole VMAs only: what is not seen is not claimed.
            assert (report.outcome, report.moved_bytes) == (Outcome.UNVERIFIED, None)
        else:
            assert (report.outcome, report.moved_bytes) == (Outcome.DONE, left)

    def test_a_hole(self, host: LocalHost, child: Child, way: str) -> None:
        start = child.map(96 * MIB, align=HUGE, fill=1)
        once = Once(lambda: child.do("unmap", address=start + 48 * MIB, size=MIB))
        report = advise_vector(host, child, Advice.COLD, [(start, 96 * MIB)], on_call=once)
        assert report.advised_bytes == 95 * MIB
        assert ends(report) == [(Outcome.PARTIAL, Reason.GONE)]

    @pytest.mark.parametrize("ending", ["exit", "exec"])
    def test_an_end(
        self,
        host: LocalHost,
        child: Child,
        way: str,
        behind_call: Callable[[Callable[[], object]], Once],
        ending: str,
    ) -> None:
        start = child.map(MIB, fill=1)
        once = behind_call(child.exit if ending == "exit" else child.exec)
        report = advise_vector(host, child, Advice.PAGEOUT, [(start, MIB)])
        assert once.done
        assert_nothing_is_claimed(report)


def test_a_path_too_long_for_the_query(host: LocalHost, child: Child, tmp_path: Path) -> None:
    """A path can be longer than PATH_MAX when it is made step by step; only maps tells it whole."""
    step, depth = "d" * 250, 18
    home = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(depth):
            os.mkdir(step)
            os.chdir(step)
        Path("file").write_bytes(bytes(MIB))
        child.do("change_folder", path=f"/proc/{os.getpid()}/cwd")
        start = child.map(MIB, path="file")
    finally:
        os.chdir(home)
    child.do("touch", address=start, size=MIB)
    report = advise_vector(host, child, Advice.COLD, [(start, MIB)])
    # Whether Referenced falls depends on how the page cache put the file into folios: one that is dirty,
    # and cut by the end of the mapping, stays as it is.
    assert report.outcome in (Outcome.DONE, Outcome.UNVERIFIED, Outcome.NO_EFFECT)
    assert report.advised_bytes == MIB

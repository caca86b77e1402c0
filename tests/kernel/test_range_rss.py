"""RSS and swap before and after are of all of a range, also where only a part of it was advised."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from memtui.advise import alignment
from memtui.advise.pages_file import PageRecords
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import Outcome, Progress, TargetReport
from tests.kernel.toolkit import MIB, PAGE, RESIDUE_BYTES, Child, at, memtui, rows, within

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("swap_file")

SIZE = 128 * MIB


def advise_vector(
    host: LocalHost,
    child: Child,
    wanted: Range,
    advice: Advice = Advice.PAGEOUT,
    *,
    cancel_after: int = 1 << 62,
) -> TargetReport:
    """Advise a range, and cancel once so many bytes are dealt with."""

    cancelled = threading.Event()

    def on_progress(progress: Progress) -> None:
        if progress.done_bytes >= cancel_after:
            cancelled.set()

    target = host.open(child.pid)
    try:
        plan = host.plan(advice, [Selection(target, (Mark(wanted, None),))], Freeze.OFF)
        (report,) = host.apply(plan, on_progress, cancelled=cancelled)
        return report
    finally:
        target.release()


def test_what_a_cancelled_plan_left_alone_counts_as_resident(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    report = advise_vector(host, child, Range(start, start + SIZE), cancel_after=1)
    (item,) = report.ranges
    now = at(child.pid, start)
    assert report.outcome is Outcome.CANCELLED
    assert 0 < (item.moved_bytes or 0) < SIZE // 2
    assert item.rss_before_bytes == SIZE
    assert item.rss_after_bytes == now.rss
    assert item.swap_after_bytes == now.swap
    assert report.held("rss_after_bytes") == now.rss
    assert report.effect.rss_delta_bytes == now.rss - SIZE


def test_a_collapse_tells_what_all_of_the_range_holds(host: LocalHost, child: Child) -> None:
    size = 6 * MIB + 17 * PAGE
    start = child.map(size, fill=3)
    report = advise_vector(host, child, Range(start, start + size), Advice.COLLAPSE)
    (item,) = report.ranges
    assert item.huge_delta_bytes
    assert (item.rss_before_bytes, item.rss_after_bytes) == (size, size) == (at(child.pid, start).rss,) * 2


@pytest.mark.parametrize("number", [3, 300])
def test_what_a_short_plan_did_not_come_to_is_no_part_of_what_it_says(
    host: LocalHost, child: Child, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few ranges are looked at as wholes; of many small ones that were not reached nothing is known."""
    starts = [child.map(16 * PAGE, fill=3) for _ in range(number)]
    target = host.open(child.pid)
    marks = tuple(Mark(Range(start, start + 16 * PAGE), None) for start in sorted(starts))
    plan = host.plan(Advice.PAGEOUT, [Selection(target, marks)], Freeze.OFF)
    real = syscalls.process_madvise
    cancelled = threading.Event()

    def process_madvise(*arguments: object) -> int:
        if arguments[1]:
            cancelled.set()
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(syscalls, "process_madvise", process_madvise)
    monkeypatch.setattr(alignment, "CALL_ELEMENTS", 2)
    (report,) = host.apply(plan, cancelled=cancelled)
    target.release()
    assert report.outcome is Outcome.CANCELLED
    done = [item for item in report.ranges if item.advised_bytes]
    rest = [item for item in report.ranges if not item.advised_bytes]
    assert len(done) == 2
    assert all(item.rss_before_bytes == 16 * PAGE for item in done)
    known = 16 * PAGE if number <= 256 else None
    assert {(item.rss_before_bytes, item.rss_after_bytes) for item in rest} == {(known, known)}
    assert (report.held("rss_after_bytes") is None) == (known is None)


def test_a_locked_part_is_in_ram_before_and_after(host: LocalHost, child: Child) -> None:
    size = 3 * MIB
    start = child.map(size, fill=3)
    child.do("lock", address=start + MIB, size=16 * PAGE)
    report = advise_vector(host, child, Range(start, start + size))
    locked = next(item for item in report.ranges if item.outcome is Outcome.REFUSED)
    assert (locked.rss_before_bytes, locked.rss_after_bytes, locked.moved_bytes) == (
        16 * PAGE,
        16 * PAGE,
        None,
    )
    still_there = sum(entry.rss for entry in within(child.pid, start, start + size))
    assert report.held("rss_before_bytes") == size
    assert report.held("rss_after_bytes") == still_there


def test_of_a_target_that_is_gone_what_it_holds_now_is_not_known(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = child.map(SIZE, fill=3)
    real = syscalls.process_madvise
    calls = 0

    def process_madvise(*arguments: object) -> int:
        nonlocal calls
        walked = real(*arguments)  # type: ignore[arg-type]
        calls += bool(arguments[1])
        if calls == 2:
            child.end()
        return walked

    monkeypatch.setattr(syscalls, "process_madvise", process_madvise)
    report = advise_vector(host, child, Range(start, start + SIZE))
    (item,) = report.ranges
    assert item.rss_before_bytes == SIZE
    assert item.rss_after_bytes is None
    assert report.held("rss_after_bytes") is None
    assert report.effect.rss_delta_bytes is None


def test_where_nothing_is_mapped_there_is_nothing_to_know(child: Child, tmp_path: Path) -> None:
    start = child.map(2 * MIB, fill=3)
    child.do("unmap", address=start + MIB, size=MIB)
    done = memtui(
        "advise", "pageout", child.pid, "--range", f"{start:x}-{start + 2 * MIB:x}", state_dir=tmp_path
    )
    gone = next(line for line in done.stdout.splitlines() if f"{start + MIB:x}-" in line)
    assert " - " in gone
    assert "?" not in gone


def test_swap_of_shared_memory_is_what_smaps_says_or_unknown(child: Child, tmp_path: Path) -> None:
    size = 4 * MIB
    start = child.map(size, shared=True, fill=1)
    report = memtui(
        "advise", "pageout", child.pid, "--range", f"{start:x}-{start + size:x}", state_dir=tmp_path
    )
    assert report.returncode == 0
    out = at(child.pid, start).swap
    assert out >= size - RESIDUE_BYTES
    found = memtui("maps", child.pid, f"addr:{start:x}", "--json", state_dir=tmp_path)
    (row,) = rows(found)
    assert (row["kind"], row["swap_bytes"]) == ("shmem", out)
    with LocalHost(tmp_path) as host:
        target = host.open(child.pid)
        space = target.look()
        index = next(at for at, vma in enumerate(space.vmas) if vma.start == start)
        assert space.row(index).swap_bytes is None, (
            "smaps was not read, and the page table has no trace of it"
        )
        space = target.look(details=True)
        assert space.row(index).swap_bytes == out
        child.do("touch", address=start, size=size)
        assert target.look().row(index).swap_bytes is None, "it is another RSS than smaps saw"
        assert target.look(details=True).row(index).swap_bytes == at(child.pid, start).swap


def test_a_restore_by_another_memtui_says_nothing_of_the_advice(
    host: LocalHost, child: Child, tmp_path: Path
) -> None:
    size = 16 * MIB
    start = child.map(size, fill=3)
    report = advise_vector(host, child, Range(start, start + size))
    assert host.refaults.check(report.id) is not None
    assert not host.refaults.was_restored(report.id)
    done = memtui("restore", report.id, state_dir=host.state_dir)
    assert done.returncode == 0, done.stderr
    assert at(child.pid, start).rss >= size - RESIDUE_BYTES
    assert host.refaults.check(report.id) is None
    assert host.refaults.was_restored(report.id)
    assert os.path.exists(f"/proc/{child.pid}")


def test_a_restore_by_another_memtui_that_is_not_over_says_nothing_of_the_advice(
    host: LocalHost, child: Child
) -> None:
    size = 16 * MIB
    start = child.map(size, fill=3)
    report = advise_vector(host, child, Range(start, start + size))
    others = PageRecords(host.state_dir / "pages")
    with others.held_for_restore(report.id):
        assert host.refaults.check(report.id) is not None, "nothing is back yet"
        child.do("touch", address=start, size=size)
        assert host.refaults.check(report.id) is None
    assert host.refaults.check(report.id) is None, "the watch is over"


def test_a_restore_is_known_of_while_it_goes_on(host: LocalHost, child: Child) -> None:
    size = 16 * MIB
    start = child.map(size, fill=3)
    report = advise_vector(host, child, Range(start, start + size))
    others = PageRecords(host.state_dir / "pages")
    seen: list[bool] = []
    host.restore(host.plan_restore(report.id), lambda _: seen.append(others.is_held_for_restore(report.id)))
    assert seen
    assert all(seen)
    assert not others.is_held_for_restore(report.id)
    assert not others.is_held_for_restore("nothing")

"""The record of what was done, and ending it early."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from memtui.advise.pages_file import PageRecords
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark, Plan
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, Progress
from tests.kernel import swaps
from tests.kernel.toolkit import (
    HUGE,
    MIB,
    PAGE,
    REPOSITORY,
    RESIDUE_BYTES,
    Child,
    at,
    command,
    memtui,
    one_line,
    rows,
    span,
    swapped_pages,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALL = 32 * MIB


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with LocalHost(tmp_path) as opened:
        yield opened


def plan_of(host: LocalHost, *wanted: tuple[Child, int, int], freeze: Freeze = Freeze.OFF) -> Plan:
    marks = [
        Selection(host.open(child.pid), (Mark(Range(start, start + size), None),))
        for child, start, size in wanted
    ]
    return host.plan(Advice.COLD, marks, freeze, hold_ms=1)


def ledger(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("freeze", [Freeze.OFF, Freeze.PTRACE])
def test_cancel_ends_at_a_calls_edge(host: LocalHost, child: Child, freeze: Freeze) -> None:
    size = 4 * CALL
    start = child.map(size, align=HUGE, fill=1)
    told: list[Progress] = []
    cancelled = threading.Event()

    def cancel(progress: Progress) -> None:
        told.append(progress)
        if progress.calls:
            cancelled.set()

    plan = plan_of(host, (child, start, size), freeze=freeze)
    (report,) = host.apply(plan, cancel, cancelled=cancelled)
    assert report.outcome is Outcome.CANCELLED
    assert report.reason is Reason.CANCELLED
    assert report.calls == told[-1].calls
    assert 0 < report.advised_bytes <= report.calls * CALL < size
    assert report.ranges[0].outcome is Outcome.PARTIAL
    # COLD skips what stands in the batch of a CPU: that keeps Referenced.
    kept = at(child.pid, start).referenced - (size - report.advised_bytes)
    assert 0 <= kept <= RESIDUE_BYTES
    if freeze is Freeze.OFF:
        assert report.calls == 1


def test_cancel_takes_the_targets_to_come_with_it(host: LocalHost, child: Child) -> None:
    with Child() as other:
        start, beside = child.map(2 * CALL, align=HUGE, fill=1), other.map(MIB, fill=1)
        plan = plan_of(host, (child, start, 2 * CALL), (other, beside, MIB))
        cancelled = threading.Event()
        first, second = host.apply(plan, lambda _progress: cancelled.set(), cancelled=cancelled)
        assert [first.outcome, second.outcome] == [Outcome.CANCELLED] * 2
        assert (second.calls, second.advised_bytes) == (0, 0)
        assert at(other.pid, beside).referenced == MIB


def test_cancel_is_for_the_plan_that_it_was_given_to(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=1)
    cancelled = threading.Event()
    cancelled.set()
    plan = plan_of(host, (child, start, MIB))
    (report,) = host.apply(plan, cancelled=cancelled)
    assert (report.outcome, report.calls) == (Outcome.CANCELLED, 0)
    (report,) = host.apply(plan, cancelled=threading.Event())
    assert report.outcome is Outcome.DONE


def test_two_plans_never_overlap(host: LocalHost, child: Child) -> None:
    start = child.map(2 * CALL, align=HUGE, fill=1)
    first, second = plan_of(host, (child, start, CALL)), plan_of(host, (child, start + CALL, CALL))
    order: list[str] = []
    waiting: list[threading.Thread] = []

    def begin_second(_progress: Progress) -> None:
        if not waiting:
            waiting.append(
                threading.Thread(target=lambda: host.apply(second, lambda _: order.append("second")))
            )
            waiting[0].start()
        order.append("first")

    host.apply(first, begin_second, lambda _report: order.append("first is done"))
    waiting[0].join()
    assert order == ["first", "first is done", "second"]


def test_the_start_is_on_record_before_the_first_call(host: LocalHost, child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    seen: list[list[str]] = []
    outcomes: list[str] = []

    def look(_progress: Progress) -> None:
        seen.append([event["event"] for event in ledger(tmp_path)])
        outcomes.append(host.history().entries[0].outcome)

    (report,) = host.apply(plan_of(host, (child, start, MIB)), look)
    assert seen == [["start"]]
    assert outcomes == ["interrupted"]
    assert [event["event"] for event in ledger(tmp_path)] == ["start", "done"]
    assert host.history().entries[0].outcome == report.outcome.value
    assert stat.S_IMODE((tmp_path / "ledger.jsonl").stat().st_mode) == 0o600


@pytest.mark.usefixtures("swap_file")
def test_an_action_that_was_killed_is_shown_as_interrupted(child: Child, tmp_path: Path) -> None:
    size = 256 * MIB
    start = child.map(size, fill=1)
    process = subprocess.Popen(
        command(
            *("--state-dir", tmp_path, "advise", "pageout", child.pid),
            *("--range", span(start, size), "--freeze", "off"),
        ),
        cwd=REPOSITORY,
    )
    wait_until(lambda: at(child.pid, start).rss < size - 4 * MIB, "the first pages have left")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert entry["outcome"] == "interrupted"
    assert (entry["advised_bytes"], entry["moved_bytes"]) == (None, None)
    assert entry["requested_bytes"] == size


class Interrupted:
    """An action of 256 MiB in holds of a few, killed in its middle. ``told_bytes`` were on record by then."""

    def __init__(self, child: Child, folder: Path, freeze: Freeze, holds: int) -> None:
        self.size = 256 * MIB
        self.start = child.map(self.size, align=HUGE, fill=1)
        script = (
            "import sys\nfrom pathlib import Path\nfrom memtui.host import Selection\n"
            "from memtui.host.local import LocalHost\nfrom memtui.model.advice import Advice\n"
            "from memtui.model.freeze import Freeze\nfrom memtui.model.plan import Mark\n"
            "from memtui.model.ranges import Range\n"
            "pid, start, size = map(int, sys.argv[2:5])\n"
            "with LocalHost(Path(sys.argv[1]), journal_dir=Path(sys.argv[1]) / 'holds') as host:\n"
            "    marks = (Mark(Range(start, start + size), None),)\n"
            "    selection = [Selection(host.open(pid), marks)]\n"
            "    plan = host.plan(Advice.PAGEOUT, selection, Freeze(sys.argv[5]), 1)\n"
            "    tell = lambda at: at.holding or print(at.done_bytes, flush=True)\n"
            "    host.apply(plan, tell)\n"
        )
        argv = (folder, child.pid, self.start, self.size, freeze.value)
        with subprocess.Popen(
            [sys.executable, "-c", script, *map(str, argv)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        ) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(holds)]
            process.kill()
            told += [int(line) for line in process.stdout if line.endswith("\n")]
        self.told = told
        # Of a call, and so of a round without a hold, it is told before what moved is on record.
        self.told_bytes = told[-2 if freeze is Freeze.OFF else -1]
        assert 0 < self.told_bytes < self.size, "it was killed in the middle"

    def out(self, pid: int) -> set[int]:
        """The pages that are in swap now, by their addresses."""
        return swapped_pages(pid, self.start, self.size)


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("freeze", [Freeze.OFF, Freeze.PTRACE, Freeze.SIGSTOP])
def test_a_kill_in_the_middle_of_a_plan_loses_one_hold_at_most(
    child: Child, tmp_path: Path, freeze: Freeze
) -> None:
    """What had moved when the last hold was told of is on record, and comes back."""
    killed = Interrupted(child, tmp_path, freeze, holds=3)
    out = killed.out(child.pid)
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert (entry["outcome"], entry["moved_bytes"]) == ("interrupted", None)
    moved = PageRecords(tmp_path / "pages").read(entry["id"])
    assert moved is not None
    assert not moved.is_complete
    recorded = {at for run in moved.pages for at in range(run.start, run.end, PAGE)}
    assert recorded <= out, "nothing that did not move"
    told_to = killed.start + killed.told_bytes
    assert {at for at in out if at < told_to} <= recorded, "what was told of is there"
    memtui("thaw", state_dir=tmp_path)
    dry = memtui("restore", "--last", "--dry-run", state_dir=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "what its last hold moved is not on record, and stays where it is" in dry.stdout
    restored = memtui("restore", "--last", "--json", state_dir=tmp_path)
    assert restored.returncode == 0, restored.stderr
    (report,) = rows(restored)
    after = killed.out(child.pid)
    assert not recorded & after
    # What the kernel brings along is its own business; that it is told is ours.
    assert report["also_back_bytes"] == len(out - recorded - after) * PAGE


@pytest.mark.usefixtures("swap_file")
def test_an_action_that_runs_is_not_restored_meanwhile(host: LocalHost, child: Child, tmp_path: Path) -> None:
    start = child.map(64 * MIB, align=HUGE, fill=1)
    marks = (Mark(Range(start, start + 64 * MIB), None),)
    plan = host.plan(Advice.PAGEOUT, [Selection(host.open(child.pid), marks)], Freeze.OFF)
    told: list[str] = []

    def restore(progress: Progress) -> None:
        if not told:
            done = memtui("restore", "--pid", child.pid, state_dir=tmp_path)
            assert done.returncode == 1
            told.append(one_line(done))

    host.apply(plan, restore)
    assert "nothing in the ledger has moved anything" in told[0] or "still runs" in told[0]
    assert memtui("restore", "--pid", child.pid, state_dir=tmp_path).returncode == 0


@pytest.mark.usefixtures("swap_file")
def test_what_raced_is_dropped_from_what_was_on_record_before(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two rounds on one range the second races: nobody can say what the advice moved of it."""
    size = 2 * CALL
    start, beside = child.map(size, align=HUGE, fill=1), child.map(MIB, fill=2)
    parts = ((start, size), (beside, MIB))
    marks = tuple(Mark(Range(first, first + length), None) for first, length in parts)
    plan = host.plan(Advice.PAGEOUT, [Selection(host.open(child.pid), marks)], Freeze.OFF)
    real, calls = syscalls.process_madvise, []

    def process_madvise(pidfd: int, elements: Any, advice: int) -> int:
        walked = real(pidfd, elements, advice)
        calls.extend(elements)
        if any(first < start + size <= end for first, end in elements):
            child.do("unmap", address=start + size - MIB, size=MIB)
        return walked

    monkeypatch.setattr(syscalls, "process_madvise", process_madvise)
    (report,) = host.apply(plan)
    assert Outcome.RACED in {item.outcome for item in report.ranges}
    moved = PageRecords(host.state_dir / "pages").read(report.id)
    assert moved is not None
    assert moved.is_complete
    assert moved.pages
    assert all(run.start >= beside or run.end <= start for run in moved.pages)
    assert len([first for first, _end in calls if start <= first < start + size]) > 1, "in several rounds"


@pytest.mark.usefixtures("swap_file")
def test_a_plan_cancelled_in_its_middle_says_so(host: LocalHost, child: Child) -> None:
    size = 4 * CALL
    start = child.map(size, align=HUGE, fill=1)
    marks = (Mark(Range(start, start + size), None),)
    plan = host.plan(Advice.PAGEOUT, [Selection(host.open(child.pid), marks)], Freeze.OFF)
    with Child() as other:
        beside = (Mark(Range(other.map(MIB, fill=1), 0x7FFFFFFFF000), None),)
        plan = host.plan(
            Advice.PAGEOUT,
            [Selection(host.open(child.pid), marks), Selection(host.open(other.pid), beside)],
            Freeze.OFF,
        )
        cancelled = threading.Event()
        first, second = host.apply(
            plan, lambda progress: progress.calls and cancelled.set(), cancelled=cancelled
        )
    assert first.moved_bytes
    assert at(child.pid, start).swap >= first.moved_bytes > 0
    assert (first.outcome, first.reason) == (Outcome.CANCELLED, Reason.CANCELLED)
    assert first.reason_text == "cancelled in the middle"
    assert first.ranges[0].reason_text == "cancelled in the middle"
    assert second.reason_text == "cancelled before its turn"
    assert not second.advised_bytes
    (entry, _other) = host.history().entries
    assert entry.moved_bytes == first.moved_bytes
    (planned,) = [item for item in host.plan_restore() if item.process == first.planned.process]
    assert planned.wanted_bytes == first.moved_bytes


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB that is full up to its last pages."""
    folder = tmp_path / "full"
    folder.mkdir()
    swaps.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(folder))
    try:
        yield folder
    finally:
        swaps.run("umount", str(folder))


def fill(folder: Path, leave: int) -> None:
    free = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize - leave))


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("leave", [0, PAGE])
def test_a_full_disk_is_told_and_the_report_is_shown(child: Child, full_disk: Path, leave: int) -> None:
    """With room for nothing, and for the ledger without the record of the pages."""
    start = child.map(MIB, fill=1)
    fill(full_disk, leave)
    part = ("--range", span(start, MIB), "--freeze", "off")
    done = memtui("advise", "pageout", child.pid, *part, state_dir=full_disk)
    assert done.returncode == 0
    assert "No space left on device" in done.stdout
    assert "pageout on" in done.stdout
    assert at(child.pid, start).rss < MIB
    assert not list(full_disk.glob("pages/*.new"))
    (full_disk / "filler").unlink()
    shown = memtui("history", state_dir=full_disk)
    assert shown.returncode == 0
    assert "Traceback" not in shown.stderr


def test_several_memtui_at_once_lose_nothing(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    part = ("--range", span(start, MIB), "--freeze", "off", "--json")
    running = [
        subprocess.Popen(
            command("--state-dir", tmp_path, "advise", "cold", child.pid, *part),
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4
    done = memtui("history", "--json", state_dir=tmp_path)
    assert done.stderr == ""
    assert len({row["id"] for row in rows(done)}) == 4
    assert all(row["outcome"] != "interrupted" for row in rows(done))


def test_the_history_shows_its_end_unless_all_is_asked_for(
    host: LocalHost, child: Child, tmp_path: Path
) -> None:
    start = child.map(MIB, fill=1)
    ids = [host.apply(plan_of(host, (child, start, MIB)))[0].id for _ in range(5)]
    shown = memtui("history", "--last", 2, "--json", state_dir=tmp_path)
    assert [row["id"] for row in rows(shown)] == ids[3:]
    assert "older entries are not shown" in one_line(shown)
    for options in (("--all",), ("--last", 5)):
        shown = memtui("history", "--json", *options, state_dir=tmp_path)
        assert [row["id"] for row in rows(shown)] == ids
        assert shown.stderr == ""
    assert memtui("history", "--last", 0, state_dir=tmp_path).returncode == 2


def test_a_torn_line_is_skipped_with_a_word(host: LocalHost, child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    host.apply(plan_of(host, (child, start, MIB)))
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"event":"start","id":"torn')
    host.apply(plan_of(host, (child, start, MIB)))
    done = memtui("history", "--json", state_dir=tmp_path)
    assert done.returncode == 0
    assert len(rows(done)) == 2
    assert "1 line of the ledger could not be read" in one_line(done)


def test_what_cannot_be_recorded_is_done_and_said(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    (tmp_path / "ledger.jsonl").mkdir()
    done = memtui("advise", "cold", child.pid, "--range", span(start, MIB), state_dir=tmp_path)
    assert done.returncode == 0
    assert "the ledger cannot be written" in done.stdout
    assert at(child.pid, start).referenced < MIB
    done = memtui("history", state_dir=tmp_path)
    assert done.returncode == 1
    assert "the ledger cannot be read" in one_line(done)


def test_what_cannot_be_recorded_is_said_with_json_too(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    (tmp_path / "ledger.jsonl").mkdir()
    done = memtui("advise", "cold", child.pid, "--range", span(start, MIB), "--json", state_dir=tmp_path)
    assert done.returncode == 0
    assert rows(done)[0]["outcome"] == "done"
    assert "the ledger cannot be written" in one_line(done)


def test_an_id_is_never_given_twice(host: LocalHost, child: Child) -> None:
    start = child.map(MIB, fill=1)
    ids = {host.apply(plan_of(host, (child, start, MIB)))[0].id for _ in range(50)}
    assert len(ids) == 50


def test_closing_the_host_leaves_no_descriptor_open(child: Child, tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    start = child.map(MIB, fill=1)
    with LocalHost(tmp_path) as host:
        host.apply(plan_of(host, (child, start, MIB), freeze=Freeze.PTRACE))
    assert set(os.listdir("/proc/self/fd")) == before

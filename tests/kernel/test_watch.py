"""What came back: the pages that left RAM are looked at again, and read apart from that from smaps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from memtui.cli.watching import Watching
from memtui.host import RefaultEvent, Selection, refault_monitor
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import RefaultVerdict, TargetReport, refault_verdict
from tests.kernel.toolkit import (
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

SIZE = 16 * MIB


def advise(host: LocalHost, child: Child, start: int, advice: Advice = Advice.PAGEOUT) -> TargetReport:
    target = host.open(child.pid)
    marks = (Mark(Range(start, start + SIZE), None),)
    (report,) = host.apply(host.plan(advice, [Selection(target, marks)], Freeze.OFF))
    target.release()
    return report


def major_faults(pid: int) -> int:
    """Return field 12 of stat."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[9])


def age_of(host: LocalHost, report: TargetReport) -> float:
    back = host.refaults.check(report.id)
    assert back is not None
    return back.after_s


def open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        # Another thread may close it meanwhile.
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return found


@pytest.mark.usefixtures("swap_file")
def test_half_that_is_touched_is_half_that_came_back(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    report = advise(host, child, start)
    assert report.pages_seen
    assert report.moved_pages == (), "whoever keeps the report does not keep them"
    faults = major_faults(child.pid)
    first = host.refaults.check(report.id)
    assert first is not None
    assert first.back_bytes == 0
    assert refault_verdict(report.moved_bytes, first) is RefaultVerdict.SO_FAR
    for number in range(0, SIZE // PAGE, 16):
        child.do("touch", address=start + number * PAGE, size=8 * PAGE)
    seen = [host.refaults.check(report.id, record=True)]
    wait_until(lambda: age_of(host, report) >= 1, "a second")
    seen.append(host.refaults.check(report.id, record=True))
    for back in seen:
        assert back is not None
        assert back.back_bytes == pytest.approx(SIZE / 2, rel=0.05)
        assert abs(back.back_bytes - at(child.pid, start).rss) <= RESIDUE_BYTES
        assert back.major_faults == major_faults(child.pid) - faults
        assert refault_verdict(report.moved_bytes, back) in (RefaultVerdict.BACK, RefaultVerdict.PARTLY)
    (entry,) = host.history().entries
    assert [look["back_bytes"] for look in entry.back] == [back.back_bytes for back in seen if back]


@pytest.mark.usefixtures("swap_file")
def test_other_memory_at_the_same_place_has_not_come_back(host: LocalHost, child: Child) -> None:
    start = child.map(SIZE, fill=3)
    report = advise(host, child, start)
    child.map(SIZE // 2, at=start, shared=True, fill=1)
    assert at(child.pid, start).rss == SIZE // 2
    back = host.refaults.check(report.id)
    assert back is not None
    assert back.back_bytes == 0


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("end", ["exit", "exec"])
def test_of_one_that_is_gone_nothing_is_known(host: LocalHost, child: Child, end: str) -> None:
    report = advise(host, child, child.map(SIZE, fill=3))
    getattr(child, end)()
    back = host.refaults.check(report.id)
    assert back is not None
    assert (back.back_bytes, back.major_faults) == (None, None)
    assert refault_verdict(report.moved_bytes, back) is None


def test_an_advice_that_moves_nothing_out_is_not_watched(host: LocalHost, child: Child) -> None:
    report = advise(host, child, child.map(SIZE, fill=3), Advice.COLD)
    assert host.refaults.check(report.id) is None
    assert host.refaults.check("no such report") is None


@pytest.mark.usefixtures("swap_file")
def test_the_target_is_let_go_when_the_time_is_over(
    host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refault_monitor, "WATCHED_S", 1.0)
    monkeypatch.setattr(refault_monitor, "_GRACE_S", 0.0)
    report = advise(host, child, child.map(SIZE, fill=3))
    maps = f"/proc/{child.pid}/maps"
    assert maps in open_files()
    assert host.refaults.check(report.id) is not None
    events: list[RefaultEvent] = []
    host.refaults.follow(report.id, {0.1: False}, events.append)
    wait_until(lambda: maps not in open_files(), "the target is closed")
    assert host.refaults.check(report.id) is None
    assert [(event.is_last, event.was_restored) for event in events] == [(True, False)]


@pytest.mark.usefixtures("swap_file")
def test_closing_the_host_ends_the_watch(child: Child, tmp_path: Path) -> None:
    before = open_files()
    with LocalHost(tmp_path) as host:
        report = advise(host, child, child.map(SIZE, fill=3))
        assert f"/proc/{child.pid}/maps" in open_files()
    assert open_files() == before
    assert host.refaults.check(report.id) is None


@pytest.mark.usefixtures("swap_file")
def test_what_a_restore_brings_is_no_longer_watched(host: LocalHost, child: Child) -> None:
    report = advise(host, child, child.map(SIZE, fill=3))
    host.restore(host.plan_restore(report.id))
    assert host.refaults.check(report.id) is None


@pytest.mark.usefixtures("swap_file")
def test_the_command_looks_after_a_second_and_at_the_end(child: Child, tmp_path: Path) -> None:
    start = child.map(SIZE, fill=3)
    part = ("--range", span(start, SIZE), "--freeze", "off", "--watch", "1.5")
    (row,) = rows(memtui("advise", "pageout", child.pid, *part, "--json", state_dir=tmp_path))
    assert [sorted(look) for look in row["back"]] == [["after_s", "back_bytes", "major_faults"]] * 2
    assert row["back"][0]["after_s"] >= 1
    assert row["back"][1]["after_s"] >= 1.5
    assert {look["back_bytes"] for look in row["back"]} == {0}
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert entry["back"] == row["back"]


@pytest.mark.usefixtures("swap_file")
def test_an_interrupt_ends_the_watch_and_is_no_error(child: Child, tmp_path: Path) -> None:
    start = child.map(SIZE, fill=3)
    process = subprocess.Popen(
        command(
            *("--state-dir", tmp_path, "advise", "pageout", child.pid, "--freeze", "off"),
            *("--range", span(start, SIZE), "--watch", "60"),
        ),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    look = next(line for line in lines if re.search(r"after \d+ s:", line))
    # A page that stands in an LRU batch may have stayed.
    assert re.search(r": 0 of 1[56](\.\d)?M resident again", look), look
    assert "out so far" in look
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors == "memtui: --watch was ended early\n"


@pytest.mark.usefixtures("swap_file")
def test_the_command_says_what_is_not_known_of_one_that_exits(child: Child, tmp_path: Path) -> None:
    start = child.map(SIZE, fill=3)
    process = subprocess.Popen(
        command(
            *("--state-dir", tmp_path, "advise", "pageout", child.pid, "--freeze", "off"),
            *("--range", span(start, SIZE), "--watch", "1"),
        ),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    ledger = tmp_path / "ledger.jsonl"
    wait_until(lambda: ledger.exists() and b'"event":"done"' in ledger.read_bytes(), "it is done")
    child.exit()
    told, _ = process.communicate(timeout=20)
    assert re.search(r"after \d+ s: not known: the process has exited", told)
    assert process.returncode == 0


def test_what_cannot_come_back_is_said(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=3)
    part = ("--range", span(start, MIB), "--freeze", "off", "--watch", "60")
    done = memtui("advise", "cold", child.pid, *part, state_dir=tmp_path)
    assert done.returncode == 0
    assert "cold moves nothing out of RAM" in done.stderr
    wrong = memtui("advise", "pageout", child.pid, "--watch", "61", state_dir=tmp_path)
    assert wrong.returncode == 2
    assert "between 1 and 60" in wrong.stderr


@pytest.mark.usefixtures("swap_file")
def test_pages_that_cannot_be_seen_are_not_said_to_have_stayed(child: Child, nobodys_dir: Path) -> None:
    """CAP_SYS_NICE and CAP_SYS_PTRACE reach another's map, but not its pagemap."""
    start = child.map(SIZE, fill=3)
    part = ("--range", span(start, SIZE), "--freeze", "off", "--watch", "1")

    def as_nobody(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            as_user(NOBODY, command("--state-dir", nobodys_dir, *arguments), "+sys_nice,+sys_ptrace"),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            cwd=REPOSITORY,
            check=False,
        )

    done = as_nobody("advise", "pageout", child.pid, *part)
    assert at(child.pid, start).rss <= RESIDUE_BYTES
    unseen = "which pages left RAM could not be seen"
    assert f"  {unseen}" in done.stdout
    assert f"--watch: process {child.pid}: {unseen}" in done.stderr
    assert "nothing left RAM" not in done.stderr
    restored = as_nobody("restore", "--last")
    assert restored.returncode == 1
    assert f"process {child.pid}: {unseen}" in restored.stderr
    assert "missing" not in restored.stderr


@pytest.mark.usefixtures("swap_file")
def test_of_two_targets_the_first_is_looked_at_in_time(child: Child, tmp_path: Path) -> None:
    """The second takes longer than the first look may wait."""
    start = child.map(SIZE, fill=3)
    with Child() as other, LocalHost(tmp_path) as host:
        second = other.map(SIZE, fill=3)
        opened = [host.open(child.pid), host.open(other.pid)]
        marks = [(Mark(Range(at_, at_ + SIZE), None),) for at_ in (start, second)]
        plan = host.plan(Advice.PAGEOUT, list(map(Selection, opened, marks)), Freeze.OFF)
        watching = Watching(host, 1.0, opened)
        reports: list[TargetReport] = []

        def on_target(report: TargetReport) -> None:
            watching.begin(report)
            reports.append(report)
            if len(reports) == 1:
                wait_until(lambda: bool(report.back), "it is looked at")

        host.apply(plan, None, on_target)
        assert 1 <= reports[0].back[0].after_s < 2

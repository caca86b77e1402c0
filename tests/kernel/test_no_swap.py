"""Where PAGEOUT has nowhere to go, or goes and frees nothing: report, command and JSON say the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from mmap import PAGESIZE as PAGE
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, TargetReport
from memtui.render.effect import summary
from tests.kernel import swaps
from tests.kernel.toolkit import (
    MIB,
    NOBODY,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 8 * MIB
DISK_WORDS = "Swap on a disk or in a file keeps written pages in the swap cache"
ZRAM_WORDS = "Swap on zram keeps no page in the swap cache"


@pytest.fixture
def disk_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="memtui-test-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="memtui-test-", dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def report_of(tmp_path: Path, child: Child, start: int, size: int = SIZE) -> TargetReport:
    with LocalHost(tmp_path, journal_dir=tmp_path / "holds") as host:
        target = host.open(child.pid)
        wanted = [Selection(target, (Mark(Range(start, start + size), None),))]
        (report,) = host.apply(host.plan(Advice.PAGEOUT, wanted, Freeze.OFF, thorough=True))
        target.release()
        return report


def pageout(tmp_path: Path, child: Child, start: int, *more: str, size: int = SIZE) -> Any:
    return memtui(
        *("advise", "pageout", child.pid, "--range", span(start, size), "--thorough", *more),
        state_dir=tmp_path,
    )


def free_bytes() -> int:
    """Return what is free, with what waits in the lists of the CPUs, which MemFree leaves out."""
    pages = 0
    for line in Path("/proc/zoneinfo").read_text().splitlines():
        fields = line.split()
        if fields[:2] == ["pages", "free"]:
            pages += int(fields[2])
        elif fields[0] == "count:":
            pages += int(fields[1])
    return pages * PAGE


def nothing_moved(tmp_path: Path, child: Child, start: int, reason: Reason) -> None:
    """Three times: as the host tells it, as the command prints it, and in JSON."""
    before = at(child.pid, start)
    report = report_of(tmp_path, child, start)
    printed = pageout(tmp_path, child, start)
    (row,) = rows(pageout(tmp_path, child, start, "--json"))
    after = at(child.pid, start)
    assert (after.rss, after.swap) == (before.rss, before.swap)
    assert report.advised_bytes == row["advised_bytes"] == SIZE
    assert report.moved_bytes == row["moved_bytes"] == 0
    assert report.outcome is Outcome.NO_EFFECT
    assert row["outcome"] == row["ranges"][0]["outcome"] == "no_effect"
    assert report.ranges[0].reason is reason
    assert row["ranges"][0]["reason"] == reason.value
    assert row["ranges"][0]["reason_text"] == reason.text
    assert "no_effect" in printed.stdout
    assert reason.text in printed.stdout
    assert "Nothing left RSS." in printed.stdout
    assert "Nothing left RSS." in summary(report, Advice.PAGEOUT)
    for text in (printed.stdout, " ".join(summary(report, Advice.PAGEOUT))):
        for claim in ("in swap.", DISK_WORDS, ZRAM_WORDS, "is free"):
            assert claim not in text
    asked = pageout(tmp_path, child, start, "--require-effect")
    assert (printed.returncode, asked.returncode) == (0, 1)


def test_fact_3_4_without_swap_nothing_moves(no_swap: None, tmp_path: Path, child: Child) -> None:
    assert not swaps.areas()
    nothing_moved(tmp_path, child, child.map(SIZE, fill=1), Reason.NO_SWAP)


def test_fact_3_4_with_swap_full_nothing_moves(
    no_swap: None, tmp_path: Path, child: Child, disk_folder: Path
) -> None:
    with swaps.in_file(disk_folder / "swap", 4 * MIB):
        filler = child.map(SIZE, fill=1)
        for _ in range(3):
            pageout(tmp_path, child, filler)
        assert at(child.pid, filler).swap >= 3 * MIB
        nothing_moved(tmp_path, child, child.map(SIZE, fill=2), Reason.NO_SWAP)


def test_fact_3_4_what_still_fits_goes_and_the_rest_is_named(
    no_swap: None, tmp_path: Path, child: Child, disk_folder: Path
) -> None:
    with swaps.in_file(disk_folder / "swap", 4 * MIB):
        start = child.map(SIZE, fill=1)
        report = report_of(tmp_path, child, start)
        after = at(child.pid, start)
        assert report.moved_bytes == SIZE - after.rss > 0
        assert report.ranges[0].swapped_bytes == after.swap == report.moved_bytes
        assert (report.outcome, report.ranges[0].reason) == (Outcome.DONE, Reason.NO_SWAP)


def test_fact_3_5_zram_frees_at_once(no_swap: None, tmp_path: Path, child: Child) -> None:
    size = 64 * MIB
    with swaps.in_zram(3 * size):
        start = child.map(size, fill=1)
        report = report_of(tmp_path, child, start, size)
        after = at(child.pid, start)
        assert report.moved_bytes == size - after.rss == after.swap >= size - RESIDUE_BYTES
        assert abs(report.effect.swap_cached_delta_bytes or 0) < size // 2
        start = child.map(size)
        child.do("dirty", address=start, size=size, step=PAGE)
        free_before = free_bytes()
        done = pageout(tmp_path, child, start, size=size)
        assert free_bytes() - free_before > size // 4
        assert at(child.pid, start).swap >= size - RESIDUE_BYTES
        assert ZRAM_WORDS in done.stdout
        assert DISK_WORDS not in done.stdout
        assert "System-wide change meanwhile: MemFree " in done.stdout


def test_fact_3_5_swap_in_a_file_frees_nothing_yet(
    no_swap: None, tmp_path: Path, child: Child, disk_folder: Path
) -> None:
    with swaps.in_file(disk_folder / "swap", 4 * SIZE):
        start = child.map(SIZE, fill=1)
        (row,) = rows(pageout(tmp_path, child, start, "--json"))
        after = at(child.pid, start)
        assert row["moved_bytes"] == SIZE - after.rss == after.swap
        assert row["effect"]["swap_cached_delta_bytes"] > SIZE // 2
        done = pageout(tmp_path, child, child.map(SIZE, fill=2))
        assert DISK_WORDS in done.stdout
        assert ZRAM_WORDS not in done.stdout


def test_tmpfs_without_swap_is_unmapped_and_not_freed(no_swap: None, tmp_path: Path, child: Child) -> None:
    """RSS falls to nothing, and every page is still in RAM."""
    folder = Path(tempfile.mkdtemp(prefix="memtui-test-", dir="/dev/shm"))
    try:
        path = folder / "pages"
        path.write_bytes(os.urandom(SIZE))
        start = child.map(SIZE, path=str(path), shared=True)
        child.do("touch", address=start, size=SIZE)
        assert at(child.pid, start).rss == SIZE
        report = report_of(tmp_path, child, start)
        after = at(child.pid, start)
        assert report.moved_bytes == SIZE - after.rss
        assert report.ranges[0].swap_after_bytes == after.swap == 0
        assert report.ranges[0].cache_delta_bytes == 0
        assert "8M of the shared memory is unmapped and still in RAM: not freed." in summary(
            report, Advice.PAGEOUT
        )
        assert "went to swap" not in " ".join(summary(report, Advice.PAGEOUT))
    finally:
        shutil.rmtree(folder)


def test_peers_5_a_file_that_one_may_not_write_stays(child: Child, open_folder: Path) -> None:
    """CAP_SYS_NICE reaches the process and not the file: the kernel skips it without a word."""
    path = open_folder / "pages"
    path.write_bytes(os.urandom(SIZE))
    path.chmod(0o644)
    start = child.map(SIZE, path=str(path), shared=True)
    child.do("touch", address=start, size=SIZE)
    state = open_folder / "state"
    arguments = ("advise", "pageout", child.pid, "--range", span(start, SIZE), "--freeze", "off")
    found = {}
    for kind, more in (("text", ()), ("json", ("--json",))):
        found[kind] = subprocess.run(
            as_user(
                NOBODY,
                command("--state-dir", state, *arguments, *more),
                "+sys_nice,+sys_ptrace,+dac_read_search",
            ),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            cwd=REPOSITORY,
            check=False,
        )
        assert at(child.pid, start).rss == SIZE
    row = json.loads(found["json"].stdout)
    (part,) = row["ranges"]
    assert (row["advised_bytes"], row["moved_bytes"]) == (SIZE, 0)
    assert (row["outcome"], part["outcome"], part["reason"]) == (
        "no_effect",
        "no_effect",
        "file_not_writable",
    )
    assert "no_effect" in found["text"].stdout
    assert Reason.FILE_NOT_WRITABLE.text in found["text"].stdout
    assert "Nothing left RSS." in found["text"].stdout

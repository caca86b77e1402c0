"""With zswap on, what is paged out is freed at once: memtui says so, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import TargetReport
from memtui.render.effect import summary
from tests.conftest import need
from tests.kernel.mappings import drain_batches
from tests.kernel.toolkit import MIB, PAGE, Child, at, memtui, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 32 * MIB
_ENABLED = Path("/sys/module/zswap/parameters/enabled")


@pytest.fixture
def zswap() -> Iterator[None]:
    """Have zswap on for one test."""
    need(_ENABLED.exists(), "zswap (CONFIG_ZSWAP)")
    was = _ENABLED.read_text()
    _ENABLED.write_text("Y")
    try:
        yield
    finally:
        _ENABLED.write_text(was)


def page_out(host: LocalHost, child: Child) -> TargetReport:
    """Page out memory that compresses well."""
    start = child.map(SIZE)
    child.do("dirty", address=start, size=SIZE, step=PAGE)
    drain_batches()
    target = host.open(child.pid)
    try:
        marks = (Mark(Range(start, start + SIZE), None),)
        (report,) = host.apply(host.plan(Advice.PAGEOUT, [Selection(target, marks)], Freeze.OFF))
    finally:
        target.release()
    assert at(child.pid, start).swap > SIZE // 2
    return report


def zswapped() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Zswapped:"))


@pytest.mark.usefixtures("swap_file", "zswap")
def test_with_zswap_nothing_is_said_to_stay_in_the_swap_cache(
    host: LocalHost, child: Child, tmp_path: Path
) -> None:
    before = zswapped()
    report = page_out(host, child)
    took = zswapped() - before
    assert took > SIZE // 2
    assert report.effect.zswapped_delta_bytes == pytest.approx(took, abs=4 * MIB)
    told = " ".join(summary(report, Advice.PAGEOUT))
    assert "zswap compresses pages on their way to swap: what it takes is freed at once" in told
    assert "MemFree need not rise" not in told
    assert "Zswapped +" in told
    (finding,) = (
        row for row in rows(memtui("doctor", "--json", state_dir=tmp_path)) if row["check"] == "swap"
    )
    assert finding["consequence"].startswith("zswap is on")


@pytest.mark.usefixtures("swap_file")
def test_without_zswap_it_does(host: LocalHost, child: Child) -> None:
    need(not _ENABLED.exists() or _ENABLED.read_text().strip() != "Y", "zswap off")
    told = " ".join(summary(page_out(host, child), Advice.PAGEOUT))
    assert "MemFree need not rise" in told
    assert "zswap" not in told.lower()

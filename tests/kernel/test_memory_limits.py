"""What brings pages in, at the limits of a memory cgroup: nobody is killed for it, and a kill is told."""

from __future__ import annotations

import os
import signal
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
from memtui.render.effect import summary
from tests.conftest import need
from tests.kernel.toolkit import HUGE, MIB, RESIDUE_BYTES, Child, at, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures("swap_file")

SIZE = 48 * MIB
METHODS = [Freeze.OFF, Freeze.PTRACE]


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


def kills(group: Path) -> int:
    """Read the count of the group itself."""
    file = next(name for name in ("memory.oom_control", "memory.events") if (group / name).exists())
    words = (group / file).read_text().split()
    return int(words[words.index("oom_kill") + 1])


def usage(group: Path) -> int:
    file = next(name for name in ("memory.usage_in_bytes", "memory.current") if (group / name).exists())
    return int((group / file).read_text())


def set_limit(group: Path, size: int) -> None:
    limit = next(name for name in ("memory.limit_in_bytes", "memory.max") if (group / name).exists())
    (group / limit).write_text(str(size))


class Full:
    """A target at the limit of its group, from which nothing can leave, with memory in swap."""

    def __init__(self, group: Path, host: LocalHost, child: Child, *, shared: bool = False) -> None:
        need((group / "memory.swappiness").exists(), "a version 1 group, whose anonymous memory can be kept")
        self.group = group
        (group / "cgroup.procs").write_text(str(child.pid))
        self.start = child.map(SIZE, align=HUGE, fill=1, shared=shared)
        moved = advise_vector(host, child, Advice.PAGEOUT, self.start, SIZE).moved_bytes or 0
        assert moved >= SIZE - RESIDUE_BYTES
        self.kept = child.map(SIZE, align=HUGE, fill=2)
        child.do("lock", address=self.kept, size=SIZE)
        # What is in the swap cache still is charged too: it goes first.
        wait_until(self._is_small, "the swap cache is empty")
        (group / "memory.swappiness").write_text("0")

    def _is_small(self) -> bool:
        (self.group / "memory.force_empty").write_text("1")
        return usage(self.group) < SIZE + 16 * MIB


@pytest.mark.parametrize("freeze", METHODS)
@pytest.mark.parametrize("shared", [False, True])
def test_willneed_stops_before_the_kernel_kills(
    group: Path, host: LocalHost, child: Child, freeze: Freeze, shared: bool
) -> None:
    full = Full(group, host, child, shared=shared)
    set_limit(group, usage(group) + 16 * MIB)
    report = advise_vector(host, child, Advice.WILLNEED, full.start, SIZE, freeze)
    assert kills(group) == 0
    # It was forecast, and for the same reason.
    assert 0 < (report.planned.forecast_bytes or 0) <= 16 * MIB
    assert report.ranges[0].planned.verdict.main_reason is Reason.MEMORY_LIMIT
    assert report.reason is Reason.MEMORY_LIMIT
    assert report.outcome is Outcome.PARTIAL
    assert 0 < report.advised_bytes <= 16 * MIB
    assert report.effect.oom_kills == 0
    # It lives, and its memory is what it was.
    assert at(child.pid, full.kept).rss == SIZE
    set_limit(group, 8 * SIZE)
    assert advise_vector(host, child, Advice.WILLNEED, full.start, SIZE, freeze).advised_bytes == SIZE


@pytest.mark.parametrize("advice", [Advice.WILLNEED, Advice.COLLAPSE])
def test_a_full_group_refuses_all_of_it(group: Path, host: LocalHost, child: Child, advice: Advice) -> None:
    full = Full(group, host, child)
    set_limit(group, usage(group) + MIB)
    report = advise_vector(host, child, advice, full.start, SIZE)
    verdict = report.ranges[0].planned.verdict
    # Of memory in swap COLLAPSE promises nothing, room or not.
    expected = Reason.SWAPPED_OUT if advice is Advice.COLLAPSE else Reason.MEMORY_LIMIT
    assert (verdict.forecast_bytes, verdict.main_reason) == (0, expected)
    assert kills(group) == 0
    assert (report.outcome, report.reason) == (Outcome.REFUSED, Reason.MEMORY_LIMIT)
    assert report.advised_bytes == report.calls == 0


def test_files_need_no_room_in_the_group(group: Path, host: LocalHost, child: Child, tmp_path: Path) -> None:
    full = Full(group, host, child)
    set_limit(group, usage(group) + MIB)
    path = tmp_path / "file"
    path.write_bytes(bytes(4 * MIB))
    start = child.map(4 * MIB, path=str(path), shared=True)
    report = advise_vector(host, child, Advice.WILLNEED, start, 4 * MIB)
    assert report.advised_bytes == 4 * MIB
    assert kills(full.group) == 0


def test_an_oom_kill_meanwhile_is_told(
    group: Path, host: LocalHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills a neighbour in the target's group while it works for us."""
    start = child.map(MIB, fill=1)
    with Child() as other:
        for pid in (child.pid, other.pid):
            (group / "cgroup.procs").write_text(str(pid))
        Path(f"/proc/{other.pid}/oom_score_adj").write_text("1000")
        hungry = other.map(SIZE)
        other.do("madvise", address=hungry, size=SIZE, advice=14)
        real = syscalls.process_madvise

        def call(pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
            if elements and not kills(group):
                (group / "memory.swappiness").write_text("0")
                set_limit(group, usage(group) + 4 * MIB)
                other.send("lock", address=hungry, size=SIZE)
                wait_until(lambda: kills(group) > 0, "the OOM killer has come")
            return real(pidfd, elements, advice, flags)

        monkeypatch.setattr(syscalls, "process_madvise", call)
        report = advise_vector(host, child, Advice.COLD, start, MIB)
        assert report.effect.oom_kills == kills(group) == 1
        assert any("OOM killer" in line for line in summary(report, Advice.COLD))
        assert os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT).si_status == signal.SIGKILL

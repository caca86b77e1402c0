"""Calls are sized by what they cost: a kernel made slow holds nobody for longer than it must."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from memtui.freeze.client import Guard
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.linux import syscalls
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import Outcome, TargetReport
from tests.kernel.children import FreezeTarget
from tests.kernel.toolkit import HUGE, MIB, RESIDUE_BYTES, Child, at, wait_until

Make = Callable[..., FreezeTarget]


@dataclass
class SlowKernel:
    """Has a call take at least its size divided by ``bytes_per_s``."""

    bytes_per_s: float
    sizes: list[int] = field(default_factory=list)


@pytest.fixture
def slow_kernel(monkeypatch: pytest.MonkeyPatch) -> SlowKernel:
    slow = SlowKernel(16 * MIB)
    real = syscalls.process_madvise

    def call(pidfd: int, elements: Sequence[tuple[int, int]], advice: int, flags: int = 0) -> int:
        size = sum(end - start for start, end in elements)
        if size:
            slow.sizes.append(size)
            time.sleep(size / slow.bytes_per_s)
        return real(pidfd, elements, advice, flags)

    monkeypatch.setattr(syscalls, "process_madvise", call)
    return slow


def advise_vector(
    host: LocalHost, child: Child, advice: Advice, start: int, size: int, freeze: Freeze
) -> TargetReport:
    target = host.open(child.pid)
    try:
        plan = host.plan(advice, [Selection(target, (Mark(Range(start, start + size), None),))], freeze)
        (report,) = host.apply(plan)
        return report
    finally:
        target.release()


def test_collapse_takes_few_huge_pages_a_call(host: LocalHost, child: Child, slow_kernel: SlowKernel) -> None:
    size = 16 * HUGE
    start = child.map(size, align=HUGE, fill=1)
    report = advise_vector(host, child, Advice.COLLAPSE, start, size, Freeze.PTRACE)
    assert at(child.pid, start).huge == size
    assert (report.outcome, report.moved_bytes) == (Outcome.DONE, size)
    # A huge page takes 125 ms at least: a second one need not fit, and never do two calls of two.
    assert max(slow_kernel.sizes) == HUGE
    assert report.holds >= len(slow_kernel.sizes) // 2


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("advice", [Advice.PAGEOUT, Advice.COLD])
def test_a_call_that_was_slow_makes_the_next_one_small(
    host: LocalHost, child: Child, slow_kernel: SlowKernel, advice: Advice
) -> None:
    slow_kernel.bytes_per_s = 128 * MIB
    size = 64 * MIB
    start = child.map(size, align=HUGE, fill=1)
    report = advise_vector(host, child, advice, start, size, Freeze.PTRACE)
    # Referenced is read only where that takes little time: on a busy machine COLD cannot be seen.
    assert report.outcome in (Outcome.DONE, Outcome.UNVERIFIED)
    assert report.advised_bytes == size
    first, *others = slow_kernel.sizes
    # A quarter of a hold of 250 ms, at 128 MiB a second, is 8 MiB.
    assert max(others) <= 8 * MIB
    assert first <= 32 * MIB
    if advice is Advice.PAGEOUT:
        assert at(child.pid, start).rss <= len(slow_kernel.sizes) * RESIDUE_BYTES


@pytest.mark.parametrize("freeze", [Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP])
def test_waiting_for_a_dead_guard_is_not_what_the_target_felt(
    guard: Guard, make: Make, freeze: Freeze
) -> None:
    target = make()
    hold = guard.hold(target.process, target.pidfd, freeze, 10_000)
    os.kill(guard.pid, signal.SIGKILL)
    target.assert_free(5)
    wait_until(lambda: guard.replayed is not None, "what it held was let go of")
    free_ms = (time.monotonic() - hold.began) * 1000
    # The engine is in a call meanwhile.
    wait_until(lambda: (time.monotonic() - hold.began) * 1000 > free_ms + 200, "time passes")
    released = guard.release(hold)
    assert not released.held_throughout
    assert 0 < released.held_ms <= free_ms

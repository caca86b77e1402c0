"""The target's memory is never changed, whatever is advised in whatever order."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from memtui.model.report import Outcome, TargetReport
from tests.kernel.toolkit import HUGE, MIB, PAGE, Child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = 60
ACTIONS_AN_EXAMPLE = 50
RANGES = 6

pytestmark = pytest.mark.usefixtures("swap_file")


class Subject:
    """A child with one region of every kind, and what is in each."""

    def __init__(self, folder: Path) -> None:
        self.child = Child()
        path = folder / "file"
        path.write_bytes(random.Random(0).randbytes(2 * MIB))
        self.regions = [
            (self.child.map(2 * HUGE, align=HUGE, fill=1), 2 * HUGE),
            (self.child.map(MIB, shared=True, fill=2), MIB),
            (self.child.map(2 * MIB, path=str(path)), 2 * MIB),
            (self.child.map(2 * MIB, path=str(path), shared=True), 2 * MIB),
            (self.child.map(MIB, fill=3), MIB),
            (self.child.map(MIB), MIB),
        ]
        locked, size = self.regions[4]
        self.child.do("lock", address=locked + size // 4, size=16 * PAGE)
        copied, _ = self.regions[2]
        self.child.do("write", address=copied, size=64 * PAGE, seed=4)
        pages = self.child.do("map_pages", count=64, fill=5)
        self.regions += [(pages + 2 * at * PAGE, PAGE) for at in range(64)]
        # Shared with a fork from here on; what either writes later would be its own.
        self.child.fork()
        self.before = self.sums()

    def sums(self) -> list[int]:
        return [self.child.checksum(start, size) for start, size in self.regions]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    made = Subject(tmp_path_factory.mktemp("files"))
    yield made
    made.child.end()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    with LocalHost(tmp_path_factory.mktemp("state")) as opened:
        yield opened


def some_range(seed: random.Random, regions: list[tuple[int, int]]) -> Range:
    """Draw a range in a region, over its edges, over several, or somewhere else altogether."""
    start, size = seed.choice(regions)
    pages = size // PAGE
    kind = seed.randrange(10)
    if kind == 0:
        low = seed.choice([0, PAGE, 0x7FFF_FFFF_F000 - PAGE, 0xFFFF_FFFF_FF60_0000, 1 << 40])
        return Range(low, low + seed.randint(1, 1000) * PAGE)
    if kind == 1:
        return Range(start - seed.randint(0, 40) * PAGE, start + size + seed.randint(0, 600) * PAGE)
    first = seed.randrange(pages)
    return Range(start + first * PAGE, start + seed.randint(first + 1, pages) * PAGE)


def act(host: LocalHost, subject: Subject, seed: random.Random) -> tuple[Advice, TargetReport]:
    target = host.open(subject.child.pid)
    try:
        ranges = [some_range(seed, subject.regions) for _ in range(seed.randint(1, RANGES))]
        marks = tuple(Mark(item, None) for item in ranges)
        freeze = Freeze.PTRACE if seed.random() < 0.2 else Freeze.OFF
        plan = host.plan(seed.choice(list(Advice)), [Selection(target, marks)], freeze)
        (report,) = host.apply(plan)
        return plan.advice, report
    finally:
        target.release()


def test_thousands_of_random_actions_change_no_byte(subject: Subject, host: LocalHost) -> None:
    moved: Counter[Advice] = Counter()

    # A failing action has changed the one target there is: trying again would not make it smaller.
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(st.integers(0, 2**32))
    def some_actions(number: int) -> None:
        seed = random.Random(number)
        for _ in range(ACTIONS_AN_EXAMPLE):
            advice, report = act(host, subject, seed)
            assert 0 <= report.advised_bytes <= report.requested_bytes
            for item in report.ranges:
                assert item.advised_bytes <= item.planned.requested_bytes
                assert (item.moved_bytes or 0) <= item.planned.requested_bytes
                assert item.reason is not None or item.outcome is Outcome.DONE
            moved[advice] += report.moved_bytes or 0
        assert subject.sums() == subject.before

    some_actions()
    # They were no empty gestures.
    assert moved[Advice.PAGEOUT] > 10 * MIB
    assert moved[Advice.COLLAPSE] >= HUGE


def test_the_checksums_would_tell(subject: Subject) -> None:
    """One byte in one page: what the test above relies on."""
    start, _ = subject.regions[0]
    subject.child.do("dirty", address=start, size=PAGE, step=PAGE)
    assert subject.sums() != subject.before

"""The sizes of calls, on a machine and a clock made up: no hold outlasts its time but by one mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import batch_sizer
from memtui.advise.alignment import CALL_BYTES
from memtui.advise.batch_sizer import BatchSizer
from memtui.model.advice import Advice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
HOLD_S = 0.25
UNIT = 2 * MIB


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    with pytest.MonkeyPatch.context() as patch:
        made = Clock()
        patch.setattr(batch_sizer, "time", made)
        yield made


def hold(sizer: BatchSizer, clock: Clock, rate: Callable[[], float], unit: int = UNIT) -> list[int]:
    """Work through one hold as the engine does: the cuts fall on ``unit``. Return the calls' sizes."""
    sizer.hold_from(clock.now)
    calls: list[int] = []
    while True:
        size = max(unit, sizer.call_bytes() // unit * unit)
        if calls and not sizer.fits(size):
            sizer.released()
            return calls
        spent = size / rate()
        clock.now += spent
        sizer.took(size, spent)
        calls.append(size)


@given(
    st.sampled_from(list(Advice)),
    st.floats(8 * MIB, 1 << 36),
    st.floats(0.05, 1.0),
    st.integers(2, 6),
)
def test_at_a_steady_pace_no_hold_is_longer_than_it_may_be(
    advice: Advice, rate: float, hold_s: float, holds: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(batch_sizer, "time", clock)
        sizer = BatchSizer(advice, hold_s)
        for _ in range(holds):
            began = clock.now
            first, *_ = hold(sizer, clock, lambda: rate)
            # The first call is made in any case, or there would be no end; the others only if they fit.
            assert clock.now - began <= max(hold_s, first / rate) + 1e-9


@given(st.lists(st.floats(0.5, 1.0), min_size=200, max_size=200), st.sampled_from(list(Advice)))
def test_a_call_that_takes_twice_as_long_still_fits(slower: list[float], advice: Advice) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(batch_sizer, "time", clock)
        sizer = BatchSizer(advice, HOLD_S)
        hold(sizer, clock, lambda: 1024.0 * MIB, 4096)
        paces = iter(slower * 10)
        for _ in range(3):
            began = clock.now
            hold(sizer, clock, lambda: 1024 * MIB * next(paces), 4096)
            assert clock.now - began <= HOLD_S * 1.001


def test_the_first_calls_of_collapse_are_a_few_huge_pages(clock: Clock) -> None:
    sizer = BatchSizer(Advice.COLLAPSE, HOLD_S)
    sizer.hold_from(clock.now)
    assert sizer.call_bytes() <= 2 * UNIT


def test_calls_of_collapse_stay_few_huge_pages_however_quick_they_were(clock: Clock) -> None:
    """One that waits for busy CPUs takes fifty times as long as the one before it."""
    sizer = BatchSizer(Advice.COLLAPSE, HOLD_S)
    for _ in range(20):
        sizer.took(4 * UNIT, 0.001)
    sizer.hold_from(clock.now)
    assert sizer.call_bytes() == 2 * UNIT


def test_it_shrinks_at_once_and_grows_slowly(clock: Clock) -> None:
    sizer = BatchSizer(Advice.PAGEOUT, HOLD_S)
    sizer.took(16 * MIB, 1.0)
    sizer.hold_from(clock.now)
    assert sizer.call_bytes() == int(16 * MIB * HOLD_S / 4)
    sizes = []
    for _ in range(4):
        sizer.took(16 * MIB, 0.001)
        sizes.append(sizer.call_bytes())
    assert sizes == [8 * MIB >> 2, 16 * MIB >> 2, 32 * MIB >> 2, 64 * MIB >> 2]
    for _ in range(4):
        sizer.took(16 * MIB, 0.001)
    assert sizer.call_bytes() == CALL_BYTES


def test_a_page_that_waited_for_a_processor_says_nothing(clock: Clock) -> None:
    sizer = BatchSizer(Advice.PAGEOUT, HOLD_S)
    sizer.hold_from(clock.now)
    was = sizer.call_bytes()
    sizer.took(4096, 0.004)
    assert sizer.call_bytes() == was
    # One that took long by itself does.
    sizer.took(4096, 0.2)
    assert sizer.call_bytes() < was


def test_what_release_takes_is_set_aside(clock: Clock) -> None:
    sizer = BatchSizer(Advice.COLD, HOLD_S)
    sizer.hold_from(clock.now)
    sizer.took(CALL_BYTES, 0.01)
    clock.now += 0.05
    sizer.released()
    sizer.took(CALL_BYTES, 0.1)
    sizer.hold_from(clock.now)
    clock.now += 0.19
    assert sizer.fits(4096)
    clock.now += 0.011
    assert not sizer.fits(4096)


def test_nothing_is_held_and_calls_stay_small_all_the_same(clock: Clock) -> None:
    sizer = BatchSizer(Advice.COLLAPSE, HOLD_S)
    sizer.took(UNIT, 0.125)
    assert sizer.call_bytes() <= UNIT
    assert sizer.fits(1 << 40)


@pytest.mark.parametrize("advice", list(Advice))
def test_what_is_made_ready_for_a_hold_follows(clock: Clock, advice: Advice) -> None:
    sizer = BatchSizer(advice, HOLD_S)
    assert sizer.hold_bytes == 192 * MIB
    sizer.took(16 * MIB, 1.0)
    assert sizer.hold_bytes == 6 * MIB


def test_calls_with_nothing_to_do_say_nothing_of_how_long_work_takes(clock: Clock) -> None:
    sizer = BatchSizer(Advice.PAGEOUT, HOLD_S)
    sizer.hold_from(clock.now)
    clock.now += 0.01
    sizer.took(16 * MIB, 0.01)
    sizer.run_on()
    before = sizer.call_bytes()
    for _ in range(2000):
        sizer.took(0, 0.0001)
    assert sizer.call_bytes() == before

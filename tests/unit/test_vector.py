"""Giving advice element by element, to a stand-in that answers as mm/madvise.c does."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise.segments import Segment, Segments
from memtui.advise.vector import advise_vector
from memtui.model.ranges import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

OF_ONE_ELEMENT = [errno.EINVAL, errno.ENOMEM, errno.EAGAIN, errno.EBUSY, errno.EBADF, errno.EIO]
OF_THE_TARGET = [errno.ESRCH, errno.EPERM, errno.EACCES, errno.ENOSYS]


class Kernel:
    """Walks elements until one fails: the bytes before it, or its errno if it is the first.

    An element out of bounds (EFAULT) fails the whole vector before anything is done.
    """

    def __init__(self, bad: dict[int, int], ends_at_call: int | None = None, ends_with: int = 0) -> None:
        self._bad = bad
        self._ends_at_call = ends_at_call
        self._ends_with = ends_with
        self.advised: list[int] = []
        self.calls = 0

    def __call__(self, elements: Sequence[tuple[int, int]], advice: int) -> int:
        self.calls += 1
        assert elements
        assert advice == 20
        if self.calls == self._ends_at_call:
            raise OSError(self._ends_with, os.strerror(self._ends_with))
        if any(self._bad.get(start) == errno.EFAULT for start, _ in elements):
            raise OSError(errno.EFAULT, "bad address")
        walked = 0
        for start, end in elements:
            if start in self._bad:
                if walked:
                    return walked
                raise OSError(self._bad[start], os.strerror(self._bad[start]))
            self.advised.append(start)
            walked += end - start
        return walked


@st.composite
def vectors(draw: st.DrawFn) -> list[Segment]:
    place, pieces = PAGE_BYTES, []
    for owner in range(draw(st.integers(1, 40))):
        end = place + draw(st.integers(1, 5)) * PAGE_BYTES
        pieces.append(Segment(place, end, owner))
        place = end + draw(st.integers(0, 2)) * PAGE_BYTES
    return pieces


@given(st.data())
def test_every_good_element_is_advised_once_and_every_bad_one_named(data: st.DataObject) -> None:
    pieces = data.draw(vectors())
    chosen = data.draw(st.sets(st.sampled_from(pieces)))
    bad = {
        piece.start: data.draw(st.sampled_from([*OF_ONE_ELEMENT, errno.EFAULT])) for piece in sorted(chosen)
    }
    kernel = Kernel(bad)
    result = advise_vector(kernel, Segments.of(pieces), 20)
    good = [piece for piece in pieces if piece.start not in bad]
    assert result.advised == good
    assert kernel.advised == [piece.start for piece in good]
    assert result.failed == [(piece, bad[piece.start]) for piece in pieces if piece.start in bad]
    assert result.fatal is None
    assert (
        result.calls
        == kernel.calls
        <= 2 * len(bad) + 1 + (len(pieces) if errno.EFAULT in bad.values() else 0)
    )


@given(st.data(), st.sampled_from(OF_THE_TARGET), st.integers(1, 10))
def test_an_error_of_the_target_ends_it(data: st.DataObject, number: int, at_call: int) -> None:
    pieces = data.draw(vectors())
    chosen = data.draw(st.sets(st.sampled_from(pieces)))
    bad = {piece.start: errno.EINVAL for piece in chosen}
    kernel = Kernel(bad, at_call, number)
    result = advise_vector(kernel, Segments.of(pieces), 20)
    assert kernel.advised == [piece.start for piece in result.advised]
    if kernel.calls < at_call:
        assert result.fatal is None
        assert len(result.advised) + len(result.failed) == len(pieces)
    else:
        assert result.fatal is not None
        assert result.fatal.errno == number
        assert kernel.calls == at_call


def test_an_element_that_fails_only_once_is_advised() -> None:
    pieces = [Segment(at * PAGE_BYTES, (at + 1) * PAGE_BYTES, at) for at in range(1, 4)]
    answers = iter([PAGE_BYTES, 2 * PAGE_BYTES])
    result = advise_vector(lambda _elements, _advice: next(answers), Segments.of(pieces), 20)
    assert result.advised == pieces
    assert result.failed == []


def test_a_kernel_that_walks_nothing_and_reports_no_error_is_no_endless_loop() -> None:
    pieces = [Segment(at * PAGE_BYTES, (at + 1) * PAGE_BYTES, at) for at in range(1, 4)]
    result = advise_vector(lambda _elements, _advice: 0, Segments.of(pieces), 20)
    assert result.advised == []
    assert [number for _, number in result.failed] == [errno.EIO] * 3


@pytest.mark.parametrize("walked", [1, PAGE_BYTES - 1])
def test_half_an_element_does_not_count(walked: int) -> None:
    pieces = [Segment(PAGE_BYTES, 2 * PAGE_BYTES, 0)]
    assert advise_vector(lambda _elements, _advice: walked, Segments.of(pieces), 20).advised == []

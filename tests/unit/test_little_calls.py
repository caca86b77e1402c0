"""Little work is not weighed: the calls are the same as if it had been."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import cutting
from memtui.advise.cutting import CALL_BYTES, Grain, calls_of
from memtui.advise.pieces import Piece, Pieces
from memtui.model.advice import Advice
from memtui.model.pages import PRESENT, RawRun

PAGE = 4096
HUGE = 2 << 20
GRAIN = Grain(Advice.COLD, HUGE, {})

stretches = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 600)), min_size=1, max_size=600)


@given(stretches, st.integers(PAGE, CALL_BYTES))
def test_the_calls_are_those_that_weighing_makes(lengths: list[tuple[int, int]], call_bytes: int) -> None:
    pieces: list[Piece] = []
    runs: list[RawRun] = []
    at = HUGE
    for owner, (gap, pages) in enumerate(lengths):
        start = at + gap * PAGE
        at = start + pages * PAGE
        pieces.append(Piece(start, at, owner))
        runs.append((start, min(at, start + 2 * PAGE), PRESENT))

    def calls() -> list[Pieces]:
        return [call.elements for call in calls_of(Pieces.of(pieces), runs, GRAIN, lambda: call_bytes)]

    found = calls()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "_least_budget", lambda *_: None)
        assert found == calls()

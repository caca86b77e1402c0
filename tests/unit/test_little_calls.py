"""Little work is not weighed: the calls are the same as if it had been."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import alignment
from memtui.advise.alignment import CALL_BYTES, Alignment, calls_of
from memtui.advise.segments import Segment, Segments
from memtui.model.advice import Advice
from memtui.model.pages import PRESENT, RawRun

PAGE = 4096
HUGE = 2 << 20
GRAIN = Alignment(Advice.COLD, HUGE, {})

stretches = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 600)), min_size=1, max_size=600)


@given(stretches, st.integers(PAGE, CALL_BYTES))
def test_the_calls_are_those_that_weighing_makes(lengths: list[tuple[int, int]], call_bytes: int) -> None:
    pieces: list[Segment] = []
    runs: list[RawRun] = []
    at = HUGE
    for owner, (gap, pages) in enumerate(lengths):
        start = at + gap * PAGE
        at = start + pages * PAGE
        pieces.append(Segment(start, at, owner))
        runs.append((start, min(at, start + 2 * PAGE), PRESENT))

    def calls() -> list[Segments]:
        return [call.elements for call in calls_of(Segments.of(pieces), runs, GRAIN, lambda: call_bytes)]

    found = calls()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "_least_budget", lambda *_: None)
        assert found == calls()

"""What a restore says of itself, and how pages are cut into steps and by VMA."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import restore as restoring
from memtui.advise.moved_page_state import _by_vma
from memtui.advise.restore import _steps
from memtui.cli.restore import _code_of
from memtui.linux.proc_mem import _data, _data_pages
from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES, Range, intersect, normalise, total_bytes
from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from memtui.model.restore import Restored, RestorePlan, RestoreReport, outcome_of
from memtui.model.vma import Vma, VmaKind
from memtui.render.restore import describe_seen

MIB = 1 << 20

page_sets = st.lists(
    st.builds(
        lambda start, length: Range(start * PAGE_BYTES, (start + length) * PAGE_BYTES),
        st.integers(1, 300),
        st.integers(1, 40),
    ),
    max_size=20,
).map(normalise)


@given(page_sets, st.integers(1, 20))
def test_the_steps_are_all_pages_once_and_none_is_too_large(pages: tuple[Range, ...], at_most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "STEP_BYTES", at_most * PAGE_BYTES)
        steps = list(_steps(pages))
    assert normalise(part for step in steps for part in step) == pages
    assert sum(total_bytes(step) for step in steps) == total_bytes(pages)
    assert all(0 < total_bytes(step) <= at_most * PAGE_BYTES for step in steps)


@given(page_sets, page_sets, st.integers(1, 7))
def test_each_page_belongs_to_the_vma_that_holds_it(
    pages: tuple[Range, ...], mapped: tuple[Range, ...], cut: int
) -> None:
    vmas = []
    for item in mapped:
        for start in range(item.start, item.end, cut * PAGE_BYTES):
            end = min(item.end, start + cut * PAGE_BYTES)
            vmas.append(Vma(start, end, "rw-p", 0, "00:00", 0, "", VmaKind.ANON))
    found = list(_by_vma(vmas, pages))
    assert all(here and here == intersect(pages, (vma.range,)) for vma, here in found)
    assert normalise(part for _, here in found for part in here) == intersect(pages, mapped)


@given(page_sets, page_sets)
def test_page_by_page_or_not_the_same_pages_of_a_file_are_found(
    written: tuple[Range, ...], asked: tuple[Range, ...]
) -> None:
    fd = os.memfd_create("test")
    try:
        os.ftruncate(fd, 400 * PAGE_BYTES)
        for part in written:
            os.pwrite(fd, b"x" * part.size_bytes, part.start)
        there = intersect(written, asked)
        pages = _data_pages(fd, asked)
        assert normalise(Range(at, at + PAGE_BYTES) for at in pages) == there
        runs = [Range(*run) for part in asked for run in _data(fd, part.start, part.end)]
        assert intersect(normalise(runs), asked) == there
    finally:
        os.close(fd)


counts = st.integers(0, 1000).map(lambda pages: pages * PAGE_BYTES)
reasons = st.dictionaries(st.sampled_from([Reason.GONE, Reason.CHANGED, Reason.PAGE_GONE]), counts)
stops = st.sampled_from([None, Reason.CANCELLED, Reason.EXITED, Reason.MEMORY_LOW, Reason.MEMORY_LIMIT])


@given(st.builds(Restored, counts, counts, counts, st.none() | counts, counts, reasons, reasons, stops))
def test_it_says_done_only_of_what_was_seen_to_come(seen: Restored) -> None:
    outcome, reason = outcome_of(seen)
    if outcome is Outcome.DONE:
        assert seen.restored_bytes is not None
        assert seen.restored_bytes >= seen.wanted_bytes > 0
        assert reason is None
    else:
        assert reason is not None
    assert all(line and line.isprintable() for line in describe_seen(seen))


def test_what_did_not_come_is_told_with_its_reason() -> None:
    seen = Restored(
        moved_bytes=10 * MIB,
        already_back_bytes=MIB,
        wanted_bytes=6 * MIB,
        restored_bytes=2 * MIB,
        also_back_bytes=MIB,
        lost={Reason.GONE: 3 * MIB},
        left={Reason.USERFAULTFD: MIB},
        stopped=Reason.MEMORY_LOW,
    )
    assert outcome_of(seen) == (Outcome.PARTIAL, Reason.MEMORY_LOW)
    assert describe_seen(seen) == (
        "of 10M moved, 1M were in RAM already",
        "6M were out, and 2M of them came back",
        "3M were unmapped since",
        f"1M not brought back: {Reason.USERFAULTFD.text}",
        f"3M not brought back: {Reason.MEMORY_LOW.text}; {Reason.MEMORY_LOW.next_step}",
        "1M were also restored, not asked for: neighbours that the kernel maps with them, and what the"
        " target touched meanwhile",
    )


def test_what_is_no_more_is_not_out_and_did_not_leave_again() -> None:
    left = {Reason.PAGE_GONE: MIB, Reason.GONE: 2 * MIB, Reason.CHANGED: 3 * MIB}
    seen = Restored(9 * MIB, 0, 9 * MIB, 2 * MIB, 0, {}, {**left, Reason.WENT_AGAIN: MIB})
    assert seen.still_out_bytes == MIB
    assert describe_seen(seen)[2:] == (
        "2M were unmapped meanwhile",
        "3M became another mapping meanwhile",
        "1M were dropped (by MADV_FREE perhaps at the action itself), punched out or cut off meanwhile",
        f"1M not brought back: {Reason.WENT_AGAIN.text}",
    )
    gone = Restored(MIB, 0, MIB, 0, 0, {}, {Reason.GONE: MIB})
    assert outcome_of(gone) == (Outcome.NO_EFFECT, Reason.GONE), "there was nothing left to refuse"
    assert outcome_of(Restored(MIB, 0, MIB, 0, 0, {}, {}))[1] is not Reason.WENT_AGAIN


def report_of(outcome: Outcome, reason: Reason | None = None) -> RestoreReport:
    planned = RestorePlan("a.1", "", ProcessId(1, 1, ""), "x", "pageout", MIB, MIB, reason)
    return RestoreReport(planned, "", MIB, 0, 0, MIB, outcome, reason)


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([report_of(Outcome.DONE)], 0),
        ([report_of(Outcome.NO_EFFECT, Reason.ALL_BACK), report_of(Outcome.DONE)], 0),
        ([report_of(Outcome.PARTIAL, Reason.MEMORY_LOW)], 1),
        ([report_of(Outcome.DONE), report_of(Outcome.GONE, Reason.EXITED)], 1),
        ([report_of(Outcome.DONE), report_of(Outcome.CANCELLED, Reason.CANCELLED)], 5),
        ([report_of(Outcome.NO_EFFECT, Reason.NOTHING_MOVED)], 1),
    ],
)
def test_the_exit_code_says_whether_all_came_back(reports: list[RestoreReport], code: int) -> None:
    assert _code_of(reports) == code

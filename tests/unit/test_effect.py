"""What is told of the bytes: no sentence claims what no number shows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import PlannedRange, TargetPlan
from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES, Range
from memtui.model.reasons import Reason
from memtui.model.report import Effect, Outcome, RangeReport, TargetReport, score_of
from memtui.model.swap import SwapKind, swap_kind
from memtui.model.verdict import Expectation, Verdict
from memtui.model.vma import VmaIdentity, VmaKind
from memtui.render.effect import describe_effect, describe_range_effect

SIZE = 16 * PAGE_BYTES
KINDS = [VmaKind.ANON, VmaKind.HEAP, VmaKind.FILE, VmaKind.SHMEM]
MACHINE = "System-wide change meanwhile: "


def planned(kind: VmaKind = VmaKind.ANON, forecast: int | None = SIZE, at: int = 1) -> PlannedRange:
    identity = VmaIdentity("\x1b[31m", "rw-p", "00:00", 0, None)
    return PlannedRange(
        Range(at * SIZE, (at + 1) * SIZE), "\x1b[31m", identity, kind, Verdict(Expectation.YES, forecast)
    )


def report_of(ranges: list[RangeReport], effect: Effect | None = None, calls: int = 1) -> TargetReport:
    plan = TargetPlan(ProcessId(1, 2, "b"), "\x1b[31m", tuple(item.planned for item in ranges), Freeze.OFF)
    report = TargetReport("a.1", "a", "t", plan, Freeze.OFF, ranges, calls=calls, effect=effect or Effect())
    report.moved_bytes = report.total("moved_bytes")
    return report


def moved(
    kind: VmaKind,
    count: int | None,
    swapped: int | None = None,
    cache: int | None = None,
    zero: int | None = 0,
    by_smaps: int | None = None,
) -> RangeReport:
    return RangeReport(
        planned(kind),
        zero_moved_bytes=zero,
        swap_before_bytes=None if by_smaps is None else 0,
        swap_after_bytes=by_smaps,
        advised_bytes=SIZE,
        moved_bytes=count,
        swapped_bytes=swapped,
        came_bytes=None if count is None else 0,
        cache_delta_bytes=cache,
        outcome=Outcome.DONE if count else Outcome.NO_EFFECT,
    )


counts = st.integers(0, 16).map(lambda pages: pages * PAGE_BYTES)
deltas = st.one_of(st.none(), st.integers(-16, 16).map(lambda pages: pages * PAGE_BYTES))
ranges_of = st.lists(
    st.builds(
        RangeReport,
        planned=st.sampled_from([planned(kind, forecast) for kind in KINDS for forecast in (None, 0, SIZE)]),
        advised_bytes=counts,
        moved_bytes=st.one_of(st.none(), counts),
        swapped_bytes=st.one_of(st.none(), counts),
        swap_before_bytes=st.one_of(st.none(), counts),
        swap_after_bytes=st.one_of(st.none(), counts),
        zero_moved_bytes=st.one_of(st.none(), counts),
        came_bytes=st.one_of(st.none(), counts),
        cache_delta_bytes=deltas,
        huge_delta_bytes=deltas,
        referenced_delta_bytes=deltas,
        outcome=st.sampled_from(list(Outcome)),
    ),
    max_size=4,
)
effects = st.builds(
    Effect, deltas, deltas, deltas, deltas, deltas, st.one_of(st.none(), counts), deltas, deltas
)
kinds_of_swap = st.frozensets(st.sampled_from(SwapKind))


@given(ranges_of, effects, kinds_of_swap, st.sampled_from(list(Advice)))
def test_no_sentence_claims_what_no_number_shows(
    ranges: list[RangeReport], effect: Effect, swaps: frozenset[SwapKind], advice: Advice
) -> None:
    report = report_of(ranges, effect)
    report.swap_kinds = swaps
    told = describe_effect(report, advice)
    text = "\n".join(told)
    for line in told:
        assert line.isprintable()
        assert line.endswith(".")
        for name in ("MemFree +", "MemFree -", "SwapCached", "read in from swap"):
            assert name not in line or line.startswith(MACHINE)
    if report.moved_bytes is None and advice.moves:
        assert "could not be seen" in text
    if advice is Advice.PAGEOUT and not report.moved_bytes:
        assert not re.search(r"\d left RSS|is free|went to swap|in swap\.", text)
    if not any(item.cache_delta_bytes for item in ranges):
        assert not re.search(
            r"left the page cache and|^\S+ of files came|shared memory (left RAM|was never written)",
            text,
            re.MULTILINE,
        )
    if not any((item.swap_after_bytes or 0) > (item.swap_before_bytes or 0) for item in ranges):
        assert "shared memory went to swap." not in text
    if not any(item.zero_moved_bytes for item in ranges):
        assert "the zero page stands" not in text
    if advice is Advice.COLLAPSE and (report.moved_bytes or 0) <= 0:
        assert "became huge pages" not in text
    if advice is Advice.COLD and not (effect.referenced_delta_bytes or 0) < 0:
        assert "fell by" not in text
    if not swaps:
        assert "Swap on" not in text
    for item in ranges:
        line = describe_range_effect(item, advice)
        assert line.isprintable()
        assert "left RSS" not in line or item.moved_bytes


@given(ranges_of, st.sampled_from(list(Advice)))
def test_where_nothing_was_tried_nothing_is_told(ranges: list[RangeReport], advice: Advice) -> None:
    assert describe_effect(report_of(ranges, calls=0), advice) == ()


def told_of(*ranges: RangeReport, swaps: set[SwapKind] | None = None) -> str:
    report = report_of(list(ranges))
    report.swap_kinds = frozenset(swaps or {SwapKind.DISK})
    return " ".join(describe_effect(report, Advice.PAGEOUT))


def test_unmapped_in_swap_and_freed_are_three_things() -> None:
    anonymous = told_of(moved(VmaKind.ANON, SIZE, SIZE))
    assert "64K left RSS: 64K in swap." in anonymous
    assert "unmapped is not freed" in anonymous
    assert "is free" not in anonymous
    freed = told_of(moved(VmaKind.FILE, SIZE, 0, -SIZE))
    assert "64K of the files left the page cache and is free." in freed
    assert "in swap" not in freed
    kept = told_of(moved(VmaKind.FILE, SIZE, 0, 0))
    assert "64K of the files is still in the page cache: unmapped, not freed." in kept
    half = told_of(moved(VmaKind.FILE, SIZE, 0, -SIZE // 2))
    assert "32K is still in it: unmapped, not freed" in half
    unknown = told_of(moved(VmaKind.FILE, SIZE, 0, None))
    assert "Whether 64K of the files also left the page cache could not be seen." in unknown
    both = told_of(moved(VmaKind.FILE, SIZE, 0, -SIZE), moved(VmaKind.FILE, PAGE_BYTES, 0, None))
    assert "64K of the files left the page cache and is free." in both
    assert "Whether 4K of the files also left the page cache could not be seen." in both


def test_shared_memory_that_stays_in_ram_is_not_called_swapped() -> None:
    stays = told_of(moved(VmaKind.SHMEM, SIZE, 0, 0))
    assert "64K of the shared memory is unmapped and still in RAM: not freed." in stays
    assert "Swap on" not in stays
    goes = told_of(moved(VmaKind.SHMEM, SIZE, 0, -SIZE, by_smaps=SIZE))
    assert "64K of the shared memory went to swap." in goes
    assert "unmapped is not freed" in goes


def test_shared_memory_that_was_never_written_is_dropped_and_not_swapped() -> None:
    """The cache shrinks by all of it; what of it is in swap only smaps tells."""
    none = told_of(moved(VmaKind.SHMEM, SIZE, 0, -SIZE, by_smaps=0))
    assert "64K of the shared memory was never written: dropped, and freed." in none
    assert "swap" not in none
    half = told_of(moved(VmaKind.SHMEM, SIZE, 0, -SIZE, by_smaps=SIZE // 2))
    assert "32K of the shared memory went to swap." in half
    assert "32K of the shared memory was never written: dropped, and freed." in half
    unknown = told_of(moved(VmaKind.SHMEM, SIZE, 0, -SIZE))
    assert "64K of the shared memory left RAM: to swap, or dropped where never written." in unknown
    part = told_of(moved(VmaKind.SHMEM, SIZE, 0, None, by_smaps=SIZE // 2))
    assert "32K of the shared memory went to swap." in part
    assert "Whether 32K of the shared memory stays in RAM could not be seen." in part


def test_own_copies_of_shared_memory_that_went_to_swap_are_not_still_in_ram() -> None:
    """Half of a private mapping was copied on write: that half is in the page table, in swap."""
    told = told_of(moved(VmaKind.SHMEM, SIZE, SIZE // 2, -SIZE // 2, by_smaps=SIZE))
    assert "64K left RSS: 32K in swap, 32K unmapped shared memory." in told
    assert "32K of the shared memory went to swap." in told
    assert "still in RAM" not in told


def test_zeroes_in_huge_pages_are_freed_and_not_let_go_by_the_target() -> None:
    told = told_of(moved(VmaKind.ANON, SIZE, SIZE // 4, zero=SIZE // 2))
    assert "16K in swap, 32K freed (the zero page stands there now), 16K neither" in told
    unseen = told_of(moved(VmaKind.ANON, SIZE, SIZE // 2, zero=None))
    assert "32K neither in RAM nor in swap (zeroes in huge pages, or the target let go of it)" in unseen


def test_with_two_kinds_of_swap_nobody_knows_which_took_it() -> None:
    both = told_of(moved(VmaKind.ANON, SIZE, SIZE), swaps=set(SwapKind))
    assert "Which of these took the pages is not known." in both


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/dev/zram0", SwapKind.ZRAM),
        ("/dev/vda2", SwapKind.DISK),
        ("/swap.img", SwapKind.DISK),
        ("/var/dev/zram0", SwapKind.DISK),
    ],
)
def test_the_kind_of_a_swap_area(path: str, kind: SwapKind) -> None:
    assert swap_kind(path) is kind


def test_what_was_given_up_is_not_blamed_on_the_target_meanwhile() -> None:
    item = moved(VmaKind.ANON, SIZE, SIZE // 4)._replace(given_up_bytes=SIZE // 2)
    text = told_of(item)
    assert "64K left RSS: 16K in swap, 32K freed (MADV_FREE), 16K neither in RAM nor in swap" in text
    assert "32K were freed: their owner had given them up (MADV_FREE)." in text


def test_huge_pages_that_went_come_back_as_small_ones() -> None:
    item = moved(VmaKind.ANON, SIZE, SIZE)
    assert "huge" not in told_of(item)
    huge = item._replace(huge_moved_bytes=SIZE)
    assert "64K of it were huge pages; they come back as small ones." in told_of(huge)


def test_memory_that_the_target_itself_gave_back_is_not_in_swap() -> None:
    told = told_of(moved(VmaKind.ANON, SIZE, 0))
    assert "64K neither in RAM nor in swap (the target let go of it)" in told
    assert "Swap on" not in told


@given(ranges_of, st.sampled_from(list(Advice)))
def test_a_forecast_is_scored_only_where_both_are_known(ranges: list[RangeReport], advice: Advice) -> None:
    score = score_of(report_of(ranges), advice)
    off_by = [
        abs(seen - expected)
        for item in ranges
        if (expected := item.planned.verdict.forecast_bytes) is not None
        and (seen := item.effect_bytes(advice)) is not None
    ]
    assert score.off_by_bytes == (sum(off_by) if off_by else None)
    assert (score.effect_bytes is None) == (score.forecast_bytes is None) == (not off_by)
    assert 0 <= score.wrong_ranges <= score.judged_ranges <= len(ranges)


def test_a_forecast_that_is_wrong_about_whether_anything_happens_counts() -> None:
    wrong = RangeReport(planned(forecast=SIZE), SIZE, 0, outcome=Outcome.NO_EFFECT, reason=Reason.SKIPPED)
    right = RangeReport(planned(forecast=0), SIZE, 0, outcome=Outcome.NO_EFFECT, reason=Reason.NO_SWAP)
    near = RangeReport(planned(), SIZE, SIZE - PAGE_BYTES, outcome=Outcome.DONE)
    score = score_of(report_of([wrong, right, near]), Advice.PAGEOUT)
    assert (score.judged_ranges, score.wrong_ranges) == (3, 1)
    assert score.off_by_bytes == SIZE + PAGE_BYTES

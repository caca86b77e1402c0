"""What came of a range: nothing is called an effect that was not seen."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise.classify import Circumstances, classify, classify_all, outcome_of
from memtui.advise.range_stats import RangeStats, RangeTally, add_seen
from memtui.advise.segments import Segment, Segments
from memtui.model.advice import Advice
from memtui.model.pages import HUGE, PRESENT, SWAPPED, ZERO, RawRun
from memtui.model.plan import PlannedRange
from memtui.model.ranges import PAGE_BYTES, Range, total_bytes
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, total_of
from memtui.model.verdict import Expectation, ReasonBytes, Verdict
from memtui.model.vma import VmaIdentity, VmaKind

SIZE = 16 * PAGE_BYTES
IDENTITY = VmaIdentity("", "rw-p", "00:00", 0, None)
STATES = [0, PRESENT, PRESENT | HUGE, PRESENT | ZERO, SWAPPED]
MOVES = (Advice.PAGEOUT, Advice.COLLAPSE)


def planned(
    reason: Reason | None = None, kind: VmaKind = VmaKind.ANON, forecast: int | None = SIZE
) -> PlannedRange:
    reasons = () if reason is None else (ReasonBytes(reason, SIZE),)
    verdict = Verdict(Expectation.YES if reason is None else Expectation.NO, forecast, reasons)
    return PlannedRange(Range(SIZE, 2 * SIZE), "", IDENTITY, kind, verdict)


def about(advice: Advice, **more: object) -> Circumstances:
    plain = Circumstances(advice, None, 0, {}, {})
    return replace(plain, **more)  # type: ignore[arg-type]


def runs_of(states: list[int]) -> list[RawRun]:
    return [
        (SIZE + at * PAGE_BYTES, SIZE + (at + 1) * PAGE_BYTES, state)
        for at, state in enumerate(states)
        if state
    ]


counts = st.integers(0, SIZE // PAGE_BYTES).map(lambda pages: pages * PAGE_BYTES)
tallies = st.builds(
    RangeTally,
    planned=st.sampled_from(
        [planned(), planned(Reason.SHARED_PAGES, forecast=0), planned(kind=VmaKind.FILE)]
    ),
    advised_bytes=counts,
    moved_bytes=counts,
    rss_before_bytes=counts,
    rss_after_bytes=counts,
    changed_bytes=counts,
    gone_bytes=counts,
    raced_bytes=st.one_of(st.just(0), counts),
    lost_bytes=st.one_of(st.just(0), counts),
    empty_bytes=counts,
    seen_bytes=st.sampled_from([0, SIZE // 2, SIZE]),
    errno=st.sampled_from([None, errno.EINVAL, errno.ENOMEM, 9999]),
    cache_came_bytes=st.one_of(st.none(), counts),
)
circumstances = st.builds(
    Circumstances,
    advice=st.sampled_from(list(Advice)),
    stopped=st.sampled_from(
        [None, Reason.CANCELLED, Reason.EXITED, Reason.EXECED, Reason.FREEZE_LOST, Reason.NO_SYS_NICE]
    ),
    swapped_in_bytes=st.one_of(st.none(), counts),
    referenced_before=st.dictionaries(st.just(SIZE), counts),
    referenced_after=st.dictionaries(st.just(SIZE), counts),
)


@given(tallies, circumstances)
def test_no_effect_is_claimed_that_was_not_seen(tally: RangeTally, around: Circumstances) -> None:
    report = classify(tally, around)
    if around.advice not in MOVES or not tally.seen or tally.raced_bytes:
        assert report.moved_bytes is None
    if not tally.seen or tally.seen_bytes < SIZE:
        # A part is not the whole.
        assert report.rss_before_bytes is report.rss_after_bytes is None
    if report.outcome is Outcome.DONE:
        assert tally.advised_bytes
        assert tally.advised_bytes + tally.empty_bytes >= SIZE
        assert not tally.raced_bytes
        assert not tally.lost_bytes
        seen = {
            Advice.PAGEOUT: tally.seen and tally.moved_bytes > 0,
            Advice.COLLAPSE: tally.seen and tally.moved_bytes > 0,
            Advice.COLD: around.referenced_after.get(SIZE, 0) < around.referenced_before.get(SIZE, 0),
            Advice.WILLNEED: bool(around.swapped_in_bytes or tally.cache_came_bytes),
        }
        assert seen[around.advice]
    if report.outcome in (Outcome.DONE, Outcome.NO_EFFECT, Outcome.UNVERIFIED):
        assert tally.advised_bytes + tally.empty_bytes >= SIZE
    else:
        assert report.reason is not None
        assert report.reason_text
    if report.outcome is Outcome.PARTIAL:
        assert tally.advised_bytes or tally.moved_bytes
    if report.outcome is Outcome.NO_EFFECT:
        assert report.reason is not None


@given(st.lists(tallies, max_size=8), circumstances, st.lists(st.integers(0, 7), max_size=20))
def test_what_is_alike_is_settled_once_and_told_of_all(
    sorts: list[RangeTally], around: Circumstances, chosen: list[int]
) -> None:
    """Each range has the report that it would have alone, and the sorts add up to the same."""
    each = [sorts[at % len(sorts)] for at in chosen] if sorts else []
    columns = RangeStats([tally.planned for tally in each])
    for at, tally in enumerate(each):
        columns.put(at, tally)
    reports, alike = classify_all(columns, around)
    alone = [classify(tally, around) for tally in each]
    assert reports == alone
    assert sum(times for _, times in alike) == len(each)
    for name in ("advised_bytes", "moved_bytes", "rss_after_bytes", "swapped_bytes", "cache_delta_bytes"):
        known = [getattr(item, name) for item in alone if getattr(item, name) is not None]
        assert total_of(alike, name) == (sum(known) if known else None)
    assert {item.outcome for item, _ in alike} == {item.outcome for item in alone}


@given(st.lists(st.sampled_from(list(Outcome)), max_size=6), counts)
def test_a_target_has_an_outcome_whatever_its_ranges_have(outcomes: list[Outcome], advised: int) -> None:
    for stopped in (None, Reason.CANCELLED, Reason.FREEZE_LOST, Reason.EXITED):
        found = outcome_of(set(outcomes), advised, stopped)
        if found is Outcome.DONE:
            assert Outcome.DONE in outcomes
            assert set(outcomes) <= {Outcome.DONE, Outcome.UNVERIFIED, Outcome.NO_EFFECT}
        if stopped is Reason.FREEZE_LOST:
            assert found is Outcome.FREEZE_LOST


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (Reason.LOCKED, Outcome.REFUSED),
        (Reason.VSYSCALL, Outcome.REFUSED),
        (Reason.NOT_MAPPED, Outcome.REFUSED),
    ],
)
def test_what_never_went_is_refused_with_its_reason(reason: Reason, outcome: Outcome) -> None:
    report = classify(RangeTally(planned(reason)), about(Advice.PAGEOUT))
    assert (report.outcome, report.reason, report.reason_text) == (outcome, reason, reason.text)
    assert report.errno is None


def test_the_errno_stands_as_a_symbol_and_in_words() -> None:
    report = classify(RangeTally(planned(), errno=errno.ENOMEM), about(Advice.PAGEOUT))
    assert (report.outcome, report.errno) == (Outcome.REFUSED, "ENOMEM")
    assert (report.reason, report.reason_text) == (Reason.HOLE, Reason.HOLE.text)
    unknown = classify(RangeTally(planned(), errno=errno.EXDEV), about(Advice.PAGEOUT))
    assert unknown.reason is Reason.KERNEL_REFUSED
    assert "cross-device" in (unknown.reason_text or "")


@pytest.mark.parametrize(
    ("forecast", "free", "reason"),
    [
        (None, 0, Reason.NO_SWAP),
        (Reason.NO_SWAP, 0, Reason.NO_SWAP),
        # It said that there is none, and there is: that is not why.
        (Reason.NO_SWAP, 1 << 30, Reason.LRU_BATCH),
        (Reason.NO_SWAP, None, Reason.NO_SWAP),
        (Reason.SHARED_PAGES, 0, Reason.SHARED_PAGES),
        (Reason.SKIPPED, 1 << 30, Reason.SKIPPED),
        # Why bytes are elsewhere is no reason for those that stay.
        (Reason.UNTOUCHED, 1 << 30, Reason.LRU_BATCH),
        (Reason.ALREADY_OUT, 0, Reason.NO_SWAP),
    ],
)
def test_why_nothing_moved_is_what_was_measured_first(
    forecast: Reason | None, free: int | None, reason: Reason
) -> None:
    tally = RangeTally(
        planned(forecast), advised_bytes=SIZE, rss_before_bytes=SIZE, rss_after_bytes=SIZE, seen_bytes=SIZE
    )
    report = classify(tally, about(Advice.PAGEOUT, swap_free_bytes=free))
    assert (report.outcome, report.reason, report.moved_bytes) == (Outcome.NO_EFFECT, reason, 0)


def test_after_a_second_pass_nothing_waits_in_a_batch() -> None:
    tally = RangeTally(planned(), SIZE, rss_before_bytes=SIZE, rss_after_bytes=SIZE, seen_bytes=SIZE)
    around = about(Advice.PAGEOUT, swap_free_bytes=SIZE << 20, batches_were_emptied=True)
    assert classify(tally, around).reason is Reason.SKIPPED


def test_many_pages_that_stay_wait_in_no_batch() -> None:
    size = 1 << 30
    tally = RangeTally(
        planned(), advised_bytes=SIZE, rss_before_bytes=size, rss_after_bytes=size, seen_bytes=SIZE
    )
    assert classify(tally, about(Advice.PAGEOUT, swap_free_bytes=size)).reason is Reason.SKIPPED


@pytest.mark.parametrize("advice", [Advice.PAGEOUT, Advice.COLD])
@pytest.mark.parametrize("kind", [VmaKind.FILE, VmaKind.SHMEM])
def test_a_file_that_is_not_mapped_in_may_be_in_ram(advice: Advice, kind: VmaKind) -> None:
    report = classify(RangeTally(planned(kind=kind), advised_bytes=SIZE, seen_bytes=SIZE), about(advice))
    assert (report.outcome, report.reason) == (Outcome.NO_EFFECT, Reason.UNMAPPED_HERE)


@pytest.mark.parametrize(
    ("swapped", "zero", "reason"),
    [(SIZE, 0, Reason.ALREADY_OUT), (0, SIZE, Reason.ZERO_PAGE), (0, 0, Reason.NOTHING_RESIDENT)],
)
@pytest.mark.parametrize("advice", [Advice.PAGEOUT, Advice.COLD])
def test_why_there_was_nothing_to_take(swapped: int, zero: int, reason: Reason, advice: Advice) -> None:
    tally = RangeTally(
        planned(), advised_bytes=SIZE, swap_before_bytes=swapped, zero_bytes=zero, seen_bytes=SIZE
    )
    report = classify(tally, about(advice))
    assert (report.outcome, report.reason) == (Outcome.NO_EFFECT, reason)


def test_swap_of_shared_memory_is_unknown_where_only_the_page_table_was_read() -> None:
    report = classify(
        RangeTally(planned(kind=VmaKind.SHMEM), advised_bytes=SIZE, seen_bytes=SIZE),
        about(Advice.PAGEOUT),
    )
    assert report.swap_before_bytes is report.swap_after_bytes is None
    assert report.rss_before_bytes == 0


def test_a_collapse_of_nothing_is_refused() -> None:
    report = classify(RangeTally(planned(), empty_bytes=SIZE), about(Advice.COLLAPSE))
    assert (report.outcome, report.reason) == (Outcome.REFUSED, Reason.NOTHING_TO_COLLAPSE)


def test_a_collapse_is_partial_only_where_something_asked_for_was_refused() -> None:
    half = SIZE // 2

    def huge(advised_bytes: int = half, **more: int) -> RangeTally:
        tally = RangeTally(planned(), advised_bytes, empty_bytes=half, rss_before_bytes=half, **more)
        tally.huge_before_bytes = tally.huge_after_bytes = half
        tally.seen_bytes = SIZE
        return tally

    report = classify(huge(), about(Advice.COLLAPSE))
    assert (report.outcome, report.reason) == (Outcome.NO_EFFECT, Reason.ALL_HUGE)
    assert classify(huge(moved_bytes=half), about(Advice.COLLAPSE)).outcome is Outcome.DONE
    failed = huge(half // 2, errno=errno.EINVAL)
    assert classify(failed, about(Advice.COLLAPSE)).outcome is Outcome.PARTIAL


def test_what_was_given_up_is_told_from_what_the_target_let_go_of() -> None:
    size = 64 << 20
    promised = planned(Reason.LAZY_FREE)
    for of, gone, given_up in (
        (promised, SIZE // 2, SIZE // 2),
        # smaps does not count what waits in a batch.
        (promised, SIZE + PAGE_BYTES, SIZE + PAGE_BYTES),
        (planned(), SIZE, 0),
    ):
        tally = RangeTally(of, SIZE, moved_bytes=size, swapped_bytes=size - gone, seen_bytes=SIZE)
        assert classify(tally, about(Advice.PAGEOUT)).given_up_bytes == given_up
    much = RangeTally(promised, SIZE, moved_bytes=size, seen_bytes=SIZE)
    assert SIZE < (classify(much, about(Advice.PAGEOUT)).given_up_bytes or 0) < size


def test_sizes_read_alike_everywhere() -> None:
    came = RangeTally(planned(kind=VmaKind.FILE), advised_bytes=SIZE, cache_came_bytes=16 << 20)
    assert classify(came, about(Advice.WILLNEED)).reason_text == "16M came into the page cache"
    swapped = classify(
        RangeTally(planned(), SIZE, swap_before_bytes=SIZE, seen_bytes=SIZE),
        about(Advice.WILLNEED, swapped_in_bytes=3 << 20),
    )
    assert (swapped.reason_text or "").startswith("3M were read in")


@given(
    st.lists(st.sampled_from(STATES), min_size=16, max_size=16),
    st.lists(st.sampled_from(STATES), min_size=16, max_size=16),
    st.integers(1, 15),
    st.sampled_from([Advice.PAGEOUT, Advice.COLD, Advice.COLLAPSE]),
)
def test_what_two_looks_saw_page_by_page(was: list[int], now: list[int], border: int, advice: Advice) -> None:
    pieces = [
        Segment(SIZE, SIZE + border * PAGE_BYTES, 0),
        Segment(SIZE + border * PAGE_BYTES, 2 * SIZE, 1),
    ]
    tallies = RangeStats([planned(), planned()])
    moved = add_seen(tallies, Segments.of(pieces), runs_of(was), runs_of(now), advice)
    can_come_back = sum(tallies.sums("moved_bytes")) - sum(tallies.sums("zero_moved_bytes"))
    assert total_bytes(moved) == (can_come_back if advice is Advice.PAGEOUT else 0)
    for tally, before, after in (
        (tallies.of(0), was[:border], now[:border]),
        (tallies.of(1), was[border:], now[border:]),
    ):
        rss = [[bool(state & PRESENT and not state & ZERO) for state in look] for look in (before, after)]
        assert tally.seen
        assert tally.rss_before_bytes == sum(rss[0]) * PAGE_BYTES
        assert tally.rss_after_bytes == sum(rss[1]) * PAGE_BYTES
        assert tally.swap_before_bytes == before.count(SWAPPED) * PAGE_BYTES
        assert tally.swap_after_bytes == after.count(SWAPPED) * PAGE_BYTES
        if advice is Advice.COLLAPSE:
            huge = [look.count(PRESENT | HUGE) for look in (before, after)]
            assert tally.moved_bytes == (huge[1] - huge[0]) * PAGE_BYTES
        elif advice is Advice.PAGEOUT:
            left = [old and not new for old, new in zip(*rss, strict=True)]
            assert tally.moved_bytes == sum(left) * PAGE_BYTES
            came = sum(new and not old for old, new in zip(*rss, strict=True))
            assert tally.came_bytes == came * PAGE_BYTES
            out = sum(gone and state == SWAPPED for gone, state in zip(left, after, strict=True))
            assert tally.swapped_bytes == out * PAGE_BYTES
            zero = sum(gone and bool(state & ZERO) for gone, state in zip(left, after, strict=True))
            assert tally.zero_moved_bytes == zero * PAGE_BYTES
            assert tally.rss_after_bytes == tally.rss_before_bytes - tally.moved_bytes + tally.came_bytes
        else:
            assert tally.moved_bytes == 0

"""Making a plan: swap is spent once, marks are cut to what stands there, limits of cgroups are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise.forecast import Part, SwapBudget, choose_marks, choose_rows, forecast
from memtui.linux import cgroup
from memtui.linux.cgroup import Group, Mount, swap_rooms
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.pages import PageFacts
from memtui.model.plan import Mark, PlannedRange, TargetPlan
from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES, Range
from memtui.model.reasons import Reason
from memtui.model.verdict import Expectation, MachineFacts, ReasonBytes, Verdict, judge
from memtui.model.vma import AddressSpace, MappedVma, VmaKind
from memtui.render.forecast import forecast_in_words
from tests.unit.make import BASE, details, row, vma

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def machine(free: int | None) -> MachineFacts:
    return MachineFacts(swap_free_bytes=free, huge_page_bytes=2 * MIB)


def full(number: int, anonymous: int = MIB) -> MappedVma:
    return row(vma(start=BASE + number * 2 * MIB), pages=PageFacts(anonymous, MIB - anonymous, 0, 0))


def pageout(
    rows: list[MappedVma],
    purse: SwapBudget,
    groups: dict[str, int] | None = None,
    advice: Advice = Advice.PAGEOUT,
) -> list[PlannedRange]:
    mapped = AddressSpace(
        ProcessId(1, 1, "boot"), [item.vma for item in rows], [item.rss_bytes for item in rows], None
    )
    parts = [Part.of(mapped, at) for at in range(len(rows))]
    looked_up = [item.pages for item in rows]
    return forecast(parts, looked_up, lambda item, facts: judge(item, advice, facts), purse, groups)


def forecasts(planned: list[PlannedRange]) -> list[int | None]:
    return [item.verdict.forecast_bytes for item in planned]


def test_swap_is_spent_in_the_order_of_the_walk() -> None:
    purse = SwapBudget(machine(MIB + 8192))
    first = pageout([full(0), full(1)], purse)
    assert forecasts(first) == [MIB, 8192]
    assert first[1].verdict.reasons == (ReasonBytes(Reason.NO_SWAP, MIB - 8192),)
    # Another target of the same plan finds nothing left.
    assert forecasts(pageout([full(0)], purse)) == [0]


def test_what_needs_no_swap_spends_none() -> None:
    purse = SwapBudget(machine(MIB))
    file = row(vma(VmaKind.FILE, name="/x", inode=7), pages=PageFacts(0, MIB, 0, 0))
    assert forecasts(pageout([file, full(1)], purse)) == [MIB, MIB]


def test_a_cgroup_is_a_purse_of_its_own() -> None:
    purse = SwapBudget(machine(None))
    limits = {"/a": 3 * MIB, "/a/b": MIB}
    inner = pageout([full(0), full(1)], purse, limits)
    assert forecasts(inner) == [MIB, 0]
    assert inner[1].verdict.reasons == (ReasonBytes(Reason.SWAP_LIMIT, MIB),)
    # A target elsewhere in the outer group finds what the inner one has left of it.
    assert forecasts(pageout([full(0), full(1), full(2)], purse, {"/a": 3 * MIB})) == [MIB, MIB, 0]
    assert forecasts(pageout([full(0)], purse)) == [MIB]


amounts = st.integers(0, 300).map(lambda pages: pages * PAGE_BYTES)


@given(st.lists(st.integers(0, 256), max_size=6), amounts, amounts, amounts)
def test_no_plan_spends_more_than_there_is(counts: list[int], free: int, outer: int, inner: int) -> None:
    rows = [full(number, count * PAGE_BYTES) for number, count in enumerate(counts)]
    planned = pageout(rows, SwapBudget(machine(free)), {"/a": outer, "/a/b": inner})
    spent = sum(item.verdict.swap_bytes for item in planned)
    assert spent == min(sum(counts) * PAGE_BYTES, free, outer, inner)


def space() -> AddressSpace:
    """Two VMAs with a hole of a MiB between them; RSS is all of the first."""
    vmas = (vma(), vma(start=BASE + 2 * MIB))
    known = {BASE: details(rss=MIB, shared=MIB // 2)}
    return AddressSpace(ProcessId(1, 1, "boot"), vmas, [MIB, 0], [0, MIB], known)


def test_marks_are_cut_to_what_stands_there() -> None:
    here = vma().identity
    marks = [
        Mark(Range(BASE + MIB // 2, BASE + 3 * MIB), None),
        Mark(Range(BASE, BASE + MIB), here._replace(perms="r--p")),
        Mark(Range(BASE + 5 * MIB, BASE + 6 * MIB), here),
    ]
    chosen = choose_marks(space(), marks, lambda part: (part.size_bytes, 0))
    changed, hole, second, gone = chosen
    assert isinstance(second, Part)
    assert second.seen.vma == second.whole
    for item, start, size, reason in (
        (changed, BASE, MIB, Reason.CHANGED),
        (hole, BASE + MIB, MIB, Reason.NOT_MAPPED),
        (gone, BASE + 5 * MIB, MIB, Reason.GONE),
    ):
        assert isinstance(item, PlannedRange)
        assert item.range == Range(start, start + size)
        assert item.verdict.reasons == (ReasonBytes(reason, size),)


def test_a_part_has_its_share_of_smaps() -> None:
    half = Range(BASE + MIB // 2, BASE + MIB)
    (part,) = choose_marks(space(), [Mark(half, None)], lambda part: (part.size_bytes, 0))
    assert isinstance(part, Part)
    assert part.seen.vma.range == half
    assert part.whole == vma()
    assert part.seen.details is not None
    assert (part.seen.rss_bytes, part.seen.details.shared_bytes) == (MIB // 2, MIB // 4)
    (unknown,) = choose_marks(space(), [Mark(half, None)], lambda _: None)
    assert isinstance(unknown, Part)
    assert judge(unknown.seen, Advice.PAGEOUT, machine(None)).forecast_bytes is None


def test_rows_that_the_kernel_would_refuse_are_not_chosen() -> None:
    locked = AddressSpace(ProcessId(1, 1, "boot"), (vma(),), [MIB], [0], {BASE: details("lo", rss=MIB)})

    def judged(item: MappedVma, advice: Advice) -> Verdict:
        return judge(item, advice, machine(None))

    assert choose_rows(locked, Advice.COLD, judged, None) == []
    assert len(choose_rows(space(), Advice.COLD, judged, None)) == 2


@pytest.mark.parametrize(
    ("limit", "used", "room"),
    [("max", "4096", None), ("8192", "4096", 4096), ("0", "0", 0), ("4096", "8192", 0), (None, None, None)],
)
def test_what_a_cgroup_may_still_swap(
    tmp_path: Path, limit: str | None, used: str | None, room: int | None
) -> None:
    for name, text in (("memory.swap.max", limit), ("memory.swap.current", used)):
        if text is not None:
            (tmp_path / name).write_text(text + "\n")
    assert Group(str(tmp_path), str(tmp_path)).swap_room_bytes() == room


def test_the_limits_of_the_groups_above_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").touch()
    for folder, limit in ((inner, "max"), (inner.parent, "12288")):
        (folder / "memory.swap.max").write_text(limit + "\n")
        (folder / "memory.swap.current").write_text("4096\n")
    monkeypatch.setattr(cgroup, "mounts", lambda: [Mount("/", str(tmp_path))])
    monkeypatch.setattr(cgroup, "path_of", lambda pid: "/a/b")
    assert swap_rooms(1) == {str(inner.parent): 8192}
    monkeypatch.setattr(cgroup, "path_of", lambda pid: None)
    assert swap_rooms(1) == {}


def test_a_forecast_is_one_sentence() -> None:
    rows = [full(0), row(vma(start=BASE + 2 * MIB), pages=PageFacts(MIB // 2, 0, MIB // 4, 0))]
    planned = tuple(pageout(rows, SwapBudget(machine(None))))
    target = TargetPlan(ProcessId(1, 1, "boot"), "x", planned, Freeze.OFF)
    words = forecast_in_words(Advice.PAGEOUT, target)
    assert words.startswith("1.5M of 2M will leave RSS; ")
    assert set(words.partition("; ")[2].split(", ")) == {"256K shared", "256K untouched"}
    by_smaps = tuple(pageout([row(rss=MIB)], SwapBudget(machine(None))))
    estimated = TargetPlan(ProcessId(1, 1, "boot"), "x", by_smaps, Freeze.OFF)
    assert "about 1M (estimated" in forecast_in_words(Advice.PAGEOUT, estimated)
    assert by_smaps[0].verdict.will is Expectation.YES


def test_a_forecast_of_cold_says_that_batches_are_skipped() -> None:
    rows = [row(vma(start=BASE), pages=PageFacts(MIB, 0, 0, 0))]
    planned = tuple(pageout(rows, SwapBudget(machine(None)), advice=Advice.COLD))
    words = forecast_in_words(Advice.COLD, TargetPlan(ProcessId(1, 1, "boot"), "x", planned, Freeze.OFF))
    assert "is resident and will be aged, but for what each CPU touched last (up to 124K a CPU)" in words


def test_whole_vmas_that_are_alike_share_a_verdict_however_they_were_chosen() -> None:
    rows = [full(number) for number in range(4)]
    mapped = AddressSpace(ProcessId(1, 1, "boot"), [item.vma for item in rows], [MIB] * 4, [0] * 4)
    facts = PageFacts(MIB, 0, 0, 0)
    by_rule = choose_rows(mapped, Advice.COLD, lambda item, advice: judge(item, advice, machine(None)), None)
    marks = [Mark(item.vma.range, None) for item in rows]
    by_marks = [part for part in choose_marks(mapped, marks, lambda _: None) if isinstance(part, Part)]
    for parts in (by_rule, by_marks):
        asked = []

        def assess(item: MappedVma, around: MachineFacts, asked: list[MappedVma] = asked) -> Verdict:
            asked.append(item)
            return judge(item, Advice.COLD, around)

        planned = forecast(parts, [facts] * 4, assess, SwapBudget(machine(None)))
        assert len(asked) == 1
        assert len({id(item.verdict) for item in planned}) == 1

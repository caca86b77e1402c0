"""Marks: what stays marked when the map changes, and when handles are closed."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from memtui.model.plan import Mark
from memtui.model.process import Liveness
from memtui.model.ranges import Range
from memtui.ui.marking import Marking, Shown
from memtui.ui.marks import OTHER, PART, WHOLE, MarkBook, MarkSet
from tests.fakes import FACTS, FakeHost, FakeTarget, FakeVma, grown, practice_map, process_id, space_of, vma

PAGE = 4096


def shown(target: FakeTarget) -> Shown:
    return Shown(target, target.look())


def test_a_handle_is_closed_by_its_last_user_and_only_once() -> None:
    host = FakeHost()
    target = host.open(4242)
    book = MarkBook()
    assert book.add(target, [target.vmas[0].vma])
    target.release()
    assert target.closed == 0
    book.clear()
    assert target.closed == 1
    assert not target.acquire()
    assert not book.add(target, [target.vmas[0].vma])
    assert not book.counts


def test_unmarking_the_last_range_closes_the_handle() -> None:
    host = FakeHost()
    target = host.open(4242)
    book = MarkBook()
    marking = Marking(book)
    first = target.vmas[0].vma
    marking.toggle(shown(target), first)
    target.release()
    marking.toggle(shown(target), first)
    assert target.closed == 1


def test_a_heap_that_grew_is_marked_in_part() -> None:
    heap = vma(0x1000_0000, 8 * PAGE, name="[heap]")
    marks = MarkSet((Mark(heap.vma.range, heap.vma.identity),))
    assert marks.state(heap.vma) == WHOLE
    assert marks.state(grown(heap, PAGE).vma) == PART
    replaced = vma(0x1000_0000, 8 * PAGE, name="/other", inode=3)
    assert marks.state(replaced.vma) == OTHER
    assert marks.state(vma(0x2000_0000, PAGE).vma) == ""


def test_stale_marks_are_counted() -> None:
    host = FakeHost()
    target = host.open(4242)
    book = MarkBook()
    book.add(target, [item.vma for item in target.vmas[:3]])
    book.note_layout(target.look())
    assert book.stale == 0
    changed: list[FakeVma] = [
        vma(target.vmas[0].vma.start, PAGE, name="/new", inode=9),
        *target.vmas[2:],
    ]
    book.note_layout(space_of(target.process, changed))
    assert book.stale == 2


def test_a_split_vma_can_be_unmarked_by_halves() -> None:
    host = FakeHost()
    target = host.open(4242)
    book = MarkBook()
    whole = vma(0x5000_0000, 8 * PAGE)
    book.add(target, [whole.vma])
    left, right = vma(0x5000_0000, 4 * PAGE), vma(0x5000_4000, 4 * PAGE)
    Marking(book).toggle(Shown(target, space_of(target.process, [left, right])), left.vma)
    assert [mark.range for mark in book.of(target.process).marks] == [right.vma.range]


def test_all_shown_leaves_out_what_the_kernel_refuses() -> None:
    host = FakeHost()
    target = host.open(4242)
    book = MarkBook()
    words = Marking(book).all_shown(shown(target), FACTS)
    names = {item.vma.name or item.label for item in target.vmas if book.of(target.process).state(item.vma)}
    assert "[vvar]" not in names
    assert "[vsyscall]" not in names
    assert "locked" not in names
    assert "[heap]" in names
    assert "3 skipped (locked, device, hugetlb)" in words


def test_marks_of_two_processes_go_into_one_plan() -> None:
    host = FakeHost()
    first, second = host.open(4242), host.open(903)
    book = MarkBook()
    book.add(first, [first.vmas[2].vma])
    book.add(second, [second.vmas[0].vma])
    assert [item.target.process.pid for item in book.wanted()] == [4242, 903]
    assert book.drop(process_id(4242)) == 1
    assert [item.target.process.pid for item in book.wanted()] == [903]


_ranges = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 6)).map(
        lambda at: Range(at[0] * PAGE, (at[0] + at[1]) * PAGE)
    ),
    max_size=6,
)


def _disjoint(ranges: list[Range]) -> list[Range]:
    kept: list[Range] = []
    for item in ranges:
        if not any(item.intersect(other) for other in kept):
            kept.append(item)
    return kept


def _pages(marks: MarkSet) -> dict[int, object]:
    return {at: mark.identity for mark in marks.marks for at in range(mark.range.start, mark.range.end, PAGE)}


@given(old=_ranges, new=_ranges, gone=_ranges)
def test_mark_sets_agree_with_sets_of_pages(old: list[Range], new: list[Range], gone: list[Range]) -> None:
    identities = [item.vma.identity for item in practice_map()[:2]]
    before = MarkSet().with_marks([Mark(item, identities[0]) for item in _disjoint(old)])
    fresh = [Mark(item, identities[1]) for item in _disjoint(new)]
    after = before.with_marks(fresh)
    assert _pages(after) == {**_pages(before), **_pages(MarkSet(tuple(fresh)))}
    ends = [mark.range for mark in after.marks]
    assert all(left.end <= right.start for left, right in itertools.pairwise(ends))
    less = after.without(_disjoint(gone))
    away = {at for item in gone for at in range(item.start, item.end, PAGE) if item in _disjoint(gone)}
    assert _pages(less) == {at: who for at, who in _pages(after).items() if at not in away}


def test_marking_sixty_thousand_vmas_looks_at_each_but_once() -> None:
    vmas = [vma(0x10_0000_0000 + n * 8192, PAGE) for n in range(60_000)]
    marks = [Mark(item.vma.range, item.vma.identity) for item in vmas]
    some = MarkSet(tuple(marks[::2]))
    both = some.with_marks(marks[1::2])
    assert len(both.marks) == 60_000
    assert both.state(vmas[59_999].vma) == WHOLE


def test_the_newest_handle_of_a_process_carries_all_its_marks() -> None:
    host = FakeHost()
    old = host.open(4242)
    old.standing_now = Liveness.EXECED
    new = host.open(4242)
    assert new is not old
    book = MarkBook()
    book.add(old, [old.vmas[0].vma])
    old.release()
    book.add(new, [new.vmas[1].vma])
    assert old.closed == 1
    (wanted,) = book.wanted()
    assert wanted.target is new
    assert len(wanted.marks or ()) == 2

"""Search, filter, sort, tree, user, follow, pause, marks by rule: in the process list and in the map."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from textual import events

from memtui.ui.app import MemtuiApp
from memtui.ui.presentation.map import MapRows
from memtui.ui.screens.help import HelpScreen
from memtui.ui.screens.plan import PlanScreen
from tests.fakes import PROCESSES, FakeHost, many, process_id
from tests.ui.conftest import MakeApp
from tests.ui.driving import (
    arranged,
    host_of,
    read_machine,
    read_map,
    rows_of,
    screen_lines,
    screen_text,
    settled,
    start,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

WIDE, NARROW = (120, 36), (80, 24)


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Type a text into the prompt."""
    names = {" ": "space", ":": "colon", ">": "greater_than_sign", ",": "comma", "!": "exclamation_mark"}
    await pilot.press(*(names.get(char, char) for char in text))


def shown_pids(app: MemtuiApp) -> list[int]:
    return [process.pid for process in app.main.processes.table.rows.processes]  # type: ignore[attr-defined]


def shown_names(app: MemtuiApp) -> list[str]:
    rows = rows_of(app)
    return [rows.row(at).label or rows.vma(at).name for at in range(len(rows))]


async def until_shown(app: MemtuiApp, pilot: Pilot[Any], condition: Callable[[MapRows], object]) -> None:
    await until(lambda: condition(rows_of(app)), pilot)


@pytest.mark.parametrize("key", ["backslash", "f4"])
async def test_a_filter_of_the_map_is_live_and_shown_and_escape_ends_it(make_app: MakeApp, key: str) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press(key)
        await typed(pilot, "kind:heap,stack")
        await until_shown(app, pilot, lambda rows: len(rows) == 2)
        assert shown_names(app) == ["[heap]", "[stack]"]
        await pilot.press("enter")
        assert "filter: kind:heap,stack  2 of 21 VMAs  rss 1.5M" in screen_text(app)
        assert app.main.current is app.main.map
        await pilot.press("escape")
        assert len(rows_of(app)) == 21
        assert "filter:" not in screen_text(app)
        assert app.main.current is app.main.map


async def test_a_wrong_term_is_pointed_at_and_changes_nothing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("backslash")
        await typed(pilot, "kind:heap")
        await until_shown(app, pilot, lambda rows: len(rows) == 1)
        await typed(pilot, " >5M")
        await pilot.pause()
        lines = screen_lines(app)
        prompt = next(at for at, line in enumerate(lines) if "filter: kind:heap >5M" in line)
        assert lines[prompt + 1].index("^") == lines[prompt].index(">5M")
        assert "a term has no blanks" in lines[prompt + 1]
        assert len(rows_of(app)) == 1
        await pilot.press("enter")
        assert app.main.status_bar.prompt.display
        await pilot.press("escape")
        assert not app.main.status_bar.prompt.display
        await until_shown(app, pilot, lambda rows: len(rows) == 21)


async def test_escape_in_the_prompt_brings_the_filter_before_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("backslash", *"stack", "enter")
        await until_shown(app, pilot, lambda rows: len(rows) == 1)
        await pilot.press("backslash", *"xyz")
        await until_shown(app, pilot, lambda rows: len(rows) == 0)
        assert "no VMA matches" in screen_text(app)
        await pilot.press("escape")
        await until_shown(app, pilot, lambda rows: len(rows) == 1)


async def test_a_filter_of_live_numbers_follows_them(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await pilot.press("backslash")
        await typed(pilot, "rss>20M")
        await pilot.press("enter")
        await until_shown(app, pilot, lambda rows: len(rows) == 1)
        target.vmas[3].rss_bytes = 30 << 20
        app.main.map._order._not_before = 0.0
        await read_map(app, pilot, target)
        await until_shown(app, pilot, lambda rows: len(rows) == 2)


async def test_a_filter_on_processes_and_its_totals(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await read_machine(app, pilot)
        await pilot.press("backslash")
        await typed(pilot, "user:postgres,redis")
        await pilot.press("enter")
        assert shown_pids(app) == [811, 903]
        assert f"filter: user:postgres,redis  2 of {len(PROCESSES)}  rss 680M  swap 100M" in screen_text(app)
        await read_machine(app, pilot)
        assert shown_pids(app) == [811, 903]
        await pilot.press("escape")
        assert len(shown_pids(app)) == len(PROCESSES)


async def test_search_goes_round_its_matches(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        table = app.main.map.table
        await pilot.press("slash", *"python3")
        await until(lambda: "match 1 of 2" in screen_text(app), pilot)
        await pilot.press("enter", "n")
        await until(lambda: table.cursor == 1, pilot)
        assert "match 2 of 2" in screen_text(app)
        await pilot.press("n")
        await until(lambda: table.cursor == 0, pilot)
        await pilot.press("N")
        await until(lambda: table.cursor == 1, pilot)
        await pilot.press("f3")
        await until(lambda: table.cursor == 0, pilot)
        await pilot.press("slash", *"vsyscall")
        await until(lambda: table.cursor == 20, pilot)
        await pilot.press("escape")
        assert table.cursor == 0
        await pilot.press("n")
        assert "nothing is searched for yet" in screen_text(app)


@pytest.mark.parametrize(
    ("typed_text", "found"),
    [("cold", "cold region"), ("7f1050000000", "locked"), ("heap", "[heap]"), ("shmem", "shared memory")],
)
async def test_search_finds_what_the_list_shows_and_space_marks_that(
    make_app: MakeApp, typed_text: str, found: str
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("slash", *typed_text, "enter", "space")
        await until(lambda: app.session.marks.counts, pilot)
        marks = app.session.marks.of(process_id(4242)).marks
        at = next(at for at, name in enumerate(shown_names(app)) if name == found)
        assert [mark.range for mark in marks] == [rows_of(app).vma(at).range]


@pytest.mark.parametrize("key", ["space", "v"])
async def test_a_search_that_finds_nothing_leaves_no_space_that_marks(make_app: MakeApp, key: str) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("slash", *"nosuch", "enter", key, key)
        await pilot.pause()
        assert not app.session.marks.counts
        assert not app.main.marks.marking.ranging
        assert "the search found nothing: nothing is marked" in screen_text(app)
        # Where it is moved to by hand it is meant to be.
        await pilot.press("j", "space")
        assert app.session.marks.counts == {process_id(4242): 1}
        await pilot.press("U", "slash", *"nosuch", "enter", "escape", "space")
        assert app.session.marks.counts == {process_id(4242): 1}


async def test_the_same_in_the_process_list(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        await pilot.press("slash", *"nosuch", "enter", "space")
        assert "the search found nothing: nothing is marked" in screen_text(app)
        await pilot.press("slash", *"811", "enter")
        assert app.main.processes.table.cursor_key == process_id(811)
        await pilot.press("space")
        await settled(app, pilot)
        assert set(app.session.marks.counts) == {process_id(811)}


@pytest.mark.parametrize("opened", ["slash", "backslash"])
async def test_space_marks_nothing_while_the_answer_is_not_there_yet(make_app: MakeApp, opened: str) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        held = threading.Event()
        app.session.map_worker.ask(lambda _: held.wait(120))
        await pilot.press(opened, *"cold", "enter", "space")
        assert not app.session.marks.counts
        assert "still looking: nothing is marked" in screen_text(app)
        held.set()
        await arranged(app, pilot)
        await pilot.press("space")
        assert app.session.marks.of(process_id(4242)).state(
            next(vma for vma in rows_of(app).space.vmas if vma.start == 0x7F10_1000_0000)
        )


async def test_search_in_the_process_list(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        await pilot.press("slash", *"redis", "enter")
        assert app.main.processes.table.cursor_key == process_id(903)
        await pilot.press("slash", *"nosuch")
        assert "nothing matches" in screen_text(app)


async def test_search_finds_in_a_sorted_and_filtered_map(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("backslash", *"kind", "colon", *"anon", "enter")
        await until_shown(app, pilot, lambda rows: len(rows) == 12)
        await pilot.press("greater_than_sign")
        app.main.map.table.action_first()
        await pilot.press("slash", *"size", "equals_sign", *"64k", "enter")
        await until(lambda: app.main.map.cursor_vma and app.main.map.cursor_row.label == "locked", pilot)


async def test_sorting_by_each_column_and_the_other_way_round(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        pane = app.main.map
        plain = shown_names(app)
        await pilot.press("greater_than_sign")
        assert "sorted by name" in screen_text(app)
        await until_shown(app, pilot, lambda rows: rows.order is not None)
        assert shown_names(app) == sorted(plain, key=lambda name: name.rpartition("/")[2].casefold())
        await pilot.press("f6")
        await until_shown(app, pilot, lambda rows: rows.row(0).label == "cold region")
        numbers = [rows_of(app).row(at).rss_bytes or 0 for at in range(21)]
        assert numbers == sorted(numbers, reverse=True)
        assert "RSS↓" in screen_text(app)
        await pilot.press("I")
        await until_shown(app, pilot, lambda rows: rows.row(0).rss_bytes == 0)
        assert "RSS↑" in screen_text(app)
        for _ in range(3):
            await pilot.press("less_than_sign")
        assert pane.sorting.key == "kind"
        await pilot.press("greater_than_sign")
        assert pane.sorting.key == "address"
        await until_shown(app, pilot, lambda rows: rows.order is None)
        assert shown_names(app) == plain


async def test_the_cursor_stays_on_its_vma_while_live_numbers_sort(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(3))
        await pilot.press("f6", "f6")
        await until_shown(app, pilot, lambda rows: rows.row(0).label == "cold region")
        assert app.main.map.cursor_row.label == "hot region"
        target.vmas[3].rss_bytes = 40 << 20
        app.main.map._order._not_before = 0.0
        await read_map(app, pilot, target)
        await until_shown(app, pilot, lambda rows: rows.row(0).label == "hot region")
        assert app.main.map.table.cursor == 0


async def test_processes_sort_with_the_unknown_last_both_ways(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        assert (shown_pids(app)[0], shown_pids(app)[-1]) == (1204, 5101)
        await pilot.press("I")
        assert shown_pids(app)[-1] == 5101
        assert shown_pids(app)[-2] == 1204
        await pilot.press("less_than_sign")
        assert shown_pids(app) == sorted(process.pid for process in PROCESSES)


@pytest.mark.parametrize("key", ["t", "f5"])
async def test_the_tree_puts_processes_below_their_parents(make_app: MakeApp, key: str) -> None:
    parents = {811: 1, 903: 1, 1204: 811, 5100: 1204, 7000: 7001, 7001: 7000}
    processes = tuple(item._replace(parent_pid=parents.get(item.pid, 0)) for item in PROCESSES)
    app = make_app(FakeHost(processes_now=processes))
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        await pilot.press(key)
        pids = shown_pids(app)
        at = pids.index(1)
        assert pids[at : at + 5] == [1, 811, 1204, 5100, 903]
        assert sorted(pids) == sorted(process.pid for process in PROCESSES)
        lines = screen_lines(app)
        assert any("├─ post" in line for line in lines)
        assert any("│  └─ j" in line for line in lines)
        await pilot.press("backslash", *"node", "enter")
        assert shown_pids(app) == [5100]


async def test_the_user_under_the_cursor(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        await pilot.press("u")
        assert set(shown_pids(app)) == {1204, 4242, 6001}
        assert "user: app" in screen_text(app)
        await pilot.press("u")
        assert len(shown_pids(app)) == len(PROCESSES)
        await pilot.press("u", "escape")
        assert len(shown_pids(app)) == len(PROCESSES)


async def test_follow_is_switched_off_and_on(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        grown = tuple(item._replace(rss_bytes=9 << 30) if item.pid == 4242 else item for item in PROCESSES)
        await pilot.press("F")
        assert "stays on its line" in screen_text(app)
        await read_machine(app, pilot, grown)
        assert (app.main.processes.table.cursor, shown_pids(app)[0]) == (0, 4242)
        await pilot.press("F")
        await read_machine(app, pilot, PROCESSES)
        assert app.main.processes.table.cursor_key == process_id(4242)


@pytest.mark.parametrize("key", ["z", "Z"])
async def test_pause_lets_everything_stand(make_app: MakeApp, key: str) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await pilot.press(key)
        before = screen_text(app)
        assert "PAUSED" in before
        target.vmas[3].rss_bytes = 0
        await read_map(app, pilot, target)
        await read_machine(app, pilot, PROCESSES[:2])
        assert screen_text(app) == before
        await pilot.press(key)
        await read_map(app, pilot, target)
        await read_machine(app, pilot)
        assert len(shown_pids(app)) == 2
        assert rows_of(app).row(3).rss_bytes == 0
        assert "PAUSED" not in screen_text(app)


async def test_marks_by_rule(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("plus")
        await typed(pilot, "kind:anon size>32k")
        await pilot.press("enter")
        await until(lambda: app.session.marks.counts, pilot)
        assert "marked; 1 skipped (locked, device, hugetlb)" in screen_text(app)
        marked = app.session.marks.counts[process_id(4242)]
        assert app.session.marks.of(process_id(4242)).state(rows_of(app).vma(4))
        await pilot.press("minus")
        await typed(pilot, "size>=32M")
        await pilot.press("enter")
        await until(lambda: app.session.marks.counts[process_id(4242)] < marked, pilot)
        assert not app.session.marks.of(process_id(4242)).state(rows_of(app).vma(4))
        assert "unmarked" in screen_text(app)


async def test_star_and_ranges_mark_only_what_is_shown(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("backslash", *"kind", "colon", *"anon", "enter")
        await until_shown(app, pilot, lambda rows: len(rows) == 12)
        await pilot.press("g", "v", "j", "j")
        assert [line[47:48] for line in screen_lines(app) if "  anon" in line].count(">") in (0, 3)
        await pilot.press("space")
        assert app.session.marks.counts == {process_id(4242): 3}
        await pilot.press("U", "asterisk")
        assert app.session.marks.counts == {process_id(4242): 11}


async def test_a_filter_over_sixty_thousand_keeps_the_keys_alive(make_app: MakeApp) -> None:
    app = make_app(FakeHost(maps={4242: many(60_000)}))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("f6", "f6", "backslash", *"size", "equals_sign", *"4k", "enter")
        await pilot.press("j", "j")
        assert app.main.map.table.cursor == 2
        await until_shown(app, pilot, lambda rows: rows.order is not None and len(rows) == 60_000)


async def test_read_only_finds_but_marks_nothing(make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=NARROW) as pilot:
        await start(app, pilot)
        await pilot.press("plus")
        assert not app.main.status_bar.prompt.display
        await pilot.press("backslash", *"heap", "enter")
        await until_shown(app, pilot, lambda rows: len(rows) == 1)
        app.main.marks.mark_by_rule(app.main.map.wanted, marks=True)  # type: ignore[arg-type]
        await pilot.press("escape")
        assert app.session.executor is None


async def test_who_types_fast_loses_nothing(make_app: MakeApp) -> None:
    app = make_app(FakeHost(maps={4242: many(20_000)}))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("slash")
        prompt = app.main.status_bar.prompt._input
        prompt.value = "addr:1000004000"
        prompt.action_accept()
        await until(lambda: app.main.map.table.cursor == 2, pilot)
        await pilot.press("backslash")
        prompt.value = "addr:1000004000"
        prompt.action_accept()
        await until_shown(app, pilot, lambda rows: len(rows) == 1)


async def test_star_over_many_is_judged_by_a_thread(make_app: MakeApp) -> None:
    app = make_app(FakeHost(maps={4242: many(3000)}))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("asterisk")
        await until(lambda: app.session.marks.counts == {process_id(4242): 3000}, pilot)
        assert "3,000 VMAs marked" in screen_text(app)


# Keys that come together, as over a slow line


def send(app: MemtuiApp, *keys: str) -> None:
    """Have keys arrive together: nothing is waited for between them."""
    for key in keys:
        app.post_message(events.Key(key, ":" if key == "colon" else key if len(key) == 1 else None))


async def test_keys_right_before_a_search_do_what_they_do(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        send(app, "space", "j", "space", "j", "slash", *"vsyscall")
        await until(lambda: app.main.map.table.cursor == 20, pilot)
        assert sum(app.session.marks.counts.values()) == 2
        await pilot.press("escape")
        assert app.main.map.table.cursor == 2


async def test_keys_right_behind_a_search_go_to_the_list(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        table = app.main.processes.table
        send(app, "j", "slash", *"redis", "enter", "k", "k", "slash", *"no", "escape", "j")
        await until(lambda: table.has_focus, pilot)
        await pilot.pause()
        found = table.rows.find(process_id(903))
        assert found is not None
        assert found > 1
        assert table.cursor == found - 1
        assert not app.main.status_bar.prompt.display


async def test_keys_right_behind_enter_go_where_it_leads(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        second = app.main.processes.table.rows.key(1)
        send(app, "j", "enter", "j", "G")
        await until(lambda: app.main.map.table.has_focus, pilot)
        await pilot.pause()
        assert app.main.processes.table.cursor_key == second
        assert app.main.map.chosen == second


async def test_keys_right_behind_a_dialogs_go_into_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        send(app, "question_mark", "j", "escape", "j")
        await until(lambda: app.main.map.table.cursor == 1, pilot)
        assert app.screen is app.main


async def test_keys_that_go_round_the_panes_count_each(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        before = app.main.processes.table.cursor
        send(app, "shift+tab", "tab", "tab", "shift+tab", "shift+tab", "tab", "shift+tab", "j")
        await pilot.pause()
        await until(lambda: app.main.processes.table.has_focus, pilot)
        assert app.main.current is app.main.processes
        assert app.main.processes.table.cursor == before + 1
        await pilot.press("tab")
        assert app.main.map.table.has_focus
        app.main.show_pane(app.main.processes)
        # What is told of the focus comes late; it has moved on.
        app.main.on_descendant_focus()
        assert app.main.current is app.main.processes


async def test_a_binding_that_does_nothing_leaves_the_key_to_the_next(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        # Textual's screens copy what is selected, which is nothing; and then the app says how to quit.
        await pilot.press("ctrl+c")
        assert "q quits" in screen_text(app)


@pytest.mark.parametrize(("keys", "row"), [([*"stack", "enter"], 17), ([*"python3", "enter", "n"], 1)])
async def test_keys_right_behind_a_search_are_for_what_is_found(
    make_app: MakeApp, keys: list[str], row: int
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        send(app, "G", "slash", *keys, "space", "j")
        await until(lambda: app.session.marks.counts, pilot)
        await pilot.pause()
        assert app.main.map.table.cursor == row + 1
        await pilot.press("k", "space")
        assert not app.session.marks.counts, "it was this one"


async def test_keys_right_behind_a_filter_are_for_what_it_shows(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        send(
            app,
            "backslash",
            *"kind",
            "colon",
            *"heap",
            "enter",
            "space",
            "escape",
            "U",
            "plus",
            *"label",
            "colon",
        )
        send(app, *"cold", "enter", "a")
        await until(lambda: isinstance(app.screen, PlanScreen), pilot)
        await settled(app, pilot)
        assert "On 1 marked range of 1 process, 32M" in screen_text(app)


async def test_a_search_that_is_given_up_moves_nothing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        for _ in range(5):
            send(app, "g", "slash", *"vsys", "escape", "j")
            await until(lambda: app.main.map.table.cursor == 1, pilot)
            await arranged(app, pilot)
            assert app.main.map.table.cursor == 1


async def test_arrows_while_a_search_is_typed_come_before_its_end(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        send(app, "slash", *"heap", "down", "enter", "space")
        await until(lambda: app.session.marks.counts, pilot)
        (mark,) = app.session.marks.of(process_id(4242)).marks
        assert rows_of(app).vma(app.main.map.table.cursor).start == mark.range.start
        assert rows_of(app).vma(app.main.map.table.cursor).name != "[heap]"


async def test_keys_that_a_screen_has_no_use_for_do_not_come_up_in_the_next(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        send(
            app, "j", "x", "j", "space", "U", "enter", "escape", "question_mark", "j", "space", "escape", "k"
        )
        await until(lambda: app.main.map.table.cursor == 0, pilot)
        await pilot.pause()
        assert app.screen is app.main
        assert app.main.map.table.cursor == 0
        assert not app.session.marks.counts


async def test_a_key_right_behind_enter_on_cancel_carries_nothing_out(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("space", "a")
        await settled(app, pilot)
        send(app, "enter", "y", "f1")
        await until(lambda: app.screen is not app.main and not isinstance(app.screen, PlanScreen), pilot)
        await pilot.press("escape")
        assert app.screen is app.main
        assert not [call for call in host_of(app).calls if call.startswith("apply")]
        assert not len(app.main.results.table.rows)


async def test_a_key_right_behind_a_click_is_for_what_was_clicked(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("shift+tab")
        region = app.main.map.table.region
        x, y = region.x + 5, region.y + 3
        for kind in (events.MouseDown, events.MouseUp):
            app.post_message(kind(None, x, y, 0, 0, 1, False, False, False, x, y))
        send(app, "space")
        await until(lambda: app.session.marks.counts, pilot)
        (mark,) = app.session.marks.of(process_id(4242)).marks
        assert mark.range.start == rows_of(app).vma(3).start


async def test_enter_twice_in_the_palette_is_once(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("ctrl+p", *"help")
        await until(lambda: "This help" in screen_text(app), pilot)
        send(app, "enter", "enter")
        await until(lambda: isinstance(app.screen, HelpScreen), pilot)
        await pilot.press("escape")
        assert app.screen is app.main

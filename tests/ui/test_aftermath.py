"""After an action: what came back, putting it back, the ledger, explanations."""

from __future__ import annotations

import threading

import pytest
from textual.widgets import Button

from memtui.format import safe
from memtui.host import refault_monitor
from memtui.model.advice import Advice
from memtui.model.reasons import Reason
from memtui.model.report import Outcome, RefaultSample
from memtui.model.result import RestoreResult, Result
from memtui.ui.app import MemtuiApp
from memtui.ui.messages import LookedBack
from memtui.ui.screens.history import HistoryScreen
from memtui.ui.screens.lines import ExplainScreen
from memtui.ui.screens.restore import RestoreScreen
from memtui.ui.screens.result import ResultScreen
from tests.fakes import HOSTILE, MIB, FakeHost
from tests.ui.conftest import MakeApp
from tests.ui.driving import (
    advise,
    host_of,
    index_of,
    look_back,
    mark_regions,
    rows_of,
    screen_lines,
    screen_text,
    settled,
    start,
    until,
)

WIDE, NARROW = (120, 36), (80, 24)


def line_with(app: object, words: str) -> str:
    return next(line for line in screen_lines(app) if words in line)  # type: ignore[arg-type]


async def paged_out(app: object, pilot: object) -> Result:
    """Page 32M out, and put the focus on the result."""
    await start(app, pilot)  # type: ignore[arg-type]
    await mark_regions(app, pilot, "cold region")  # type: ignore[arg-type]
    await advise(app, pilot)  # type: ignore[arg-type]
    await pilot.press("tab")  # type: ignore[attr-defined]
    return app.main.results.newest  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_the_row_counts_what_comes_back_and_says_what_it_means(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await paged_out(app, pilot)
        seen = []
        for after_s, back in enumerate((MIB, 4 * MIB, None, 31 * MIB), 1):
            await look_back(app, pilot, after_s, back)
            seen.append(line_with(app, "pageout  done"))
        assert "1M out so far" in seen[0]
        assert "4M partly" in seen[1]
        assert " ? " in seen[2]
        assert "stayed" not in seen[2]
        assert "31M resident" in seen[3]
        assert "back 31M after 4 s, 7 major faults" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        text = " ".join(screen_text(app).split())
        assert "1M after 1 s, 7 major faults, psi 0.4%: out so far" in text
        assert "after 2 s" not in text, "only looks that were kept, and the last"
        assert "31M after 4 s, 7 major faults, psi 0.4%: resident again: the advice was wrong, or new" in text
        await look_back(app, pilot, 5, 32 * MIB)
        assert isinstance(app.screen, ResultScreen)
        assert "32M after 5 s, 7 major faults" in screen_text(app)


def following(app: MemtuiApp, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeHost, list[float]]:
    """Have refaults checked, by a clock that the test sets and when the test says so."""
    host, now = host_of(app), [0.0]
    host.clock = lambda: now[0]
    monkeypatch.setattr(refault_monitor, "start_thread", lambda _thread: None)
    assert app.session.executor is not None
    monkeypatch.setattr(app.session.executor, "_follows", True)
    return host, now


async def test_what_is_applied_is_watched_until_it_is_put_back(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    host, now = following(app, monkeypatch)
    host.back_now = MIB
    async with app.run_test(size=WIDE) as pilot:
        result = await paged_out(app, pilot)
        now[0] = 1.0
        host.refaults.check_due()
        await pilot.pause()
        assert "1M out so far" in line_with(app, "pageout  done")
        await pilot.press("R")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: isinstance(app.main.results.newest, RestoreResult), pilot)
        now[0] = 2.0
        host.refaults.check_due()
        assert host.looks == [(result.id, True)]


async def test_what_another_memtui_restores_is_told_also_after_the_minute(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    host, now = following(app, monkeypatch)
    host.back_now = 31 * MIB
    async with app.run_test(size=WIDE) as pilot:
        result = await paged_out(app, pilot)
        for now[0] in (59.0, 60.5, 66.0):
            host.refaults.check_due()
        await pilot.pause()
        assert "31M resident" in line_with(app, "pageout  done")
        assert len(host.looks) == 2, "the minute is over"
        host.put_back_elsewhere.add(result.id)
        now[0] = 72.0
        host.refaults.check_due()
        await until(lambda: "31M restored" in line_with(app, "pageout  done"), pilot)
        assert "restored since" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert "restored since: what is back now was put back" in screen_text(app)


async def test_a_look_back_at_nothing_that_is_shown_changes_nothing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await paged_out(app, pilot)
        before = screen_text(app)
        app.main.post_message(LookedBack("no such", RefaultSample(1, MIB, 7), kept=True))
        await pilot.pause()
        assert line_with(app, "pageout  done") in before


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_restore_asks_first_and_says_what_it_takes(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        result = await paged_out(app, pilot)
        await pilot.press("R")
        await settled(app, pilot)
        assert isinstance(app.screen, RestoreScreen)
        assert app.focused is app.screen.query_one("#cancel", Button)
        text = screen_text(app)
        assert "4242 python3, PAGEOUT at 2026-01-02T03:04:05Z" in text
        assert "moved      32M" in text
        assert "still out  32M" in text
        assert "needs      32M of memory; 5.2G is available now" in text
        await pilot.press("enter")
        assert app.screen is app.main
        assert host_of(app).calls[-1] == f"plan_restore {result.id}"


async def test_a_restore_is_a_row_of_its_own_and_ends_the_watch(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        result = await paged_out(app, pilot)
        await pilot.press("R")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: isinstance(app.main.results.newest, RestoreResult), pilot)
        await until(lambda: not app.main.status_bar.running, pilot)
        assert f"restore {result.id}" in host_of(app).calls
        row = line_with(app, "restore  done")
        said = "+ 03:05:06 restore done 32M - - - 32M restored - - 4242 python3"
        assert " ".join(row.split()) == said
        assert "restore 4242 python3: done; 32M of 32M put back" in screen_text(app)
        # What was put back says nothing of the advice.
        app.main.post_message(LookedBack(result.id, RefaultSample(9, 32 * MIB, 7), kept=False))
        await pilot.pause()
        assert "resident again" not in screen_text(app)
        assert "restored" in line_with(app, "pageout  done")
        await pilot.press("enter")
        await pilot.pause()
        assert "of 32M moved, 0 were in RAM already" in screen_text(app)
        assert "restored   32M  of these, seen in RAM again" in screen_text(app)


async def test_the_arrows_choose_the_button_and_what_is_not_on_record_is_said(make_app: MakeApp) -> None:
    app = make_app()
    host_of(app).unrecorded_now = "the ledger cannot be written: No space left on device"
    async with app.run_test(size=WIDE) as pilot:
        await paged_out(app, pilot)
        await pilot.press("R")
        await settled(app, pilot)
        await pilot.press("right")
        assert app.focused is app.screen.query_one("#apply", Button)
        await pilot.press("left", "right", "enter")
        await until(lambda: isinstance(app.main.results.newest, RestoreResult), pilot)
        await until(lambda: not app.main.status_bar.running, pilot)
        assert "the ledger cannot be written: No space left on device" in screen_text(app)


@pytest.mark.parametrize("key", ["escape", "exclamation_mark"])
async def test_a_restore_is_cancelled_with_esc_and_thaw(make_app: MakeApp, key: str) -> None:
    app = make_app()
    host = host_of(app)
    async with app.run_test(size=WIDE) as pilot:
        await paged_out(app, pilot)
        host.gate = threading.Event()
        await pilot.press("R")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: "RESTORE " in screen_text(app) and "of 32M" in screen_text(app), pilot)
        await pilot.press(key)
        await until(lambda: host.was_cancelled, pilot)
        host.gate.set()
        await until(lambda: not app.main.status_bar.running, pilot)
        newest = app.main.results.newest
        assert isinstance(newest, RestoreResult)
        assert newest.report.outcome is Outcome.CANCELLED
        assert "0 of 32M put back, 32M still out; cancelled" in screen_text(app)


async def test_what_blocks_a_restore_is_said_and_no_key_does_it(make_app: MakeApp) -> None:
    app = make_app(host=FakeHost(restore_blocked=Reason.NO_ATTACH))
    async with app.run_test(size=WIDE) as pilot:
        await paged_out(app, pilot)
        await pilot.press("R")
        await settled(app, pilot)
        assert "BLOCKED    reading the pages back needs the right to trace it" in screen_text(app)
        await pilot.press("y")
        assert isinstance(app.screen, RestoreScreen)
        assert app.screen.query_one("#apply", Button).disabled
    assert not any(call.startswith("restore ") for call in host_of(app).calls)


async def test_without_a_result_the_last_action_is_meant(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("R")
        await settled(app, pilot)
        assert "nothing can be put back: action None: no such action in the ledger" in screen_text(app)
        assert host_of(app).calls[-1] == "plan_restore None"


async def test_the_ledger_shows_an_entry_whole_and_restores_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        result = await paged_out(app, pilot)
        await pilot.press("at")
        await settled(app, pilot)
        assert isinstance(app.screen, HistoryScreen)
        assert "history 500" in host_of(app).calls
        row = line_with(app, "2026-01-02 03:04 pageout")
        assert row.split()[4:11] == ["done", "32M", "32M", "32M", "32M", "-", "-"]
        assert HOSTILE[0] in row
        await pilot.press("enter")
        await pilot.pause()
        assert f"id         {result.id}" in screen_text(app)
        assert "login_uid       1000" in screen_text(app)
        await pilot.press("R")
        await until(lambda: isinstance(app.screen, RestoreScreen), pilot)
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: isinstance(app.main.results.newest, RestoreResult), pilot)
        assert app.screen is app.main, "where its progress is shown"


async def test_a_ledger_that_cannot_be_read_is_one_line(make_app: MakeApp, monkeypatch: object) -> None:
    class Unreadable(FakeHost):
        def history(self, last: int | None = None) -> object:  # type: ignore[override]
            raise OSError(5, "[/x]\x1b[2J")

    app = make_app(host=Unreadable())
    async with app.run_test(size=NARROW) as pilot:
        await start(app, pilot)
        await pilot.press("at")
        await settled(app, pilot)
        assert "the history cannot be shown: OSError" in screen_text(app)
        await pilot.press("enter", "R", "escape")
        assert app.screen is app.main


async def test_a_vma_is_explained_at_once_and_its_mappers_are_looked_for_then(make_app: MakeApp) -> None:
    app = make_app()
    host = host_of(app)
    host.mapping = threading.Event()
    async with app.run_test(size=NARROW) as pilot:
        target = await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "file")))
        assert "mappers" not in host.calls
        await pilot.press("x")
        await until(lambda: "mappers" in host.calls, pilot)
        await pilot.press("end")
        await pilot.pause()
        assert "looking ..." in screen_text(app)
        host.mapping.set()
        await settled(app, pilot)
        await pilot.press("end")
        await pilot.pause()
        text = screen_text(app)
        assert "811 postgres" in text
        assert "1 process could not be looked at" in text
        await pilot.press("home")
        await pilot.pause()
        assert "PAGEOUT   yes      16M will leave RSS" in screen_text(app)
        assert "PSS         16M" in screen_text(app)
        await pilot.press("escape")
        assert app.screen is app.main
        target.release()
        assert target.closed == 1, "the explanation gave its handle back"


async def test_anonymous_memory_has_no_mappers_to_look_for(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "locked")))
        await pilot.press("x")
        await settled(app, pilot)
        await until(lambda: "x PAGEOUT   refused" in screen_text(app), pilot)
        text = screen_text(app)
        assert "lo        pages are locked in memory" in text
        assert "only its owner can unlock it" in text
        assert "Other processes" not in text
    assert "mappers" not in host_of(app).calls


async def test_an_answer_that_comes_before_the_screen_stands_is_not_lost(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        row = target.look().row(index_of(app, "locked"))
        screen = ExplainScreen(row, safe("VMA"))
        screen.show_verdicts(tuple((advice, target.judge(row, advice)) for advice in Advice))
        app.push_screen(screen)
        await pilot.pause()
        assert "x PAGEOUT   refused" in screen_text(app)


async def test_a_result_is_explained_with_its_reasons_and_next_steps(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
        await advise(app, pilot)
        await pilot.press("tab", "x")
        await pilot.pause()
        text = screen_text(app)
        assert "32M left RSS: 32M in swap." in text
        assert "partial: a part of it was done, and a part not" in text
        assert (
            "1 range of 8M: pages that are mapped more than once (by others, or again by itself) are" in text
        )
        assert "1 range of 64K: locked in memory (mlock); only its owner can unlock it" in text


async def test_explain_without_a_row_says_where_to_go(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("escape", "x")
        assert "x explains a VMA of the map, or a result" in screen_text(app)


@pytest.mark.parametrize("ends", ["escape", "c"])
async def test_a_plan_nobody_waits_for_is_cancelled(make_app: MakeApp, ends: str) -> None:
    app = make_app(host=FakeHost(planning=threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("a")
        await until(lambda: "plan pageout auto" in host_of(app).calls, pilot)
        await pilot.press(ends)
        await until(lambda: "plan cancelled" in host_of(app).calls, pilot)
        if ends == "c":
            await until(lambda: "plan cold auto" in host_of(app).calls, pilot)
            await pilot.press("escape")
        await settled(app, pilot)
        assert app.screen is app.main


async def test_thorough_is_off_until_asked_for_and_for_pageout_only(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await start(app, pilot)
        await pilot.press("a")
        await settled(app, pilot)
        assert "thorough [off]" in screen_text(app)
        assert "asks again, CPU by CPU" in screen_text(app)
        await pilot.press("t", "c")
        await settled(app, pilot)
        assert "thorough [off]" in screen_text(app)
        assert "for PAGEOUT only" in screen_text(app)
        await pilot.press("p")
        await settled(app, pilot)
        assert "[on]" in screen_text(app)
        await pilot.press("y")
        await until(lambda: host_of(app).applied, pilot)
    assert host_of(app).applied[0].thorough
    assert host_of(app).applied[0].advice is Advice.PAGEOUT


async def test_collapse_shows_what_it_adds(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "locked")
        await pilot.press("a")
        await settled(app, pilot)
        await pilot.press("l")
        await settled(app, pilot)
        text = " ".join(screen_text(app).replace("│", " ").split())
        words = "32M of 32.1M will become huge; 64K without a whole huge page, RSS will grow by 8M"
        assert words in text


async def test_a_search_that_takes_long_holds_up_no_plan_and_ends_with_its_screen(make_app: MakeApp) -> None:
    host = FakeHost()
    host.mapping = threading.Event()
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "file")))
        await pilot.press("x")
        await until(lambda: "mappers" in host.calls, pilot)
        assert isinstance(app.screen, ExplainScreen)
        await pilot.press("escape")
        await until(lambda: "mappers cancelled" in host.calls, pilot)
        await pilot.press("x")
        await until(lambda: host.calls.count("mappers") == 2, pilot)
        answered = threading.Event()
        app.session.queries.ask(lambda _: answered.set())
        assert answered.wait(5), "what is asked for a plan waits for the search"

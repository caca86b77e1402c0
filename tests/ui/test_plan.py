"""From the marks to the results: the dialog that does nothing by itself, the run, what came of it."""

from __future__ import annotations

import threading

import pytest
from textual.widgets import Button

from memtui.model.advice import Advice
from memtui.model.errors import NotPermitted
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from memtui.model.result import Result
from memtui.ui.messages import TargetDone
from memtui.ui.screens.plan import PlanScreen
from memtui.ui.screens.result import ResultScreen
from tests.fakes import FakeHost, process_id
from tests.ui.conftest import MakeApp
from tests.ui.driving import (
    advise,
    host_of,
    index_of,
    mark_regions,
    open_map,
    read_machine,
    rows_of,
    screen_lines,
    screen_text,
    settled,
    start,
    until,
)

WIDE = (120, 36)


def line_with(app: object, words: str) -> str:
    return next(line for line in screen_lines(app) if words in line)  # type: ignore[arg-type]


async def test_the_dialog_opens_on_cancel_and_enter_does_nothing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        assert isinstance(app.screen, PlanScreen)
        assert app.focused is app.screen.query_one("#cancel", Button)
        await pilot.press("enter")
        assert app.screen is app.main
        assert host_of(app).applied == []
        app.session.marks.clear()
        target.release()
        assert target.closed == 1


@pytest.mark.parametrize("size", [WIDE, (80, 24)])
async def test_the_dialog_shows_what_would_be_done(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
        await pilot.press("f9")
        await settled(app, pilot)
        text = screen_text(app)
        assert "On 3 marked ranges of 1 process, 40.1M" in text
        assert "[PAGEOUT]" in text
        assert "[auto]" in text
        assert "4242 python3: held still with ptrace (default)" in text
        assert "2 of 3 will be advised" in text
        assert line_with(app, " cold region").strip(" │").startswith("+      32M     32M yes")
        assert "8M: pages that are m" in line_with(app, " shared with a")
        assert "64K: locked in memory" in line_with(app, " locked ")
        assert "32M of 40.1M will leave RSS; 8M shared, 64K locked" in text
        await pilot.press("tab", "tab", "G")
        assert "64K: locked in memory (mlock)" in line_with(app, "64K: locked")
        await pilot.press("escape")
        assert "3 marked, 40.1M, pageout forecast 32M" in screen_text(app)
        await pilot.press("space")
        assert "forecast" not in screen_text(app)
        assert "Cancel" in text
        assert "Apply (y)" in text


async def test_the_dialog_plans_anew_for_every_advice_and_freeze(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        for key in ("a", "c", "f", "right", "w", "l", "left"):
            await pilot.press(key)
            await settled(app, pilot)
        assert host_of(app).calls == [
            "plan pageout auto",
            "plan cold auto",
            "plan cold ptrace",
            "plan pageout ptrace",
            "plan willneed ptrace",
            "plan collapse ptrace",
            "plan willneed ptrace",
        ]
        assert "[WILLNEED]" in screen_text(app)
        assert "[ptrace]" in screen_text(app)
        assert app.session.freeze is Freeze.PTRACE


async def test_the_dialog_says_what_each_method_does_to_this_target(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        assert "> ptrace  stops its 3 threads" in screen_text(app)
        assert "  sigstop stops its 3 threads; its parent, process 1 ([/x]), is told" in screen_text(app)
        assert "  cgroup  not available: no cgroup v2" in screen_text(app)
        assert "return EINTR" in screen_text(app)
        await pilot.press("f", "f", "f")
        await settled(app, pilot)
        assert app.session.freeze is Freeze.SIGSTOP
        assert "> sigstop stops its 3 threads" in screen_text(app)
        assert host_of(app).applied == [], "choosing freezes nothing"


async def test_a_narrow_dialog_says_it_of_the_chosen_method(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a", "f", "f", "f", "f")
        await settled(app, pilot)
        assert "> cgroup  not available" in screen_text(app)
        assert "sigstop stops" not in screen_text(app)


async def test_an_answer_to_an_earlier_question_is_not_shown(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        hold = threading.Event()
        app.session.queries.ask(lambda _: hold.wait(10))
        await pilot.press("w")
        assert "computing forecast" in screen_text(app)
        assert app.screen.query_one("#apply", Button).disabled
        await pilot.press("y")
        assert isinstance(app.screen, PlanScreen)
        hold.set()
        await settled(app, pilot)
        assert "will be read in" in screen_text(app)
        assert host_of(app).applied == []


async def test_without_marks_the_vma_under_the_cursor_is_meant_and_this_is_said(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "file")))
        await advise_and_check_said(app, pilot)
        assert [item.name for item in host_of(app).applied[0].targets[0].ranges] == ["file"]


async def advise_and_check_said(app: object, pilot: object) -> None:
    await pilot.press("a")  # type: ignore[attr-defined]
    await settled(app, pilot)  # type: ignore[arg-type]
    assert "Nothing is marked, so of 4242 python3 the VMA under the cursor: 7f1030000000" in screen_text(
        app  # type: ignore[arg-type]
    )
    await pilot.press("y")  # type: ignore[attr-defined]
    await until(lambda: not app.main.status_bar.running and len(app.main.results.table.rows), pilot)  # type: ignore


async def test_in_the_process_list_the_whole_process_is_meant(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("escape", "a")
        await settled(app, pilot)
        assert "Nothing is marked, so: all of 4242 python3" in screen_text(app)
        assert "18 of 21 will be advised" in screen_text(app)


async def test_with_nothing_to_take_no_dialog_opens(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        await pilot.press("a")
        assert app.screen is app.main
        assert "Nothing is marked" in screen_text(app)


async def test_a_plan_that_cannot_be_made_is_one_line(make_app: MakeApp) -> None:
    host = FakeHost(plan_error=NotPermitted(Reason.NO_SYS_NICE, "process 4242"))
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("a")
        await settled(app, pilot)
        assert "no plan: process 4242: advising other processes needs CAP_SYS_NICE" in screen_text(app)
        await pilot.press("y", "enter")
        assert host.applied == []


async def test_a_blocked_target_is_named_with_its_reason(make_app: MakeApp) -> None:
    app = make_app(host=FakeHost(blocked={903: Reason.NO_SYS_NICE}))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await open_map(app, pilot, 903)
        await pilot.press("space", "a")
        await settled(app, pilot)
        assert "903 redis-server: BLOCKED, advising other processes needs CAP_SYS_NICE" in screen_text(app)
        assert "1 of 1 will be advised" in screen_text(app)


async def test_a_range_in_the_making_is_marked_before_the_plan(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "hot region")))
        await pilot.press("v", "j", "a")
        await settled(app, pilot)
        assert "On 2 marked ranges" in screen_text(app)


async def test_the_result_row_says_what_the_kernel_said_and_what_left(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
        await advise(app, pilot)
        row = line_with(app, "03:04:05")
        said = "~ 03:04:05 pageout partial 40.1M 32M 40M 32M - 40.1M> 8.1M ptrace 4242 python3"
        assert " ".join(row.split()) == said
        line = line_with(app, "cold region")
        assert line[45:].split()[:4] == ["*", "0", "32M", "32M"]
        assert "pageout 4242 python3: partial; 32M of 40.1M left RSS" in screen_text(app)


async def test_a_second_pageout_shows_no_effect(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await advise(app, pilot)
        await advise(app, pilot)
        rows = [line for line in screen_lines(app) if "03:04:05" in line]
        assert [row.split()[0] for row in rows] == ["+", "="]
        assert rows[1].split()[2:7] == ["pageout", "no_effect", "32M", "0", "32M"]
        assert app.main.results.table.cursor == 1


@pytest.mark.parametrize(("key", "advice"), [("c", Advice.COLD), ("w", Advice.WILLNEED)])
async def test_cold_and_willneed_move_nothing_and_tell_their_effect(
    make_app: MakeApp, key: str, advice: Advice
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "[stack]")
        await pilot.press("a", key)
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: len(app.main.results.table.rows) and not app.main.status_bar.running, pilot)
        assert line_with(app, "03:04:05").split()[2:4] == [advice.value, "done"]
        assert line_with(app, "03:04:05").split()[6:9] == ["132K", "-", "-"]
        await pilot.press("tab", "enter")
        await pilot.pause()
        assert isinstance(app.screen, ResultScreen)
        text = screen_text(app)
        assert "moved      -" in text
        if advice is Advice.COLD:
            assert "Referenced -31M" in text
        else:
            assert "System-wide change meanwhile: MemFree -2M, SwapCached +2M." in text


async def test_enter_on_a_result_shows_its_ranges_with_reason_and_errno(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "shared with a child", "locked")
        await advise(app, pilot)
        result = app.main.results.newest
        assert result is not None
        result.report.ranges[1] = result.report.ranges[1]._replace(errno="EAGAIN")
        await pilot.press("tab", "enter")
        await pilot.pause()
        text = screen_text(app)
        assert "advised    40M  the kernel's word" in text
        assert "moved      32M  left RSS" in text
        assert line_with(app, " cold region").split()[:7] == ["+", "done", "32M", "32M", "32M", "32M", "32M>"]
        assert "EAGAIN" in line_with(app, "7f1020000000-")
        await pilot.press("G")
        assert "locked in memory (mlock); only its owner can unlock it" in screen_text(app)
        await pilot.press("escape")
        assert app.screen is app.main


async def test_progress_and_cancel_while_a_plan_runs(make_app: MakeApp) -> None:
    gate = threading.Event()
    host = FakeHost(gate=gate)
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "hot region", "cold region", "file")
        await pilot.press("a")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: app.main.status_bar.running and "HELD" in screen_text(app), pilot)
        assert "PAGEOUT" in screen_text(app)
        assert "of 56M" in screen_text(app)
        await pilot.press("tab", "j")
        assert app.main.status_bar.running
        await pilot.press("escape")
        assert host.was_cancelled
        gate.set()
        await until(lambda: not app.main.status_bar.running, pilot)
        result = app.main.results.newest
        assert result is not None
        assert {item.outcome for item in result.report.ranges} == {Outcome.CANCELLED}
        assert "cancelled, target stopped 31ms; cancelled" in screen_text(app)


async def test_thaw_in_the_middle_cancels_and_empties_the_queue(make_app: MakeApp) -> None:
    gate = threading.Event()
    host = FakeHost(gate=gate)
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        for _ in range(3):
            await pilot.press("a")
            await settled(app, pilot)
            await pilot.press("y")
        await until(lambda: app.main.status_bar.running, pilot)
        assert "2 plans wait" in screen_text(app)
        await pilot.press("a")
        await pilot.press("exclamation_mark")
        await until(lambda: "thaw_now" in host.calls, pilot)
        gate.set()
        await pilot.press("escape")
        await until(lambda: not app.main.status_bar.running, pilot)
        assert len(host.applied) == 1
        app.session.marks.clear()
        target.release()
        await until(lambda: target.closed == 1, pilot)


async def test_a_host_that_breaks_is_one_line_and_the_next_plan_runs(make_app: MakeApp) -> None:
    host = FakeHost(apply_error=OSError(5, "[/x]\x1b[2J", "/proc/\n4242"))
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: host.applied and not app.main.status_bar.running, pilot)
        assert "! OSError: [Errno 5] [/x]␛[2J: '/proc/\\n4242'" in screen_text(app)
        host.apply_error = None
        await advise(app, pilot)
        assert "done" in line_with(app, "03:04:05")


async def test_results_of_other_screens_arrive_under_a_dialog(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await advise(app, pilot)
        result = app.main.results.newest
        assert isinstance(result, Result)
        await pilot.press("f1")
        app.main.post_message(TargetDone(Advice.PAGEOUT, result.report))
        await pilot.press("escape")
        assert len([line for line in screen_lines(app) if "03:04:05" in line]) == 2
        assert process_id(4242) == result.report.planned.process

"""The lines under the panes, and the dialog: what stands there at once does not contradict itself."""

from __future__ import annotations

import threading
from dataclasses import replace

from memtui.model.reasons import Reason
from tests.fakes import FakeHost, process_id
from tests.ui.conftest import MakeApp
from tests.ui.driving import (
    arranged,
    index_of,
    mark_regions,
    open_map,
    read_map,
    rows_of,
    screen_lines,
    screen_text,
    settled,
    start,
    until,
)

WIDE = (120, 36)


async def test_what_was_said_of_marks_goes_when_they_change(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("asterisk")
        assert "VMAs marked" in screen_text(app)
        await pilot.press("U")
        assert "nothing marked" in screen_text(app)
        assert "VMAs marked" not in screen_text(app)
        await pilot.press("plus", *"cold", "enter")
        await until(lambda: app.session.marks.counts, pilot)
        await arranged(app, pilot)
        assert "1 VMA marked" in screen_text(app)
        await mark_regions(app, pilot, "locked")
        assert "2 marked" in screen_text(app)
        assert "1 VMA marked" not in screen_text(app)


async def test_what_was_said_of_other_things_stays(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("F")
        await mark_regions(app, pilot, "locked")
        assert "the cursor stays on its line" in screen_text(app)


async def test_a_pause_is_told_until_it_ends_and_tells_no_number_that_changes(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("z")
        await mark_regions(app, pilot, "locked")
        await pilot.press("I", "I")
        lines = screen_lines(app)
        assert "PAUSED: z resumes" in lines[0]
        assert not any("0 marks" in line for line in lines)
        await pilot.press("z")
        assert "PAUSED" not in screen_text(app)


async def test_who_cancels_is_not_told_how_to_cancel(make_app: MakeApp) -> None:
    gate = threading.Event()
    app = make_app(host=FakeHost(gate=gate))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "hot region", "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        await pilot.press("y")
        await until(lambda: "(Esc cancels)" in screen_text(app), pilot)
        await pilot.press("escape")
        await until(lambda: "cancelling at its call's edge" in screen_text(app), pilot)
        app.main.status_bar._show_run()
        await pilot.pause()
        assert "(Esc cancels)" not in screen_text(app)
        gate.set()
        await until(lambda: not app.main.status_bar.running, pilot)


async def test_a_forecast_goes_with_the_marks_that_it_was_of(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        await pilot.press("escape")
        assert "pageout forecast 32M" in screen_text(app)
        at = index_of(app, "cold region")
        was = target.vmas[at]
        target.vmas[at] = replace(was, vma=replace(was.vma, inode=12, device="08:01"))
        await read_map(app, pilot, target)
        assert rows_of(app).vma(at).inode == 12
        text = screen_text(app)
        assert "(1 stale)" in text
        assert "forecast 32M" not in text


async def test_nothing_is_expected_of_what_is_blocked(make_app: MakeApp) -> None:
    app = make_app(host=FakeHost(blocked={903: Reason.NO_SYS_NICE}))
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await open_map(app, pilot, 903)
        await pilot.press("space", "a")
        await settled(app, pilot)
        assert set(app.session.marks.counts) == {process_id(4242), process_id(903)}
        assert "32M of 36M will leave RSS; 4M blocked" in screen_text(app)


async def test_old_verdicts_are_not_shown_as_those_of_another_advice(make_app: MakeApp) -> None:
    host = FakeHost()
    app = make_app(host=host)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await pilot.press("a")
        await settled(app, pilot)
        host.planning = threading.Event()
        await pilot.press("w")
        text = screen_text(app)
        assert "[WILLNEED]" in text
        assert "Verdicts  computing forecast" in text
        assert "will be advised" not in text
        host.planning.set()
        await settled(app, pilot)
        assert "will be advised" in screen_text(app)

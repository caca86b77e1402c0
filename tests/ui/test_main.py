"""The main screen: panes, following, marks, what it says when a target is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.model.errors import NoSuchProcess
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId
from memtui.model.reasons import Reason
from memtui.ui.controllers import readings
from memtui.ui.messages import MapLost, PidFound, RunProgressed, Said
from memtui.ui.screens.help import HelpScreen
from tests.fakes import PROCESSES, FakeHost, grown, process, process_id, vma
from tests.ui.conftest import MakeApp
from tests.ui.driving import (
    host_of,
    index_of,
    mark_regions,
    open_map,
    read_machine,
    read_map,
    rows_of,
    screen_text,
    settled,
    start,
    until,
)

if TYPE_CHECKING:
    import pytest

WIDE, NARROW = (120, 36), (80, 24)


async def test_the_largest_process_stands_first_and_the_unknown_last(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        lines = [line for line in screen_text(app).split("\n") if line.split()[:1] in (["1204"], ["5101"])]
        assert lines[0].split()[:3] == ["1204", "1.4G", "310M"]
        assert lines[1].split()[:4] == ["5101", "?", "?", "?"]


async def test_kernel_threads_have_no_memory_to_speak_of(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        line = next(line for line in screen_text(app).split("\n") if "kthreadd" in line)
        assert line.split()[:3] == ["2", "-", "-"]


async def test_the_map_shows_live_numbers_flags_and_labels(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        text = screen_text(app)
        assert "Map of 4242 python3  21 VMAs" in text
        line = next(line for line in text.split("\n") if "locked" in line)
        assert line[45:].split()[:6] == ["64K", "0", "64K", "█████", "rw-p", "anon"]
        assert "[heap]" in text


async def test_the_map_follows_the_cursor_only_when_it_rests(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "REST_S", 0.2)
    app = make_app()
    asked: list[ProcessId | None] = []
    monkeypatch.setattr(app.session, "choose", asked.append)
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        await until(lambda: asked == [process_id(1204)], pilot)
        await pilot.press("j", "j", "j")
        await until(lambda: len(asked) > 1, pilot)
        await pilot.pause(0.3)
        rows = app.main.processes.table.cursor_key
        assert asked == [process_id(1204), rows]
        assert rows == process_id(5100)


async def test_a_reading_of_another_process_comes_too_late(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        old = await start(app, pilot)
        await open_map(app, pilot, 903)
        await read_map(app, pilot, old)
        assert "Map of 903 redis-server" in screen_text(app)
        assert rows_of(app).space.process == process_id(903)


async def test_enter_goes_in_and_escape_goes_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        assert app.main.current is app.main.processes
        await pilot.press("enter")
        assert app.main.current is app.main.map
        await pilot.press("escape")
        assert app.main.current is app.main.processes
        await pilot.press("tab", "tab")
        assert app.main.current is app.main.results
        await pilot.press("tab")
        assert app.main.current is app.main.processes
        await pilot.press("shift+tab")
        assert app.main.current is app.main.results


async def test_a_narrow_screen_shows_one_pane_with_the_same_keys(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await start(app, pilot)
        assert "cold region" in screen_text(app)
        assert "postgres" not in screen_text(app)
        await pilot.press("escape")
        assert "postgres" in screen_text(app)
        assert "cold region" not in screen_text(app)
        await pilot.press("shift+tab")
        assert "nothing was advised yet" in screen_text(app)
        assert "q Quit" in screen_text(app)


async def test_a_wide_screen_shows_all_panes_and_stays_on_its_pane_when_made_narrow(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        for words in ("postgres", "cold region", "nothing was advised yet"):
            assert words in screen_text(app)
        await pilot.resize_terminal(*NARROW)
        await pilot.pause()
        assert "cold region" in screen_text(app)
        assert "postgres" not in screen_text(app)


async def test_pid_on_the_command_line_opens_its_map_in_focus(make_app: MakeApp) -> None:
    app = make_app(pid=4242)
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        assert app.main.current is app.main.map
        assert app.main.processes.table.cursor_key == process_id(4242)


async def test_pid_that_is_not_there_is_said_in_one_line(make_app: MakeApp) -> None:
    app = make_app(pid=99)
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        error = NoSuchProcess(Reason.NO_SUCH_PROCESS, "process 99")
        app.main.post_message(PidFound(99, None, "", str(error)))
        await pilot.pause()
        assert "process 99: no such process" in screen_text(app)
        assert app.main.current is app.main.processes


async def test_the_pane_says_that_the_target_exited(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        error = NoSuchProcess(Reason.EXITED, "process 4242")
        app.main.post_message(MapLost(process_id(4242), str(error)))
        await read_machine(app, pilot, tuple(item for item in PROCESSES if item.pid != 4242))
        await pilot.pause(0.4)
        text = " ".join(screen_text(app).split())
        assert "process 4242: the process has exited" in text
        assert "cold region" not in text
        assert app.main.map.chosen == process_id(4242)


async def test_marks_die_with_an_exec_and_this_is_said(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "file")
        error = NoSuchProcess(Reason.EXECED, "process 4242")
        app.main.post_message(MapLost(process_id(4242), str(error), map_is_dead=True))
        await pilot.pause()
        assert app.session.marks.counts == {}
        text = " ".join(screen_text(app).split())
        assert "runs another program now" in text
        assert "process 4242 runs another program now: 2 marks lost" in text
        assert "nothing marked" in text


async def test_marks_of_a_process_that_exits_go_with_it_and_this_is_said(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "file")
        assert app.session.marks.counts == {process_id(4242): 2}
        await read_machine(app, pilot, tuple(item for item in PROCESSES if item.pid != 4242))
        assert app.session.marks.counts == {}
        assert "process 4242 has exited, and its 2 marks with it" in screen_text(app)
        assert target.closed == 0  # the map pane still uses it


async def test_a_reused_pid_is_another_process(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        other = process(4242, "python3", 1 << 20)
        other = other._replace(id=ProcessId(4242, 999_999, other.id.boot_id))
        rest = tuple(item for item in PROCESSES if item.pid != 4242)
        await read_machine(app, pilot, (*rest, other))
        assert app.session.marks.counts == {}


async def test_the_selection_follows_the_process_when_the_order_changes(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        table = app.main.processes.table
        assert table.cursor_key == process_id(4242)
        was = table.cursor
        grew = tuple(process(4242, "python3", 8 << 30) if item.pid == 4242 else item for item in PROCESSES)
        await read_machine(app, pilot, grew)
        assert table.cursor_key == process_id(4242)
        assert table.cursor == 0 != was


async def test_the_selection_follows_the_vma_when_others_come_before_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "cold region")))
        key = app.main.map.table.cursor_key
        target.vmas.insert(0, vma(0x40_0000, 8192, rss=4096))
        target.vmas[3] = grown(target.vmas[3], 4096)
        await read_map(app, pilot, target)
        assert app.main.map.table.cursor_key == key
        assert app.main.map.cursor_vma is not None
        assert app.main.map.cursor_vma.start == 0x7F10_1000_0000


async def test_space_marks_and_unmarks_and_the_status_line_adds_up(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await mark_regions(app, pilot, "cold region", "file")
        assert "2 marked, 48M" in screen_text(app)
        line = next(line for line in screen_text(app).split("\n") if " cold region" in line)
        assert line[45:].lstrip().startswith("*")
        await pilot.press("space")
        assert "1 marked, 32M" in screen_text(app)
        await pilot.press("U")
        assert "nothing marked" in screen_text(app)


async def test_marks_stay_with_their_process(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        await open_map(app, pilot, 903)
        target.release()  # as the sampler does when it goes to another map
        assert target.closed == 0
        line = next(line for line in screen_text(app).split("\n") if " 4242 " in line)
        assert line.lstrip().startswith("*")
        await pilot.press("space")
        assert "2 marked, 36M in 2 processes" in screen_text(app)


async def test_a_range_is_marked_with_v_and_movement(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "hot region")))
        await pilot.press("v", "j", "j")
        assert "RANGE" in screen_text(app)
        pending = [line for line in screen_text(app).split("\n") if line[45:].lstrip().startswith(">")]
        assert len(pending) == 3
        assert not app.session.marks.counts
        await pilot.press("space")
        assert app.session.marks.counts == {process_id(4242): 3}
        assert "3 marked, 48M" in screen_text(app)


async def test_escape_drops_a_range_and_v_upwards_works(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        app.main.map.table.go_to(rows_of(app).key(index_of(app, "file")))
        await pilot.press("v", "k", "escape")
        assert "RANGE" not in screen_text(app)
        assert app.main.current is app.main.map
        assert not app.session.marks.counts
        await pilot.press("v", "k", "v")
        assert app.session.marks.counts == {process_id(4242): 2}


async def test_star_marks_all_shown(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("asterisk")
        assert app.session.marks.counts == {process_id(4242): 18}
        assert "18 VMAs marked; 3 skipped (locked, device, hugetlb)" in screen_text(app)


async def test_space_on_a_process_marks_all_its_eligible_vmas(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await pilot.press("escape", "space")
        await settled(app, pilot)
        assert app.session.marks.counts == {process_id(4242): 18}
        assert "18 VMAs of 4242 python3 marked; 3 skipped (locked, device, hugetlb)" in screen_text(app)
        target.release()  # as the sampler does when it goes to another map
        assert target.closed == 0
        await pilot.press("space")
        assert app.session.marks.counts == {}
        assert target.closed == 1


async def test_space_on_a_kernel_thread_says_why_not(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        app.main.processes.table.go_to(process_id(2))
        await pilot.press("space")
        await settled(app, pilot)
        assert "process 2: a kernel thread has no memory of its own" in screen_text(app)


async def test_a_mark_whose_vma_was_replaced_is_shown_as_stale(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        target = await start(app, pilot)
        await mark_regions(app, pilot, "cold region")
        at = index_of(app, "cold region")
        target.vmas[at] = vma(target.vmas[at].vma.start, 4096, "r--p", "/etc/other", inode=5)
        await read_map(app, pilot, target)
        assert "1 marked, 32M (1 stale)" in screen_text(app)
        line = next(line for line in screen_text(app).split("\n") if "other  /etc" in line)
        assert line[45:].lstrip().startswith("!")


async def test_f_cycles_the_freeze_method_of_the_next_plan(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        seen = []
        for _ in range(6):
            seen.append(app.session.freeze)
            await pilot.press("f")
        assert seen == [None, Freeze.PTRACE, Freeze.OFF, Freeze.SIGSTOP, Freeze.CGROUP, None]
        assert "hold target: ptrace" in screen_text(app)


async def test_the_note_is_shown_and_stands_in_the_help(make_app: MakeApp) -> None:
    note = "no swap: \x1b[31m PAGEOUT of [/x] anonymous memory has nowhere to go"
    app = make_app(note=note)
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        assert "no swap: ␛[31m PAGEOUT of [/x]" in screen_text(app)
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert "no swap: ␛[31m PAGEOUT of [/x]" in screen_text(app)
        await pilot.press("escape")
        assert app.screen is app.main


async def test_help_names_every_key(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 120)) as pilot:
        await pilot.press("f1")
        text = screen_text(app)
        for words in (
            "f12 ",
            "a f9",
            "v ",
            "U ",
            "* ",
            "Carry the plan out",
            "Release every target",
            "kernel's word",
        ):
            assert words in text


async def test_trouble_of_the_sampler_is_one_line(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.main.post_message(Said("OSError: [Errno 5] /proc/[/x]\n\x1b[2J", bad=True))
        await pilot.pause()
        assert "! OSError: [Errno 5] /proc/[/x]␊␛[2J" in screen_text(app)


async def test_thaw_works_on_the_main_screen_in_the_help_and_in_the_palette(make_app: MakeApp) -> None:
    app = make_app()
    host = host_of(app)
    async with app.run_test(size=WIDE) as pilot:
        for keys, thaw in (((), "exclamation_mark"), (("f1",), "exclamation_mark"), (("ctrl+p",), "f12")):
            before = host.calls.count("thaw_now")
            await pilot.press(*keys, thaw)
            await until(lambda before=before: host.calls.count("thaw_now") == before + 1, pilot)
            if keys:
                await pilot.press("escape")
        words = "Release all: nothing was running, and the guard was told to release every target"
        assert words in screen_text(app)


async def test_quitting_releases(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("q")
    assert "release" in host_of(app).calls


def test_progress_of_a_hold_is_not_lost_on_the_end_of_it() -> None:
    from memtui.model.report import Progress

    begin, end = (RunProgressed(Progress("t", 0, 1, 1, held)) for held in (True, False))
    assert not end.can_replace(begin)
    assert RunProgressed(Progress("t", 1, 1, 2, True)).can_replace(begin)


async def test_five_thousand_processes_make_only_what_is_seen(make_app: MakeApp) -> None:
    many = tuple(process(10_000 + n, f"worker{n}", n << 12) for n in range(5000))
    app = make_app(host=FakeHost(processes_now=many))
    async with app.run_test(size=WIDE) as pilot:
        await read_machine(app, pilot)
        assert " 14999 " in screen_text(app)
        assert len(app.main.processes.table._made) < 100


async def test_the_palette_runs_our_keys(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await start(app, pilot)
        await pilot.press("ctrl+p", *"freeze")
        await until(lambda: "Freeze" in screen_text(app) and "Maximize" not in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: app.session.freeze is Freeze.PTRACE, pilot)


async def test_the_demo_has_a_lesson_in_its_help(make_app: MakeApp) -> None:
    app = make_app(demo=True)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("f1")
        assert "The demo, for a start" in screen_text(app)


async def test_once_the_screen_stands_messages_go_straight_to_it(make_app: MakeApp) -> None:
    app = make_app()
    assert app.session._post == app._startup.put
    async with app.run_test(size=WIDE):
        assert app.session._post == app.post_to_main

"""How tests and screenshots drive the app: readings are pushed as messages, no thread samples."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from memtui.host import RECORDED_CHECKS_S
from memtui.model.process import Process
from memtui.model.report import RefaultSample
from memtui.model.result import Result
from memtui.ui.app import MemtuiApp
from memtui.ui.messages import LookedBack, MachineRead, MapRead, MapView, PidFound, ProcessesRead
from memtui.ui.presentation.map import MapRows
from tests.fakes import FACTS, FakeHost, FakeTarget, process_id

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from textual.pilot import Pilot

WAIT_S = 10.0


async def until(condition: Callable[[], object], pilot: Pilot[Any] | None = None) -> None:
    """Wait until a condition holds; fail if it does not within ten seconds."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("what was waited for did not come")
        await (asyncio.sleep(0.01) if pilot is None else pilot.pause(0.01))


def host_of(app: MemtuiApp) -> FakeHost:
    """Return the made-up host of an app."""
    host = app.session.host
    assert isinstance(host, FakeHost)
    return host


async def read_machine(
    app: MemtuiApp, pilot: Pilot[Any], processes: tuple[Process, ...] | None = None
) -> None:
    """Push a process list and the machine, as the sampler would."""
    host = host_of(app)
    if processes is not None:
        host.processes_now = processes
    app.main.post_message(MachineRead(host.machine(), FACTS, 1.0))
    app.main.post_message(ProcessesRead(tuple(host.processes()), 2.0))
    await pilot.pause()


async def read_map(app: MemtuiApp, pilot: Pilot[Any], target: FakeTarget) -> None:
    """Push a look at a map, as the sampler would."""
    app.main.post_message(MapRead(target.process, MapView(target, target.look())))
    await pilot.pause()
    await arranged(app, pilot)


async def arranged(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    """Wait until the map's worker has no question left and its answers are on the screen."""
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()
    app.session.map_worker.ask(lambda _: loop.call_soon_threadsafe(answered.set))
    await asyncio.wait_for(answered.wait(), WAIT_S)
    await pilot.pause()


async def open_map(app: MemtuiApp, pilot: Pilot[Any], pid: int) -> FakeTarget:
    """Choose a process and push a first look at its map."""
    target = host_of(app).open(pid)
    app.main.post_message(PidFound(pid, process_id(pid), target.name, ""))
    await pilot.pause()
    await read_map(app, pilot, target)
    return target


async def start(app: MemtuiApp, pilot: Pilot[Any], pid: int = 4242) -> FakeTarget:
    """Bring the app to where it shows the map of a process, with the map in focus."""
    await read_machine(app, pilot)
    target = await open_map(app, pilot, pid)
    await read_machine(app, pilot)
    return target


def rows_of(app: MemtuiApp) -> MapRows:
    """Return the map that is shown."""
    rows = app.main.map.table.rows
    assert isinstance(rows, MapRows)
    return rows


def index_of(app: MemtuiApp, label: str) -> int:
    """Return the row of the VMA with a label, or a name."""
    space = rows_of(app).space
    return next(
        at
        for at in range(len(space))
        if label in (space.labels.get(space.vmas[at].start), space.vmas[at].name)
    )


async def mark_regions(app: MemtuiApp, pilot: Pilot[Any], *labels: str) -> None:
    """Put the cursor on each and press Space."""
    for label in labels:
        app.main.map.table.go_to(rows_of(app).key(index_of(app, label)))
        await pilot.press("space")


def _set_in(loop: asyncio.AbstractEventLoop, event: asyncio.Event, _cancelled: threading.Event) -> None:
    loop.call_soon_threadsafe(event.set)


async def settled(app: MemtuiApp, pilot: Pilot[Any], *, drawn: bool = True) -> None:
    """Wait until no question is left and the answers are on the screen, as a reader of it would see them.

    With ``drawn`` False only until the answers have come.
    """
    loop = asyncio.get_running_loop()
    for worker in (app.session.queries, app.session.searches):
        answered = asyncio.Event()
        worker.ask(partial(_set_in, loop, answered))
        await asyncio.wait_for(answered.wait(), WAIT_S)
    await pilot.pause()
    if drawn:
        refreshed = asyncio.Event()
        app.screen.call_after_refresh(refreshed.set)
        await asyncio.wait_for(refreshed.wait(), WAIT_S)


async def advise(app: MemtuiApp, pilot: Pilot[Any]) -> None:
    """Open the plan dialog, apply the plan, wait for its end, and push a new look at the map."""
    before = len(app.main.results.table.rows)
    await pilot.press("a")
    await settled(app, pilot)
    await pilot.press("y")
    await until(lambda: len(app.main.results.table.rows) > before and not app.main.status_bar.running, pilot)
    view = app.main.map.view
    if view is not None:
        assert isinstance(view.target, FakeTarget)
        await read_map(app, pilot, view.target)


async def look_back(app: MemtuiApp, pilot: Pilot[Any], after_s: float, back_bytes: int | None) -> None:
    """Push a check for refaults of the newest result, as the host's monitor would."""
    result = app.main.results.newest
    assert isinstance(result, Result)
    kept = after_s in RECORDED_CHECKS_S
    app.main.post_message(LookedBack(result.id, RefaultSample(after_s, back_bytes, 7, 0.4), kept=kept))
    await pilot.pause()


def screen_lines(app: MemtuiApp) -> list[str]:
    """Return the characters that stand on the screen, line by line."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def screen_text(app: MemtuiApp) -> str:
    """Return the characters that stand on the screen."""
    return "\n".join(screen_lines(app))

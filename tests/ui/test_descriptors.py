"""What the screen holds open of the processes of this machine: nothing, once nobody needs it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from memtui.host.local import LocalHost
from memtui.ui.app import MemtuiApp
from memtui.ui.options import UiOptions
from tests.ui.driving import settled, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNT = 8


def open_files() -> int:
    """Return how many descriptors we have."""
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Eight processes that do nothing."""
    made = [subprocess.Popen(["sleep", "600"]) for _ in range(COUNT)]
    yield made
    for child in made:
        child.kill()
        child.wait()


async def test_processes_that_were_marked_and_have_exited_leave_no_descriptor_open(
    children: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Marked twice each: the second Space may come before the answer to the first."""
    with LocalHost(tmp_path) as host:
        app = MemtuiApp(host, UiOptions(), sampling=False)
        async with app.run_test(size=(120, 36)) as pilot:
            who = {item.pid: item.id for item in host.processes()}
            await settled(app, pilot)
            before = open_files()
            for child in children:
                app.session.ask_marks(who[child.pid], app.main.marks.mark_found)
                app.session.ask_marks(who[child.pid], app.main.marks.mark_found)
            await until(lambda: len(app.session.marks.counts) == COUNT, pilot)
            await settled(app, pilot)
            assert open_files() >= before + 2 * COUNT
            for child in children:
                child.kill()
                child.wait()
            await pilot.press("U")
            assert not app.session.marks.counts
            assert open_files() == before

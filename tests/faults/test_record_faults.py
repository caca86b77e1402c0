"""Whatever ends memtui in the middle of a plan, and whenever: what it moved is on record, and comes back."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from memtui.advise.pages_file import PageRecords
from memtui.model.freeze import Freeze
from tests.faults.test_guard_faults import RUNS
from tests.kernel.toolkit import (
    HUGE,
    MIB,
    PAGE,
    REPOSITORY,
    Child,
    at,
    command,
    memtui,
    rows,
    span,
    swapped_pages,
    wait_until,
)
from tests.terminal.test_quit import assert_recorded, paging_out

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 256 * MIB
ONE_HOLD_BYTES = 32 * MIB
"""With a hold of a millisecond a hold is one call, and a call is of so much at most."""
METHODS = (Freeze.OFF, Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP)
AT_RANDOM = max(4, RUNS // 20)

# What another test's swap file holds comes back when that is switched off.
pytestmark = [pytest.mark.usefixtures("swap_file"), pytest.mark.xdist_group("machine")]


class Action:
    """A pageout of 256 MiB in short holds by a command, ended at any moment after its first page has left."""

    def __init__(self, child: Child, folder: Path, chance: random.Random, number: signal.Signals) -> None:
        self.start = child.map(SIZE, align=HUGE, fill=1)
        method = chance.choice(METHODS)
        argv = command(
            *("--state-dir", folder, "advise", "pageout", child.pid, "--range", span(self.start, SIZE)),
            *("--freeze", method.value, "--hold-ms", 1),
        )
        with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
            wait_until(lambda: at(child.pid, self.start).swap > 0, "the first pages have left")
            # A delay, so that the signal falls anywhere into the rest of it; it stands for no condition.
            threading.Event().wait(chance.uniform(0, 0.25))
            process.send_signal(number)
            self.code = process.wait(30)
        memtui("thaw", state_dir=folder)
        self.out = swapped_pages(child.pid, self.start, SIZE)
        (entry,) = rows(memtui("history", "--json", state_dir=folder))
        self.id, self.outcome, self.moved_bytes = entry["id"], entry["outcome"], entry["moved_bytes"]
        moved = PageRecords(folder / "pages").read(self.id)
        assert moved is not None
        self.is_complete = moved.is_complete
        self.recorded = {page for run in moved.pages for page in range(run.start, run.end, PAGE)}

    def assert_it_comes_back(self, child: Child, folder: Path) -> None:
        """What is on record comes back, and the child runs."""
        if self.recorded:
            restored = memtui("restore", self.id, state_dir=folder)
            assert restored.returncode == 0, restored.stderr
        assert not self.recorded & swapped_pages(child.pid, self.start, SIZE)
        assert child.map(PAGE, fill=1), "it answers"


@pytest.mark.parametrize("run", range(AT_RANDOM))
def test_a_kill_loses_one_hold_at_most(child: Child, tmp_path: Path, run: int) -> None:
    action = Action(child, tmp_path, random.Random(run), signal.SIGKILL)
    assert action.recorded <= action.out, "nothing that did not move"
    lost = action.out - action.recorded
    if action.code == 0:
        assert (action.outcome, lost) == ("done", set())
    else:
        assert action.code == -signal.SIGKILL
        assert len(lost) * PAGE <= ONE_HOLD_BYTES
        assert not lost or min(lost) > max(action.recorded, default=0), "only the last hold is"
    action.assert_it_comes_back(child, tmp_path)


@pytest.mark.parametrize("run", range(AT_RANDOM))
def test_an_end_at_the_next_edge_loses_nothing(child: Child, tmp_path: Path, run: int) -> None:
    action = Action(child, tmp_path, random.Random(run), signal.SIGINT)
    assert action.outcome in ("cancelled", "done")
    assert action.is_complete
    assert action.recorded == action.out
    assert action.moved_bytes == len(action.out) * PAGE
    action.assert_it_comes_back(child, tmp_path)


@pytest.mark.parametrize("run", range(AT_RANDOM))
def test_an_end_at_once_loses_one_hold_at_most(child: Child, tmp_path: Path, run: int) -> None:
    chance = random.Random(run)
    action = Action(child, tmp_path, chance, chance.choice((signal.SIGTERM, signal.SIGHUP)))
    assert action.outcome in ("cancelled", "done")
    assert action.recorded <= action.out, "nothing that did not move"
    lost = action.out - action.recorded
    assert not lost or not action.is_complete
    assert len(lost) * PAGE <= ONE_HOLD_BYTES
    assert not lost or min(lost) > max(action.recorded, default=0), "only the last hold is"
    action.assert_it_comes_back(child, tmp_path)


@pytest.mark.parametrize("run", range(max(1, AT_RANDOM // 2)))
def test_quitting_the_screen_at_any_moment_loses_nothing(tmp_path: Path, run: int) -> None:
    chance = random.Random(run)
    with Child() as child, paging_out(tmp_path, child) as (terminal, start):
        # As above: it stands for no condition.
        threading.Event().wait(chance.uniform(0, 0.4))
        terminal.send(chance.choice(("q", "\x11")))
        assert terminal.wait_for_end(30) == 0
        terminal.assert_sane()
        assert_recorded(tmp_path, child, start)

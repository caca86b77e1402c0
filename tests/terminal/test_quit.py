"""Quitting the screen, and what ends it otherwise, in the middle of a plan: its record is kept."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from memtui.advise.pages_file import PageRecords
from memtui.model.ranges import total_bytes
from tests.conftest import need
from tests.kernel import toolkit
from tests.terminal.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 384 << 20


@pytest.fixture(autouse=True)
def root() -> None:
    need(os.geteuid() == 0, "advising another process needs root")


def events(state_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state_dir / "ledger.jsonl").read_bytes().splitlines()]


@contextmanager
def paging_out(state_dir: Path, child: toolkit.Child) -> Iterator[tuple[Terminal, int]]:
    """memtui on a screen, in the middle of paging out 384 MiB, which is the only large VMA of the child."""
    start = child.map(SIZE, align=toolkit.HUGE, fill=1)
    command = [sys.executable, "-m", "memtui", "--state-dir", str(state_dir), "--pid", str(child.pid)]
    with Terminal(command) as terminal:
        terminal.wait_for(f"Map of {child.pid}")
        terminal.wait_for("384M")
        terminal.send("+size>=384M\r")
        terminal.wait_for("1 VMA marked")
        terminal.send("a")
        terminal.wait_for(" will leave RSS")
        terminal.send("y")
        toolkit.wait_until(
            lambda: toolkit.at(child.pid, start).swap > 8 << 20, "the first pages have left", timeout_s=30
        )
        yield terminal, start


def assert_recorded(state_dir: Path, child: toolkit.Child, start: int) -> None:
    """What moved is on record to its last hold, and comes back."""
    (begun, done) = (item for item in events(state_dir) if item["event"] in ("start", "done"))
    assert (begun["event"], done["event"]) == ("start", "done")
    assert done["outcome"] in ("cancelled", "done")
    entry = toolkit.at(child.pid, start)
    assert entry.swap >= 8 << 20
    assert done["moved_bytes"] == pytest.approx(entry.swap, abs=toolkit.RESIDUE_BYTES)
    if done["outcome"] == "cancelled":
        assert done["reason_text"] == "cancelled in the middle"
    moved = PageRecords(state_dir / "pages").read(done["id"])
    assert moved is not None
    assert moved.is_complete
    assert total_bytes(moved.pages) == done["moved_bytes"]
    restored = toolkit.memtui("restore", done["id"], state_dir=state_dir)
    assert restored.returncode == 0, restored.stderr
    assert toolkit.at(child.pid, start).rss >= SIZE * 0.99


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("run", range(5))
@pytest.mark.parametrize("key", ["q", "\x11"], ids=["q", "ctrl+q"])
def test_quitting_in_the_middle_of_a_plan_keeps_its_record(tmp_path: Path, key: str, run: int) -> None:
    del run
    with toolkit.Child() as child, paging_out(tmp_path, child) as (terminal, start):
        terminal.send(key)
        assert terminal.wait_for_end(30) == 0
        terminal.assert_sane()
        assert_recorded(tmp_path, child, start)


@pytest.mark.usefixtures("swap_file")
def test_it_tells_what_it_waits_for(tmp_path: Path) -> None:
    with toolkit.Child() as child, paging_out(tmp_path, child) as (terminal, start):
        terminal.send("q")
        terminal.wait_for_end(30)
        assert b"Quitting when the pageout has ended" in terminal.output
        assert_recorded(tmp_path, child, start)


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_ends_it_at_once_loses_one_hold_at_most(tmp_path: Path, number: signal.Signals) -> None:
    with toolkit.Child() as child, paging_out(tmp_path, child) as (terminal, start):
        terminal.process.send_signal(number)
        terminal.wait_for_end(30)
        (begun,) = (item for item in events(tmp_path) if item["event"] == "start")
        moved = PageRecords(tmp_path / "pages").read(begun["id"])
        assert moved is not None
        swapped = toolkit.at(child.pid, start).swap
        assert total_bytes(moved.pages) <= swapped + toolkit.RESIDUE_BYTES
        # A hold is a call of 32 MiB at the least, and with the default time hardly more than this.
        assert swapped - total_bytes(moved.pages) <= 160 << 20
        shown = toolkit.rows(toolkit.memtui("history", "--json", state_dir=tmp_path))
        assert shown[0]["outcome"] in ("interrupted", "cancelled", "freeze_lost", "done")
        if moved.pages:
            restored = toolkit.memtui("restore", begun["id"], state_dir=tmp_path)
            assert restored.returncode == 0, restored.stderr

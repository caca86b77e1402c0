"""The whole program on a real terminal and a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import need
from tests.kernel import toolkit
from tests.terminal.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEMO = 32 << 20
ABOUT_32M = r"(?:31\.\d|32)M"
"""All of the region, or all but what stayed in the CPUs' batches."""


@pytest.fixture(autouse=True)
def root() -> None:
    need(os.geteuid() == 0, "advising another process needs root")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    """The demo, its map on the screen and the focus in it."""
    with Terminal(_command(tmp_path, "demo")) as terminal:
        terminal.wait_for("cold")
        yield terminal
        if terminal.process.poll() is None:
            terminal.send("q")
            terminal.wait_for_end()


def _command(state_dir: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "memtui", "--state-dir", str(state_dir), *arguments]


def _practice_pid(terminal: Terminal) -> int:
    found = re.search(r"Map of (\d+) memtui-practice", terminal.wait_for("memtui-practice"))
    assert found
    return int(found.group(1))


def _move_to(terminal: Terminal, label: str) -> tuple[int, int]:
    """Put the cursor on a label of the map; return its range."""
    pid = _practice_pid(terminal)
    found = re.search(rf"\b([0-9a-f]{{12}}) {label}\b", terminal.text())
    assert found, terminal.text()
    start = int(found.group(1), 16)
    starts = [first for first, _end in sorted(toolkit.smaps(pid))]
    terminal.send("g" + "j" * starts.index(start))
    return next(span for span in toolkit.smaps(pid) if span[0] == start)


def test_paging_out_two_marks_held_by_ptrace(demo: Terminal, swap_file: Path) -> None:
    pid = _practice_pid(demo)
    cold = _move_to(demo, "cold")
    demo.send(" ")
    demo.wait_for("1 marked, 32M")
    file = _move_to(demo, "file")
    demo.send(" ")
    demo.wait_for("2 marked, 48M")
    before = {span: toolkit.smaps(pid)[span].rss for span in (cold, file)}
    demo.send("a")
    demo.wait_for("of 48M will")
    demo.send("f")
    # Not before the plan for it has come: until then there is nothing to apply.
    demo.wait_for("held still with ptrace, 2 ranges")
    demo.send("y")
    screen = demo.wait_for(lambda text: "pageout  done" in text)
    after = {span: toolkit.smaps(pid)[span] for span in (cold, file)}
    moved = sum(before.values()) - sum(entry.rss for entry in after.values())
    assert moved > (48 << 20) - 2 * toolkit.RESIDUE_BYTES
    row = next(line for line in screen.splitlines() if "pageout  done" in line)
    assert "ptrace" in row
    assert str(pid) in row
    shown = re.findall(r"(\d+(?:\.\d+)?)M", row)
    requested, forecast, advised, moved_shown = (float(value) for value in shown[:4])
    assert requested == forecast == advised == 48
    assert moved_shown == pytest.approx(moved / (1 << 20), abs=0.1)
    assert float(re.findall(r"([\d.]+)M>", row)[0]) == pytest.approx(
        sum(before.values()) / (1 << 20), abs=0.1
    )
    assert after[cold].swap == pytest.approx(32 << 20, abs=toolkit.RESIDUE_BYTES)


def test_restore_brings_back_what_pageout_moved(demo: Terminal, swap_file: Path) -> None:
    pid = _practice_pid(demo)
    cold = _move_to(demo, "cold")
    demo.send(" ")
    demo.wait_for("1 marked, 32M")
    demo.send("a")
    demo.wait_for("of 32M will")
    demo.send("y")
    demo.wait_for("pageout  done")
    assert toolkit.smaps(pid)[cold].rss < toolkit.RESIDUE_BYTES
    demo.wait_for("out so far")
    demo.send("R")
    screen = demo.wait_for("needs ")
    assert re.search(rf"still out  {ABOUT_32M}", screen)
    demo.send("\r")
    demo.wait_for(lambda text: "needs " not in text)
    assert toolkit.smaps(pid)[cold].rss < toolkit.RESIDUE_BYTES, "Enter is Cancel"
    demo.send("R")
    demo.wait_for("needs ")
    demo.send("y")
    screen = demo.wait_for("restore  done")
    assert toolkit.smaps(pid)[cold].rss > DEMO - toolkit.RESIDUE_BYTES
    row = next(line for line in screen.splitlines() if "restore  done" in line)
    assert re.search(rf"{ABOUT_32M} restored", row)
    assert "resident again" not in screen, "what was put back says nothing of the advice"
    demo.send("@")
    screen = demo.wait_for("History  1 entry")
    row = next(line for line in screen.splitlines() if "pageout" in line)
    moved, _back, restored = row.split()[8:11]
    assert re.fullmatch(ABOUT_32M, moved)
    assert re.fullmatch(ABOUT_32M, restored)
    demo.send("q")


def test_second_pageout_has_no_effect(demo: Terminal, swap_file: Path) -> None:
    _move_to(demo, "cold")
    demo.send(" ")
    demo.wait_for("1 marked")
    for wanted in ("pageout  done", "pageout  no_effect"):
        demo.send("a")
        demo.wait_for("of 32M will")
        demo.send("y")
        demo.wait_for(wanted)


def test_enter_in_the_dialog_is_cancel(demo: Terminal) -> None:
    pid = _practice_pid(demo)
    cold = _move_to(demo, "cold")
    demo.send(" ")
    demo.wait_for("1 marked")
    demo.send("a")
    demo.wait_for("of 32M will")
    demo.send("\r")
    demo.wait_for(lambda text: "Apply" not in text)
    assert toolkit.smaps(pid)[cold].rss == DEMO
    demo.wait_for("nothing was advised yet")


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_it_and_leaves_the_terminal_sane(
    tmp_path: Path, number: signal.Signals, size: tuple[int, int]
) -> None:
    with Terminal(_command(tmp_path, "--pid", str(os.getpid())), *size) as terminal:
        terminal.wait_for(f"Map of {os.getpid()}")
        terminal.process.send_signal(number)
        assert terminal.wait_for_end() == 128 + number
        terminal.assert_sane()


def test_quitting_leaves_the_terminal_sane(demo: Terminal) -> None:
    demo.send("q")
    assert demo.wait_for_end() == 0
    demo.assert_sane()
    assert b"no byte has changed" in demo.output


def test_closed_terminal_ends_it(tmp_path: Path) -> None:
    with Terminal(_command(tmp_path, "--pid", str(os.getpid()))) as terminal:
        terminal.wait_for(f"Map of {os.getpid()}")
        terminal.hang_up()
        assert terminal.process.wait(10) == 128 + signal.SIGHUP


def test_a_command_whose_terminal_closes_keeps_its_code(tmp_path: Path, swap_file: Path) -> None:
    """What it still says reaches nobody; what it did stands in the ledger."""
    with toolkit.Child() as child:
        address = child.map(1 << 20, fill=1)
        where = toolkit.span(address, 1 << 20)
        words = ["advise", "pageout", str(child.pid), "--range", where, "--watch", "60"]
        with Terminal(_command(tmp_path, *words)) as terminal:
            terminal.wait_for("pageout on")
            terminal.hang_up()
            assert terminal.process.wait(10) == 0
        assert toolkit.at(child.pid, address).swap == 1 << 20
    (entry,) = toolkit.rows(toolkit.memtui("history", "--json", state_dir=tmp_path))
    assert entry["outcome"] == "done"


def _held(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    cgroup = Path(f"/proc/{pid}/cgroup").read_text()
    return "TracerPid:\t0\n" not in status or toolkit.state_of(pid) in "tT" or "/memtui-" in cgroup


def _runs(pid: int) -> bool:
    return not _held(pid) and toolkit.state_of(pid) not in "tTZ"


def _terminate(terminal: Terminal) -> None:
    terminal.process.terminate()


def _kill(terminal: Terminal) -> None:
    terminal.process.kill()


def _hang_up_signal(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGHUP)


@contextmanager
def _holding(state_dir: Path, pid: int, method: str = "ptrace") -> Iterator[Terminal]:
    """memtui on a screen, in the middle of holding a process."""
    script = Path(__file__).with_name("holding.py")
    with Terminal([sys.executable, str(script), str(state_dir), str(pid), method]) as terminal:
        terminal.wait_for(lambda text: f"Map of {pid}" in text and "[heap]" in text)
        terminal.send("*")
        terminal.wait_for(" marked, ")
        terminal.send("a")
        terminal.wait_for(" will leave RSS")
        terminal.send("y")
        terminal.wait_for(lambda _text: _held(pid))
        yield terminal


@pytest.mark.parametrize("method", ["ptrace", "sigstop", "cgroup"])
@pytest.mark.parametrize("end", [_terminate, _kill, _hang_up_signal, Terminal.hang_up])
def test_target_runs_on_when_the_screen_ends_while_it_is_held(
    tmp_path: Path, end: Callable[[Terminal], None], method: str
) -> None:
    with toolkit.Child() as child:
        address = child.map(8 << 20, fill=1)
        before = child.checksum(address, 8 << 20)
        with _holding(tmp_path, child.pid, method) as terminal:
            end(terminal)
            toolkit.wait_until(lambda: _runs(child.pid), "it runs on", timeout_s=1.0)
            terminal.process.wait(10)
        assert _runs(child.pid)
        assert child.checksum(address, 8 << 20) == before


@pytest.mark.parametrize("method", ["ptrace", "sigstop", "cgroup"])
@pytest.mark.parametrize("key", ["!", "\x1b[24~"])
def test_thaw_key_releases_at_once(tmp_path: Path, key: str, method: str) -> None:
    with toolkit.Child() as child:
        child.map(8 << 20, fill=1)
        with _holding(tmp_path, child.pid, method) as terminal:
            terminal.wait_for("HELD ")
            terminal.send(key)
            toolkit.wait_until(lambda: _runs(child.pid), "it runs on", timeout_s=1.0)
            terminal.wait_for(lambda text: "freeze_lost" in text or "cancelled" in text)
            terminal.send("q")
            terminal.wait_for_end()


def test_hostile_process_name_reaches_the_terminal_harmless(tmp_path: Path) -> None:
    body = "import ctypes; ctypes.CDLL(None).prctl(15, b'\\x1b]0;x\\x07[/x]'); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", body], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        with Terminal(_command(tmp_path, "--pid", str(child.pid))) as terminal:
            terminal.wait_for("[/x]")
            terminal.send("q")
            assert terminal.wait_for_end() == 0
        child.kill()
    assert b"\x1b]0;x" not in terminal.output
    assert b"[/x]" in terminal.output


def test_read_only_has_no_way_to_act(tmp_path: Path) -> None:
    with (
        toolkit.Child() as child,
        Terminal(_command(tmp_path, "--read-only", "--pid", str(child.pid))) as terminal,
    ):
        terminal.wait_for(f"Map of {child.pid}")
        terminal.send("*afy!\x1b[20~\x1b[24~")
        terminal.send("?")
        helped = terminal.wait_for("This help")
        assert "plan dialog" not in helped
        terminal.send("\x1b")
        terminal.wait_for(lambda text: "This help" not in text)
        terminal.send("q")
        assert terminal.wait_for_end() == 0
        assert b"Apply" not in terminal.output
    assert not (tmp_path / "ledger.jsonl").exists()


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    done = toolkit.memtui("--pid", "1", state_dir=tmp_path)
    assert done.returncode == 2
    assert "terminal" in toolkit.one_line(done)

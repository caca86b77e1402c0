"""No more threads or processes (RLIMIT_NPROC, as pids.max): a line each, and the report of what was done."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kernel.toolkit import MIB, REPOSITORY, Child, as_user, at, command, harmless, span
from tests.terminal.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

USER = 54322
"""Nobody else's, so that the limit counts only what is started here."""
NO_TASKS = "no more threads or processes can be started here"
CAPABILITIES = "+sys_nice,+sys_ptrace,+dac_read_search"


def limited(tasks: int, state_dir: Path, *arguments: object) -> list[str]:
    """Return the command line of memtui where ``tasks`` tasks of the user are allowed, its own too."""
    limit = ["prlimit", f"--nproc={tasks}"]
    return as_user(USER, [*limit, *command("--state-dir", state_dir, *arguments)], CAPABILITIES)


@pytest.fixture
def users_dir(nobodys_dir: Path) -> Path:
    os.chown(nobodys_dir, USER, USER)
    return nobodys_dir


@pytest.mark.usefixtures("swap_file")
@pytest.mark.parametrize("method", [[], ["--freeze", "off"]], ids=["default", "off"])
def test_whatever_cannot_be_started_what_was_done_is_reported(users_dir: Path, method: list[str]) -> None:
    """From none of the threads to all: what is told is what the kernel shows, and never a traceback."""
    seen = set()
    for tasks in range(1, 10):
        with Child(user=USER) as child:
            start = child.map(MIB, fill=1)
            words = ["advise", "pageout", child.pid, "--range", span(start, MIB), "--watch", "1", *method]
            done = subprocess.run(
                limited(tasks, users_dir, *words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                cwd=REPOSITORY,
                timeout=60,
                check=False,
            )
            left = at(child.pid, start).swap
        harmless(done.stderr)
        assert all(line.startswith("memtui: ") for line in done.stderr.splitlines()), done.stderr
        if done.returncode:
            assert (done.returncode, done.stdout, left) == (1, "", 0)
            assert NO_TASKS in done.stderr
            seen.add("refused")
            continue
        assert "pageout on" in done.stdout, done.stderr
        assert left == MIB
        if "what comes back is not looked at" in done.stderr:
            assert NO_TASKS in done.stderr
            seen.add("not watched")
        else:
            assert "after 1 s: 0 of 1M resident again" in done.stdout
            seen.add("watched")
        if not method and "not held: the guard does not start" in done.stdout:
            assert NO_TASKS in done.stdout
            seen.add("not held")
    assert seen >= {"refused", "not watched", "watched"}
    assert method or "not held" in seen


@pytest.mark.parametrize("arguments", [[], ["demo"]], ids=["screen", "demo"])
def test_a_screen_says_so_in_one_line(users_dir: Path, arguments: list[str]) -> None:
    ended = shown = False
    for tasks in range(1, 24, 2):
        with Terminal(limited(tasks, users_dir, *arguments)) as terminal:
            terminal.wait_for(
                lambda text, ended=terminal.process.poll: ended() is not None or "Map of" in text  # type: ignore[misc]
            )
            if terminal.process.poll() is None:
                terminal.send("q")
                assert terminal.wait_for_end(40) == 0
                shown = True
                break
            while terminal.read():
                pass
            assert terminal.process.returncode == 1
            assert re.fullmatch(r"memtui: .*\s*", " ".join(terminal.text().split()))
            assert NO_TASKS in terminal.text() or "Resource temporarily unavailable" in terminal.text()
            assert b"\x1b[?1049h" not in terminal.output, "the screen was not opened"
            ended = True
    assert ended
    assert shown

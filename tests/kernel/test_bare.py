"""Machines that lack what one takes for granted: a line each, and what is unknown is not called none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.toolkit import MIB, REPOSITORY, Child, as_user, command, one_line, rows, span
from tests.kernel.unshared import own_mounts

if TYPE_CHECKING:
    from collections.abc import Sequence

STRANGER = 54321
"""A user without a passwd entry."""
ALL = (
    "ps",
    "maps PID",
    "plan pageout PID",
    "advise cold PID",
    "history",
    "restore --last",
    "thaw",
    "doctor PID",
)
READING = ("ps", "maps PID", "plan pageout PID", "doctor PID")


def run(program: Sequence[str], **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run a program; None takes a variable away."""
    given = {**os.environ, **environment}
    return subprocess.run(
        program,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        env={name: value for name, value in given.items() if value is not None},
        timeout=60,
        check=False,
    )


def without(changes: str, tmp_path: Path, words: str, pid: int) -> subprocess.CompletedProcess[str]:
    """Run memtui where the mounts are changed, for it alone."""
    view = own_mounts(changes)
    return run(
        [*view, *command("--state-dir", tmp_path / "state", *words.replace("PID", str(pid)).split())],
        TMP=str(tmp_path),
    )


def file_over(path: str, content: str) -> str:
    return f'printf \'{content}\' >"$TMP/over"; mount --bind "$TMP/over" {path}'


def no_traceback(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr
    assert all(line.startswith("memtui: ") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("home", [None, ""])
@pytest.mark.parametrize("words", ALL)
def test_no_home_and_no_passwd_entry(words: str, home: str | None) -> None:
    with Child(user=STRANGER) as child:
        program = command(*words.replace("PID", str(child.pid)).split())
        done = run(as_user(STRANGER, program), HOME=home, XDG_STATE_HOME=None)
    no_traceback(done)
    if words in READING:
        assert str(child.pid) in done.stdout or words.startswith("maps")
    else:
        assert "HOME" in one_line(done)
        assert "--state-dir" in one_line(done)
        assert (done.returncode, done.stdout) == (1, "")


def test_without_home_a_folder_can_be_given(tmp_path: Path, nobodys_dir: Path) -> None:
    os.chown(nobodys_dir, STRANGER, STRANGER)
    program = command("--state-dir", nobodys_dir / "here", "history", "--json")
    done = run(as_user(STRANGER, program), HOME=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "words", ["ps", "maps PID", "plan pageout PID", "advise cold PID", "doctor", "doctor PID"]
)
def test_no_proc_is_no_gone_process(child: Child, tmp_path: Path, words: str) -> None:
    done = without("mount -t tmpfs none /proc", tmp_path, words, child.pid)
    assert done.returncode == 1
    assert "/proc is not mounted" in one_line(done)


def test_without_sys_huge_pages_are_known_of_meminfo(child: Child, tmp_path: Path) -> None:
    start = child.map(4 * MIB, fill=1)
    done = without(
        "mount -t tmpfs none /sys/kernel/mm",
        tmp_path,
        f"plan collapse PID --range {span(start, 4 * MIB)} --json",
        child.pid,
    )
    no_traceback(done)
    here = run(command("plan", "collapse", str(child.pid), "--range", span(start, 4 * MIB), "--json"))
    assert [row["ranges"] for row in rows(done)] == [row["ranges"] for row in rows(here)]
    found = {
        row["check"]: row
        for row in rows(without("mount -t tmpfs none /sys/kernel/mm", tmp_path, "doctor --json", 0))
    }
    size = int(Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").read_text())
    assert f"{size >> 20}M" in found["huge pages"]["finding"]


@pytest.mark.parametrize("content", ["", "MemTotal:\\n", "MemFree: x kB\\nSwapFree: 5\\nSwapTotal\\n"])
@pytest.mark.parametrize("words", ALL)
def test_a_short_meminfo_is_unknown(child: Child, tmp_path: Path, words: str, content: str) -> None:
    done = without(file_over("/proc/meminfo", content), tmp_path, words, child.pid)
    no_traceback(done)
    assert done.returncode in (0, 1)


@pytest.mark.parametrize("content", ["", "Filename\\n/x file a b c\\n"])
def test_swap_that_cannot_be_read_is_not_called_none(tmp_path: Path, content: str) -> None:
    done = without(file_over("/proc/swaps", content), tmp_path, "doctor --json", 0)
    no_traceback(done)
    found = {row["check"]: row for row in rows(done)}
    assert found["swap"]["ok"] is None
    assert "cannot be read" in found["swap"]["finding"]


@pytest.mark.parametrize("path", ["/proc/vmstat", "/proc/self/mountinfo", "/proc/pressure/memory"])
@pytest.mark.parametrize("content", ["", "pswpin x\\n", "some avg10=x\\n"])
def test_what_else_may_be_empty(child: Child, tmp_path: Path, path: str, content: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"no {path}")
    # The shell's own /proc/self is not memtui's.
    changes = file_over(path.replace("self", "$$"), content)
    for words in ("advise cold PID", "doctor PID"):
        no_traceback(without(changes, tmp_path, words, child.pid))

"""Why something may not be done, and what the doctor offers for it: each as the user who is told so.

Whoever is here, the words name what stands in the way, and no remedy is offered that gains nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import need
from tests.kernel.toolkit import NOBODY, PAGE, REPOSITORY, Child, as_user, command, one_line, rows
from tests.kernel.unshared import own_mounts, unshared

if TYPE_CHECKING:
    from collections.abc import Sequence

FILTERED = (sys.executable, str(Path(__file__).with_name("filtered.py")))
PROCESS_MADVISE, PIDFD_OPEN = "440", "434"
ADVICES = ("COLD", "PAGEOUT", "WILLNEED", "COLLAPSE")


def run(
    prefix: Sequence[str], state_dir: Path, *arguments: object, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run memtui below another command."""
    program = [*prefix, *command("--state-dir", state_dir, *arguments)]
    return subprocess.run(
        program if user is None else as_user(user, program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=120,
        check=False,
    )


def doctor(
    prefix: Sequence[str], state_dir: Path, *pids: int, user: int | None = None
) -> dict[str, dict[str, Any]]:
    """Return what the doctor finds, by what it looked at."""
    done = run(prefix, state_dir, "doctor", *pids, "--json", user=user)
    assert done.stderr == ""
    return {row["check"]: row for row in rows(done)}


@pytest.mark.parametrize("call", [PROCESS_MADVISE, PIDFD_OPEN])
@pytest.mark.parametrize("answer", ["EPERM", "ENOSYS", "EACCES"])
def test_a_seccomp_filter_is_told_from_a_kernel_without_the_call(
    child: Child, tmp_path: Path, answer: str, call: str
) -> None:
    prefix = [*FILTERED, answer, call, "--"]
    done = run(prefix, tmp_path, "advise", "cold", child.pid, "--freeze", "off")
    assert done.returncode == 3
    words = one_line(done)
    assert "a seccomp filter forbids process_madvise" in words
    assert "Linux 5.10" not in words
    found = doctor(prefix, tmp_path, child.pid)
    assert found["process_madvise"]["ok"] is False
    assert "seccomp" in found["process_madvise"]["finding"]
    # No command of ours takes a filter off.
    told = [found[check] for check in ADVICES if check in found] or [found["process"]]
    assert all("seccomp" in row["finding"] and not row["remedy"] for row in told)


def test_root_in_a_user_namespace_is_not_told_to_become_root(child: Child, tmp_path: Path) -> None:
    for prefix in (unshared("--user", "--map-root-user"), unshared("--user")):
        done = run(prefix, tmp_path, "advise", "cold", child.pid)
        assert done.returncode == 3
        words = one_line(done)
        assert "as root" not in words
        found = doctor(prefix, tmp_path, child.pid)
        assert not any("sudo" in row["remedy"] for row in found.values())
        assert found["CAP_SYS_NICE"]["ok"] is False
    done = run(unshared("--user", "--map-root-user"), tmp_path, "advise", "cold", child.pid)
    assert "user namespace" in one_line(done)
    assert "run memtui on the host" in one_line(done)


def test_a_process_of_the_same_user_namespace_cannot_be_advised_either(tmp_path: Path) -> None:
    script = 'sleep 60 & "$@" advise cold $! --json; kill $!'
    prefix = (*unshared("--user", "--map-root-user"), "sh", "-c", script, "sh")
    (report,) = rows(run(prefix, tmp_path))
    assert (report["outcome"], report["reason"]) == ("refused", "user_namespace")
    assert {item["reason"] for item in report["ranges"]} == {"user_namespace"}


def test_root_without_capabilities_is_offered_no_sudo(child: Child, tmp_path: Path) -> None:
    prefix = ["setpriv", "--bounding-set", "-sys_nice,-sys_ptrace"]
    found = doctor(prefix, tmp_path, child.pid)
    for check in ("CAP_SYS_NICE", "CAP_SYS_PTRACE"):
        assert found[check]["ok"] is False
        assert "must grant it" in found[check]["consequence"]
    assert found["CAP_DAC_READ_SEARCH"]["ok"] is True
    assert not any("sudo" in row["remedy"] for row in found.values())
    done = run(prefix, tmp_path, "advise", "cold", child.pid)
    assert done.returncode == 3
    assert "CAP_SYS_NICE" in one_line(done)
    assert "as root" not in one_line(done)


def test_where_sudo_gains_nothing_it_is_not_offered(nobodys_dir: Path) -> None:
    found = doctor(["setpriv", "--no-new-privs"], nobodys_dir, user=NOBODY)
    assert "no_new_privs" in found["CAP_SYS_NICE"]["consequence"]
    assert not any("sudo" in row["remedy"] for row in found.values())


def test_the_line_of_least_privilege_gives_just_what_is_missing(
    child: Child, nobodys_dir: Path, tmp_path: Path
) -> None:
    """The very command that a plain user is offered, run by root as sudo would run it."""
    need(shutil.which("sudo") is not None, "no sudo on this machine: nothing is offered")
    missing = doctor([], nobodys_dir, child.pid, user=NOBODY)
    offered = {missing[check]["remedy"] for check in ("CAP_SYS_NICE", "CAP_KILL", "process")}
    (line,) = offered
    assert "setpriv" in line
    assert "+kill" in line
    programs = tmp_path / "bin"
    programs.mkdir()
    tmp_path.chmod(0o755)
    scripts = {
        "sudo": 'exec "$@"',
        "id": f"echo {NOBODY}",
        "memtui": f'cd {REPOSITORY}; exec {sys.executable} -m memtui --state-dir {nobodys_dir} "$@"',
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)

    def offered_with(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", f"{line} {' '.join(map(str, arguments))}"],
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    found = {row["check"]: row for row in rows(offered_with("doctor", child.pid, "--json"))}
    for check in ("CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_KILL", *ADVICES):
        assert found[check]["ok"] is True
    start = child.map(16 * PAGE, fill=1)
    for method in ("ptrace", "sigstop"):
        done = offered_with("advise", "cold", child.pid, "--range", f"{start:x}-{start + 16 * PAGE:x}")
        assert done.returncode == 0, done.stderr
        # Its group may hang on whoever runs the tests, for which sigstop is refused unless one insists.
        done = offered_with("advise", "cold", child.pid, "--freeze", method, "--allow-protected", "--json")
        (report,) = rows(done)
        assert (report["freeze"], report["holds"]) == (method, 1)
    os.kill(child.pid, 0)


def test_sigstop_denied_is_told_alike_in_the_head_and_in_every_row(child: Child, nobodys_dir: Path) -> None:
    capabilities = "+sys_nice,+sys_ptrace,+dac_read_search"
    program = command(
        "--state-dir", nobodys_dir, "advise", "cold", child.pid, "--freeze", "sigstop", "--json"
    )
    done = subprocess.run(
        as_user(NOBODY, program, capabilities),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3
    words = "you may not send signals to this process"
    assert words in one_line(done)
    (report,) = rows(done)
    assert (report["reason"], report["reason_text"]) == ("freeze_denied", words)
    assert {item["reason_text"] for item in report["ranges"]} == {words}


@pytest.mark.parametrize("level", [1, 2])
def test_hidepid_is_told(child: Child, nobodys_dir: Path, level: int) -> None:
    # Mounted anew, and not remounted: that would change the machine's own /proc.
    view = own_mounts(f"mount -t proc -o hidepid={level} proc /proc || exit")

    def hidden(*arguments: object) -> subprocess.CompletedProcess[str]:
        program = as_user(NOBODY, command("--state-dir", nobodys_dir, *arguments))
        return subprocess.run(
            [*view, *program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            cwd=REPOSITORY,
            timeout=120,
            check=False,
        )

    found = {row["check"]: row for row in rows(hidden("doctor", child.pid, "--json"))}
    assert found["hidepid"]["ok"] is False
    assert found["process"]["ok"] is False
    listed = hidden("ps", "--json")
    assert child.pid not in {row["pid"] for row in rows(listed)}
    assert "hidepid" in one_line(listed)
    done = hidden("plan", "cold", child.pid)
    assert done.returncode == 3
    if level == 2:
        assert "hidepid" in one_line(done)
    assert "no such process" in one_line(hidden("plan", "cold", 2**22 - 1))


def test_a_read_only_disk_is_not_mended_by_sudo(tmp_path: Path) -> None:
    prefix = own_mounts(f"mount -t tmpfs -o ro none {tmp_path} || exit")
    found = doctor(prefix, tmp_path / "state")
    assert found["ledger"]["ok"] is False
    assert "read-only" in found["ledger"]["finding"]
    assert "sudo" not in found["ledger"]["remedy"]

"""A stop of one process can stop or kill others: they are refused, or continued and told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from memtui.freeze.client import Guard
from memtui.freeze.method_info import choices, why_not
from memtui.freeze.parents import bystanders_of, only_link
from memtui.freeze.recovery import replay
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason
from memtui.render.freeze import describe_choice
from tests.conftest import need
from tests.kernel.children import FreezeTarget, below_stopper, freeze_wait
from tests.kernel.toolkit import NOBODY, REPOSITORY, as_user, command, memtui, rows

Below = Callable[..., FreezeTarget]


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Below]:
    """Starts targets below a parent, and ends both."""
    made: list[FreezeTarget] = []

    def start(program: Sequence[str], threads: int = 1) -> FreezeTarget:
        made.append(FreezeTarget(tmp_path, "idle", threads, below=program))
        return made[-1]

    yield start
    for target in made:
        target.close()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1].decode()


def parent_of(target: FreezeTarget) -> int:
    return int(Path(f"/proc/{target.pid}/stat").read_bytes().rpartition(b") ")[2].split()[1])


def refusal(target: FreezeTarget, *, override: bool = False) -> str | None:
    refused = why_not(target.process, Freeze.SIGSTOP, allow_protected=override)
    assert refused is None or refused.reason is Reason.FREEZE_REFUSED
    return None if refused is None else refused.detail


# Refused: whose parent stops itself with it

PROGRAMS: dict[str, list[str]] = {
    "sudo": ["sudo", "-n"],
    "runuser": ["runuser", "-u", "root", "--"],
    "runuser --pty": ["runuser", "-P", "-u", "root", "--"],
    "nsenter": ["nsenter", "-p", "-t", str(os.getpid())],
    "su": ["su", "root", "-c", 'exec "$0" "$@"', "--"],
    "su --pty": ["su", "--pty", "root", "-c", 'exec "$0" "$@"', "--"],
}
HARMLESS: dict[str, list[str]] = {
    "setsid": ["setsid", "-w", "-f"],
    "flock": ["flock", "-o", "/dev/null"],
    "timeout": ["timeout", "600"],
    "unshare": ["unshare", "-f"],
    "sh": ["sh", "-c", '"$@"; true', "sh"],
}


def _needed(program: Sequence[str]) -> list[str]:
    need(shutil.which(program[0]) is not None, f"no {program[0]} on this machine")
    return list(program)


def on_a_terminal(program: Sequence[str]) -> list[str]:
    """Return what runs a program on a terminal of its own."""
    return [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *program]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_whose_parent_stops_with_it_is_refused(below: Below, name: str, terminal: bool) -> None:
    program = _needed(PROGRAMS[name])
    target = below(on_a_terminal(program) if terminal else program)
    parent = parent_of(target)
    words = refusal(target)
    assert words is not None
    on_front = "foreground of its terminal" in words
    assert on_front or f"its parent, process {parent} ({name.split()[0]}), stops itself" in words
    assert on_front or "--freeze ptrace" in words
    told = {item.method: item for item in choices(target.process)}[Freeze.SIGSTOP]
    assert not told.available
    assert words in describe_choice(told)
    if not on_front:
        assert refusal(target, override=True) is None
    # And so it is: the test stops it by itself.
    chain = _chain(target.pid)
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: "T" in [state(pid) for pid in chain], "one above stops itself")
    target.signal(signal.SIGCONT)
    for pid in chain:
        os.kill(pid, signal.SIGCONT)


def _chain(pid: int) -> list[int]:
    """Return the parents of a process that the test has started."""
    found = []
    at = read_stat(pid).parent
    while at not in (0, 1, os.getpid()):
        found.append(at)
        at = read_stat(at).parent
    return found


@pytest.mark.parametrize("name", HARMLESS)
def test_whose_parent_does_not_is_held(guard: Guard, below: Below, name: str) -> None:
    target = below(_needed(HARMLESS[name]))
    assert refusal(target) is None
    hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
    target.assert_frozen(Freeze.SIGSTOP)
    assert guard.release(hold).held_throughout
    assert guard.bystanders() == ""
    target.assert_free()


def test_a_parent_that_waits_for_stops_is_refused_by_what_it_does(below: Below) -> None:
    target = below(below_stopper("waits"))
    parent = parent_of(target)
    freeze_wait(lambda: bool(refusal(target)), "it waits")
    words = refusal(target)
    assert words is not None
    assert f"process {parent} (python" in words
    assert "WUNTRACED" in words
    assert refusal(target, override=True) is None
    assert why_not(target.process, Freeze.PTRACE) is None
    assert why_not(target.process, Freeze.CGROUP) is None


def test_one_that_is_stopped_already_is_not_refused(below: Below) -> None:
    target = below(below_stopper("waits"))
    freeze_wait(lambda: bool(refusal(target)), "it waits")
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: state(parent_of(target)) == "T", "its parent stops itself")
    assert refusal(target) is None
    assert "stopped already" in describe_choice(choices(target.process)[list(Freeze).index(Freeze.SIGSTOP)])


# Continued: who is not known to stop, or was insisted on


@pytest.mark.parametrize("how", ["waits", "signal", "group"])
def test_a_parent_that_stops_is_continued_and_told(guard: Guard, below: Below, how: str) -> None:
    target = below(below_stopper(how), 3)
    parent = parent_of(target)
    freeze_wait(lambda: state(parent) == "S", "its parent waits")
    for _ in range(2):
        hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
        freeze_wait(lambda: state(parent) == "T", "its parent stops itself")
        target.assert_frozen(Freeze.SIGSTOP)
        released = guard.release(hold)
        assert released.held_throughout, released.why
        freeze_wait(lambda: state(parent) != "T", "its parent is continued", 1.0)
        words = guard.bystanders()
        assert f"process {parent} (python" in words
        assert "was continued" in words
        target.assert_free()
    assert state(parent) != "T"
    assert guard.bystanders() == "", "told once"


def test_who_stands_in_the_group_of_a_parent_is_continued_too(guard: Guard, below: Below) -> None:
    shell = ["sh", "-c", 'sleep 600 & "$@"; kill $!', "sh", *below_stopper("group")]
    target = below(shell)
    mates = [pid for pid, stat in bystanders_of(target.pid) if stat.process_group == target.popen.pid]
    assert len(mates) == 3, "shell, sleep and parent"
    hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
    freeze_wait(lambda: {state(pid) for pid in mates} == {"T"}, "all of them stop")
    assert guard.release(hold).held_throughout
    freeze_wait(lambda: "T" not in {state(pid) for pid in mates}, "all of them are continued", 1.0)
    words = guard.bystanders()
    assert all(f"process {pid} (" in words for pid in mates)
    for pid in mates:
        if read_stat(pid).name == "sleep":
            os.kill(pid, signal.SIGKILL)


def test_who_was_stopped_before_stays_so(guard: Guard, below: Below) -> None:
    target = below(below_stopper("signal"))
    parent = parent_of(target)
    os.kill(parent, signal.SIGSTOP)
    freeze_wait(lambda: state(parent) == "T", "somebody stops its parent")
    assert guard.release(guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)).held_throughout
    assert guard.bystanders() == ""
    assert state(parent) == "T"
    os.kill(parent, signal.SIGCONT)


def test_a_parent_that_another_guard_holds_is_left_to_it(guard: Guard, below: Below, tmp_path: Path) -> None:
    target = below(below_stopper("ignores"))
    parent = parent_of(target)
    process = type(target.process)(parent, read_stat(parent).start_time, target.process.boot_id)
    pidfd = os.pidfd_open(parent)
    other = Guard.start(tmp_path / "holds")
    try:
        guard.release(guard.hold(target.process, target.pidfd, Freeze.SIGSTOP))
        hold = other.hold(process, pidfd, Freeze.SIGSTOP)
        assert guard.bystanders() == ""
        assert other.release(hold).held_throughout
        # And by the same guard, in the second after.
        guard.release(guard.hold(target.process, target.pidfd, Freeze.SIGSTOP))
        hold = guard.hold(process, pidfd, Freeze.SIGSTOP)
        assert guard.release(hold).held_throughout
        assert guard.bystanders() == ""
    finally:
        other.close()
        os.close(pidfd)


def test_a_parent_that_is_not_told_costs_no_second(guard: Guard, below: Below) -> None:
    target = below(_needed(HARMLESS["setsid"]))
    assert bystanders_of(target.pid) == []
    guard.release(guard.hold(target.process, target.pidfd, Freeze.SIGSTOP))
    began = time.monotonic()
    assert guard.bystanders() == ""
    assert time.monotonic() - began < 0.5


def test_the_commands_say_it(below: Below, tmp_path: Path) -> None:
    target = below(below_stopper("waits"))
    parent = parent_of(target)
    freeze_wait(lambda: bool(refusal(target)), "it waits")
    arguments = ("advise", "cold", target.pid, "--select", "kind:heap", "--freeze", "sigstop")
    refused = memtui(*arguments, state_dir=tmp_path)
    assert refused.returncode == 1
    assert f"its parent, process {parent} (python" in refused.stderr
    done = memtui(*arguments, "--allow-protected", "--json", state_dir=tmp_path)
    (row,) = rows(done)
    assert row["freeze"] == "sigstop"
    assert row["holds"] >= 1
    assert state(parent) != "T"
    if row["bystanders"] is not None:
        # A hold can be over before its parent has come to see it.
        assert f"process {parent} (python" in row["bystanders"]
    target.assert_free()


# Refused: what the end of one process would kill


def test_a_group_that_hangs_on_one_process_is_refused(below: Below) -> None:
    target = below(below_stopper("ignores", own_group=True))
    parent = parent_of(target)
    freeze_wait(lambda: read_stat(target.pid).process_group == target.pid, "it has a group of its own")
    assert only_link(read_stat(target.pid)) == parent
    words = refusal(target)
    assert words is not None
    assert f"hangs on process {parent} (python" in words
    assert "SIGHUP" in words
    assert refusal(target, override=True) is None
    # And so it is: stopped, it dies of its parent's end.
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: set(target.states()) == {"T"}, "it stops")
    target.popen.kill()
    freeze_wait(
        lambda: not Path(f"/proc/{target.pid}").exists() or state(target.pid) == "Z", "SIGHUP ends it"
    )


def test_a_group_that_is_orphaned_already_is_not_refused(below: Below) -> None:
    target = below(below_stopper("ignores"))
    assert only_link(read_stat(target.pid)) is None, "its parent is in its group, and the session's leader"
    assert refusal(target) is None
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: set(target.states()) == {"T"}, "it stops")
    target.popen.kill()
    target.popen.wait(10)
    assert set(target.states()) == {"T"}
    target.signal(signal.SIGCONT)
    target.assert_free()


_TWO = """
import os, sys
# Two children in one group, each below another parent of this session, in two other groups.
first = os.fork()
if first == 0:
    os.setpgid(0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
os.setpgid(first, first)
middle = os.fork()
if middle == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        os.setpgid(0, first)
        os.execvp("sleep", ["sleep", "600"])
    os.wait()
    os._exit(0)
while os.wait()[0] != first:
    pass
"""


def test_a_group_with_two_links_is_not_refused(below: Below) -> None:
    target = below([sys.executable, "-c", _TWO])
    group = target.pid

    def members() -> list[int]:
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _group_of(int(entry.name)) == group
        ]

    freeze_wait(lambda: len(members()) == 2, "both are in the group")
    (second,) = set(members()) - {target.pid}
    middle = read_stat(second).parent
    try:
        assert only_link(read_stat(target.pid)) is None
        assert refusal(target) is None
        # With the end of one of the two it hangs on the other.
        os.kill(middle, signal.SIGKILL)
        freeze_wait(lambda: read_stat(second).parent != middle, "one link is gone")
        assert only_link(read_stat(target.pid)) == target.popen.pid
    finally:
        os.kill(second, signal.SIGKILL)


def _group_of(pid: int) -> int:
    with suppress(Exception):
        return read_stat(pid).process_group
    return 0


# What a user cannot make good is refused for good


def test_a_parent_that_may_not_be_continued_is_refused_for_good(below: Below, nobodys_dir: Path) -> None:
    runner = _needed(["runuser", "-u", "nobody", "--", "sleep", "600"])
    popen = subprocess.Popen(runner, start_new_session=True)
    try:
        freeze_wait(lambda: bool(_children(popen.pid)), "it runs")
        (child,) = _children(popen.pid)
        freeze_wait(lambda: read_stat(child).name == "sleep", "it is sleep")
        arguments = ("advise", "cold", child, "--freeze", "sigstop", "--allow-protected")
        program = as_user(NOBODY, command("--state-dir", nobodys_dir, *arguments), "+sys_nice")
        refused = subprocess.run(program, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"process {popen.pid} (runuser), stops itself" in refused.stderr
        assert "you may not continue it" in refused.stderr
        assert state(popen.pid) == "S"
    finally:
        for pid in (*_children(popen.pid), popen.pid):
            os.kill(pid, signal.SIGKILL)
        popen.wait(10)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# A crash in the second after: see tests/faults


def test_the_guard_sees_to_it_when_the_engine_is_gone(below: Below, tmp_path: Path) -> None:
    target = below(below_stopper("signal"))
    parent = parent_of(target)
    guard = Guard.start(tmp_path / "holds")
    guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
    freeze_wait(lambda: state(parent) == "T", "its parent stops itself")
    guard.drop()
    freeze_wait(lambda: state(parent) != "T", "its parent is continued", 1.0)
    target.assert_free()
    guard.close()
    assert not replay(tmp_path / "holds").thawed
    assert not list((tmp_path / "holds").glob("*"))

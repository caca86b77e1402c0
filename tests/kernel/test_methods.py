"""Where the methods differ: who was stopped before, who is refused, and what comes from outside."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memtui.freeze import journal
from memtui.freeze.client import FreezeError, Guard
from memtui.freeze.journal import Entry, Journal
from memtui.freeze.method_info import choices, why_not
from memtui.freeze.recovery import replay
from memtui.freeze.threads import state_words
from memtui.linux import sysinfo
from memtui.linux.cgroup import Group, group_at, may_be_frozen_without, mounts, path_of
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze, ThawOutcome
from memtui.model.process import ProcessId
from memtui.model.reasons import Reason
from memtui.render.freeze import describe_choice
from tests.conftest import need
from tests.kernel.children import FreezeTarget, freeze_wait
from tests.kernel.toolkit import memtui, rows

Make = Callable[..., FreezeTarget]
METHODS = [Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP]
JOURNALLED = [Freeze.SIGSTOP, Freeze.CGROUP]


@pytest.fixture(scope="session")
def top(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """The root of the version 2 hierarchy; mounted for the test where it is not."""
    mounted = None
    if not mounts():
        mounted = tmp_path_factory.mktemp("cgroup2")
        done = subprocess.run(["mount", "-t", "cgroup2", "none", mounted], capture_output=True, check=False)
        need(done.returncode == 0, f"no cgroup2 here: {done.stderr.decode().strip()}")
    found = group_at("/")
    need(found is not None, "the root of the cgroup2 hierarchy is not to be seen")
    assert found is not None
    yield found
    if mounted is not None:
        subprocess.run(["umount", mounted], check=True)


@pytest.fixture
def group(top: Group) -> Iterator[Group]:
    """A group for targets; whoever stands in it at the end goes to the root."""
    made = top.child(f"test-{os.getpid()}-{time.monotonic_ns()}")
    made.make()
    yield made
    made.set_freeze(False)
    for pid in made.pids():
        top.take_in(pid)
    freeze_wait(lambda: not made.is_populated(), "the group is empty")
    assert not [name for name in os.listdir(made.folder) if name.startswith("memtui-")]
    made.remove()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Guard]:
    """The guard of another memtui on the same machine."""
    other = Guard.start(tmp_path / "holds")
    yield other
    other.close()


def hold_fails(guard: Guard, target: FreezeTarget, method: Freeze) -> FreezeError:
    with pytest.raises(FreezeError) as caught:
        guard.hold(target.process, target.pidfd, method)
    assert guard.is_alive()
    return caught.value


# Found stopped, frozen, traced: left so


@pytest.mark.parametrize("method", METHODS)
def test_who_was_stopped_before_stays_stopped(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 3)
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: target.states() == "TTT", "it stops")
    before = target.counters()
    for _ in range(3):
        hold = guard.hold(target.process, target.pidfd, method)
        assert hold.threads == 3
        released = guard.release(hold)
        assert released.held_throughout, released
        freeze_wait(lambda: target.states() == "TTT", "it is stopped as before")
        assert target.counters() == before
    target.signal(signal.SIGCONT)
    target.assert_free()


def test_a_sigcont_from_outside_is_told(guard: Guard, make: Make) -> None:
    target = make("idle", 3)
    hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
    target.signal(signal.SIGCONT)
    target.assert_progress()
    released = guard.release(hold)
    assert (released.held_throughout, released.why) == (False, "continued from outside (SIGCONT)")
    target.assert_free()


@pytest.mark.parametrize("was_stopped", [False, True])
def test_a_sigcont_that_was_followed_by_a_stop_is_told(guard: Guard, make: Make, was_stopped: bool) -> None:
    target = make("idle", 3)
    if was_stopped:
        target.signal(signal.SIGSTOP)
        freeze_wait(lambda: target.states() == "TTT", "it stops")
    hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
    target.signal(signal.SIGCONT)
    target.assert_progress()
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: target.states() == "TTT", "it stops again")
    released = guard.release(hold)
    assert not released.held_throughout
    assert "woken from outside" in (released.why or "")
    target.signal(signal.SIGCONT)
    target.assert_free()


def test_a_thaw_from_outside_is_told(guard: Guard, make: Make) -> None:
    target = make("idle", 3)
    hold = guard.hold(target.process, target.pidfd, Freeze.CGROUP)
    group = target.held_group()
    assert group is not None
    group.set_freeze(False)
    target.assert_progress()
    assert guard.release(hold).why == "thawed from outside"
    target.assert_free()


def test_a_move_out_of_the_cgroup_is_told(guard: Guard, make: Make, top: Group) -> None:
    target = make("idle", 3)
    hold = guard.hold(target.process, target.pidfd, Freeze.CGROUP)
    top.take_in(target.pid)
    target.assert_progress()
    released = guard.release(hold)
    assert not released.held_throughout
    assert "from outside" in (released.why or "")
    target.assert_free()


@pytest.mark.parametrize("method", JOURNALLED)
def test_who_was_frozen_before_is_refused_and_stays_frozen(
    guard: Guard, make: Make, group: Group, method: Freeze
) -> None:
    target = make("idle", 3)
    group.take_in(target.pid)
    group.set_freeze(True)
    freeze_wait(group.is_frozen, "it is frozen")
    error = hold_fails(guard, target, method)
    assert error.reason is Reason.FREEZE_REFUSED
    assert f"somebody froze its cgroup already ({group.folder})" in str(error)
    before = target.counters()
    assert group.is_frozen()
    assert path_of(target.pid) == f"/{Path(group.folder).name}"
    assert target.counters() == before
    group.set_freeze(False)
    target.assert_progress()


def test_who_was_frozen_before_stays_so_after_ptrace(guard: Guard, make: Make, group: Group) -> None:
    target = make("idle", 3)
    group.take_in(target.pid)
    group.set_freeze(True)
    freeze_wait(group.is_frozen, "it is frozen")
    hold = guard.hold(target.process, target.pidfd, Freeze.PTRACE)
    before = target.counters()
    assert guard.release(hold).held_throughout
    freeze_wait(group.is_frozen, "it is frozen as before")
    assert target.counters() == before
    group.set_freeze(False)
    target.assert_free_of_tracer()
    target.assert_progress()


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A group of the version 1 freezer, thawed and removed at the end; mounted for the test if it is not."""
    place = next((Path(mount.point) for mount in mounts("freezer")), None)
    mounted = None
    if place is None:
        mounted = place = Path(tempfile.mkdtemp(prefix="memtui-test-freezer-"))
        program = ["mount", "-t", "cgroup", "-o", "freezer", "none", place]
        done = subprocess.run(program, capture_output=True, check=False)
        if done.returncode:
            place.rmdir()
            need(False, f"no version 1 freezer here: {done.stderr.decode().strip()}")
    made = place / f"test-{os.getpid()}-{time.monotonic_ns()}"
    made.mkdir()
    yield made
    (made / "freezer.state").write_text("THAWED")
    for pid in (made / "cgroup.procs").read_text().split():
        (place / "cgroup.procs").write_text(pid)
    made.rmdir()
    if mounted is not None:
        subprocess.run(["umount", mounted], check=True)
        mounted.rmdir()


@pytest.mark.parametrize("method", METHODS)
def test_who_was_frozen_by_version_1_is_refused_and_the_freeze_named(
    guard: Guard, make: Make, freezer: Path, method: Freeze, tmp_path: Path
) -> None:
    target = make("idle", 3)
    (freezer / "cgroup.procs").write_text(str(target.pid))
    assert why_not(target.process, method) is None
    (freezer / "freezer.state").write_text("FROZEN")
    freeze_wait(lambda: (freezer / "freezer.state").read_text() == "FROZEN\n", "it is frozen")
    refused = why_not(target.process, method, allow_protected=True)
    assert refused is not None
    assert refused.reason is Reason.FREEZE_REFUSED
    assert str(freezer) in str(refused)
    line = describe_choice(choices(target.process)[list(Freeze).index(method)])
    assert line.startswith("not available")
    assert str(freezer) in line
    said = memtui("doctor", target.pid, "--json", state_dir=tmp_path)
    (finding,) = [row for row in rows(said) if row["check"] == "freeze of it"]
    assert finding["ok"] is False
    assert str(freezer) in finding["finding"]
    error = hold_fails(guard, target, method)
    assert error.reason is Reason.FREEZE_REFUSED
    # Frozen since the guard looked: it says what keeps it, and not a vfork child.
    assert str(freezer) in state_words(target.pid, target.pid, 3, 1)
    (freezer / "freezer.state").write_text("THAWED")
    target.assert_free()


def test_a_freeze_of_our_own_cgroup_is_told_where_the_method_is_chosen(make: Make, group: Group) -> None:
    target = make("idle", 3)
    home = path_of(os.getpid())
    assert home is not None
    mine = group_at(home)
    assert mine is not None

    def told() -> dict[Freeze, bool]:
        return {item.method: "cgroup is frozen" in describe_choice(item) for item in choices(target.process)}

    try:
        group.take_in(os.getpid())
        assert told() == {Freeze.OFF: False, **dict.fromkeys(METHODS, True)}
        # Frozen with us, it stands for that long anyway.
        group.take_in(target.pid)
        expected = may_be_frozen_without(target.pid)
        assert told() == {Freeze.OFF: False, **dict.fromkeys(METHODS, expected)}
        assert not expected or _v1_group(os.getpid()) != "/"
    finally:
        mine.take_in(os.getpid())


def _v1_group(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next((line.split(":", 2)[2] for line in lines if "freezer" in line.split(":")[1].split(",")), "/")


def test_a_frozen_group_above_is_found_too(guard: Guard, make: Make, group: Group) -> None:
    target, below = make("idle", 2), group.child("below")
    below.make()
    try:
        below.take_in(target.pid)
        group.set_freeze(True)
        freeze_wait(below.is_frozen, "it is frozen")
        error = hold_fails(guard, target, Freeze.CGROUP)
        assert f"({group.folder})" in str(error)
        group.set_freeze(False)
        target.assert_progress()
    finally:
        group.set_freeze(False)
        group.take_in(target.pid)
        freeze_wait(lambda: not below.is_populated(), "it is empty")
        below.remove()


@pytest.mark.parametrize("holder", METHODS)
@pytest.mark.parametrize("method", METHODS)
def test_two_memtui_on_the_same_target(
    guard: Guard, other: Guard, make: Make, holder: Freeze, method: Freeze
) -> None:
    """The second is refused, or holds as well; neither lets go of what the other holds."""
    target = make("idle", 5)
    first = other.hold(target.process, target.pidfd, holder, 10_000)
    before = target.counters()
    second = reason = None
    try:
        second = guard.hold(target.process, target.pidfd, method, 10_000)
    except FreezeError as error:
        reason = error.reason
    if second is None:
        assert reason in (Reason.FREEZE_TRACED, Reason.FREEZE_REFUSED)
    if second is not None:
        assert guard.release(second).held_throughout
    assert not replay(guard._journal_dir or Path()).thawed
    assert target.counters() == before, "the first hold stands"
    released = other.release(first)
    if (holder, method) == (Freeze.SIGSTOP, Freeze.PTRACE):
        # A tracer wakes the threads for a moment, and what they did then is not known.
        assert "woken from outside" in (released.why or "")
    else:
        assert released.held_throughout, released
    target.assert_free()


@pytest.mark.parametrize("holder", METHODS)
@pytest.mark.parametrize("method", METHODS)
def test_the_second_of_two_memtui_never_claims_a_hold_that_was_not(
    guard: Guard, other: Guard, make: Make, holder: Freeze, method: Freeze
) -> None:
    target = make("idle", 5)
    first = other.hold(target.process, target.pidfd, holder, 10_000)
    try:
        second = guard.hold(target.process, target.pidfd, method, 10_000)
    except FreezeError:
        assert other.release(first).held_throughout
        return
    before = target.counters()
    other.release(first)
    # Not a condition to be waited for: that nothing happens.
    time.sleep(0.05)
    stood = target.counters() == before
    released = guard.release(second)
    assert released.held_throughout == stood, (released, stood)
    target.assert_free()


@pytest.mark.parametrize("method", METHODS)
def test_two_memtui_on_different_targets(guard: Guard, other: Guard, make: Make, method: Freeze) -> None:
    mine, theirs = make("idle", 5), make("idle", 5)
    hold = guard.hold(mine.process, mine.pidfd, method, 10_000)
    their_hold = other.hold(theirs.process, theirs.pidfd, method, 10_000)
    mine.assert_frozen(method)
    assert not replay(guard._journal_dir or Path()).thawed
    assert guard.release(hold).held_throughout
    theirs.assert_frozen(method)
    mine.assert_free()
    assert other.release(their_hold).held_throughout
    theirs.assert_free()


# Who never stops, or only in part


@pytest.mark.parametrize("method", JOURNALLED)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_vfork_parent_is_rolled_back(guard: Guard, make: Make, method: Freeze, threads: int) -> None:
    target = make("vfork", threads)
    freeze_wait(target.freeze_children, "it has a child")
    child = os.pidfd_open(target.freeze_children()[0])
    try:
        freeze_wait(lambda: "D" in target.states(), "it waits for its child in state D")
        began = time.monotonic()
        error = hold_fails(guard, target, method)
        assert time.monotonic() - began < 1
        assert error.reason is Reason.FREEZE_TIMEOUT
        assert "did not stop" in str(error)
        assert "state D (waits for a vfork child" in str(error)
        assert target.held_group() is None
        if threads > 1:
            target.assert_free()
    finally:
        signal.pidfd_send_signal(child, signal.SIGKILL)
        os.close(child)
    target.assert_free()
    target.assert_all_progress()


@pytest.mark.parametrize("method", JOURNALLED)
def test_a_zombie_leader_with_live_threads(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("leave", 4)
    freeze_wait(lambda: "Z" in target.states(), "its first thread has exited")
    home = path_of(target.pid)
    for _ in range(3):
        hold = guard.hold(target.process, target.pidfd, method)
        assert hold.threads == 3
        before = target.counters()
        target.held_group()
        assert target.counters() == before
        assert guard.release(hold).held_throughout
        freeze_wait(lambda before=before: min(target.counters()[1:]) > max(before[1:]), "they all go on")
    tids = os.listdir(f"/proc/{target.pid}/task")
    assert {path_of(target.pid, int(tid)) for tid in tids} == {home}


def test_a_process_that_forks_all_the_time_takes_its_children_home(guard: Guard, tmp_path: Path) -> None:
    source = (
        "import os\nprint('up', flush=True)\n"
        "while True:\n    child = os.fork()\n    if child == 0: os._exit(0)\n    os.waitpid(child, 0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as forker:
        try:
            assert forker.stdout is not None
            assert forker.stdout.readline() == "up\n"
            process = ProcessId(forker.pid, read_stat(forker.pid).start_time, sysinfo.boot_id())
            pidfd = os.pidfd_open(forker.pid)
            home = path_of(forker.pid)
            for _ in range(20):
                hold = guard.hold(process, pidfd, Freeze.CGROUP)
                assert guard.release(hold).held_throughout
                assert path_of(forker.pid) == home
            os.close(pidfd)
        finally:
            forker.kill()


def test_of_a_group_of_many_only_the_target_is_frozen(guard: Guard, make: Make, group: Group) -> None:
    target, bystander = make("idle", 3), make("idle", 3)
    for each in (target, bystander):
        group.take_in(each.pid)
    hold = guard.hold(target.process, target.pidfd, Freeze.CGROUP)
    held = target.held_group()
    assert held is not None
    assert Path(held.folder).parent == Path(group.folder)
    target.assert_frozen(Freeze.CGROUP)
    bystander.assert_all_progress()
    assert not group.is_frozen()
    assert guard.release(hold).held_throughout
    assert sorted(group.pids()) == sorted([target.pid, bystander.pid])
    target.assert_free()


def test_a_threaded_cgroup_is_refused(guard: Guard, make: Make, group: Group) -> None:
    target, below = make("idle", 2), group.child("threads")
    below.make()
    try:
        Path(below.folder, "cgroup.type").write_text("threaded")
        group.take_in(target.pid)
        Path(below.folder, "cgroup.threads").write_text(str(target.pid))
        assert below.kind() == "threaded"
        error = hold_fails(guard, target, Freeze.CGROUP)
        assert error.reason is Reason.FREEZE_REFUSED
        assert "threaded" in str(error)
        assert "use --freeze ptrace" in str(error)
        target.assert_free()
    finally:
        target.popen.kill()
        target.popen.wait(10)
        freeze_wait(lambda: not group.is_populated(), "it is empty")
        below.remove()


def test_threads_in_several_groups_are_refused_and_left(guard: Guard, make: Make, top: Group) -> None:
    """Below the root a thread may stand elsewhere than its process: a move would bring it home wrong."""
    target, below = make("idle", 2), top.child(f"test-{os.getpid()}-threads")
    below.make()
    try:
        Path(below.folder, "cgroup.type").write_text("threaded")
        tid = next(int(tid) for tid in os.listdir(f"/proc/{target.pid}/task") if int(tid) != target.pid)
        Path(below.folder, "cgroup.threads").write_text(str(tid))
        where = path_of(target.pid, tid)
        error = hold_fails(guard, target, Freeze.CGROUP)
        assert "its threads stand in several cgroups (threaded)" in str(error)
        assert path_of(target.pid, tid) == where
        target.assert_free()
    finally:
        target.popen.kill()
        target.popen.wait(10)
        freeze_wait(lambda: not below.is_populated(), "it is empty")
        below.remove()


# The foreground job


def _read_until(master: int, wanted: bytes, within_s: float = 10.0) -> bytes:
    data, until = b"", time.monotonic() + within_s
    while wanted not in data:
        assert time.monotonic() < until, data
        if select.select([master], [], [], 0.05)[0]:
            data += os.read(master, 4096)
    return data


@pytest.mark.parametrize("method", METHODS)
def test_a_foreground_cat_of_an_interactive_shell_stays_usable(guard: Guard, method: Freeze) -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(
            "bash", ["bash", "--norc", "--noprofile", "-i"], {**os.environ, "PS1": "$ ", "TERM": "dumb"}
        )
    try:
        os.write(master, b"cat\n")

        def cats() -> list[int]:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return [int(child) for child in children if read_stat(int(child)).name == "cat"]

        freeze_wait(cats, "cat runs")
        cat = cats()[0]
        freeze_wait(lambda: read_stat(cat).foreground_group == cat, "it is in the foreground")
        process = ProcessId(cat, read_stat(cat).start_time, sysinfo.boot_id())
        pidfd = os.pidfd_open(cat)
        if method is Freeze.SIGSTOP:
            with pytest.raises(FreezeError) as caught:
                guard.hold(process, pidfd, method)
            assert caught.value.reason is Reason.FREEZE_REFUSED
            assert "foreground of its terminal" in str(caught.value)
            assert "use --freeze ptrace" in str(caught.value)
            assert str(caught.value).count("use --freeze") == 1
        else:
            assert guard.release(guard.hold(process, pidfd, method)).held_throughout
        os.close(pidfd)
        os.write(master, b"still here\n")
        # Once as the terminal's echo, once from cat.
        assert _read_until(master, b"still here\r\nstill here\r\n")
        os.write(master, b"\x04")
        os.write(master, b"echo $((6*7))\n")
        assert b"Stopped" not in _read_until(master, b"\n42\r\n")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


# What is said of each method beforehand


def test_each_method_is_told_in_a_line(make: Make) -> None:
    target = make("idle", 3)
    told = {item.method: item for item in choices(target.process)}
    assert list(told) == list(Freeze)
    assert all(item.available for item in told.values()), told
    assert all(
        "3 threads" in describe_choice(item) and "\n" not in describe_choice(item) for item in told.values()
    )
    assert "the kernel lets it run on" in describe_choice(told[Freeze.PTRACE])
    assert f"process {os.getpid()} (" in describe_choice(told[Freeze.SIGSTOP])
    assert "memtui thaw" in describe_choice(told[Freeze.SIGSTOP])
    assert "memtui thaw" in describe_choice(told[Freeze.CGROUP])
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: target.states() == "TTT", "it stops")
    assert "stopped already" in describe_choice(choices(target.process)[list(Freeze).index(Freeze.SIGSTOP)])


def test_who_is_locked_out_is_so_for_every_method() -> None:
    for pid in (1, os.getpid(), os.getppid()):
        process = ProcessId(pid, read_stat(pid).start_time, sysinfo.boot_id())
        for method in METHODS:
            refused = why_not(process, method, allow_protected=True)
            assert refused is not None
            assert refused.reason is Reason.FREEZE_REFUSED
            assert str(pid) in str(refused)
        told = choices(process)
        assert [item.method for item in told if item.available] == [Freeze.OFF]


# The journal


def entry_of(target: FreezeTarget, **more: object) -> Entry:
    fields = {"boot_id": sysinfo.boot_id(), "method": "sigstop", **more}
    return Entry(pid=target.pid, start_time=target.process.start_time, **fields)  # type: ignore[arg-type]


def write(folder: Path, *lines: str, name: str = "999999-0.journal") -> Path:
    journal.prepare_folder(folder)
    path = folder / name
    path.write_text("".join(line + "\n" for line in lines))
    return path


def as_line(entry: Entry) -> str:
    return json.dumps({name: getattr(entry, name) for name in entry.__slots__})


def test_a_replay_releases_only_the_very_process_that_was_stopped(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "holds"
    target = make("idle", 3)
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: target.states() == "TTT", "it stops")
    others = (
        entry_of(target, boot_id="another boot"),
        entry_of(target, was_stopped=True),
        Entry(sysinfo.boot_id(), target.pid, target.process.start_time + 1, "sigstop"),
    )
    for other in others:
        path = write(folder, as_line(other))
        assert not replay(folder).thawed
        assert not path.exists()
        assert target.states() == "TTT"
    write(folder, as_line(entry_of(target)))
    (thawed,) = replay(folder).thawed
    assert (thawed.pid, thawed.method, thawed.outcome) == (target.pid, Freeze.SIGSTOP, ThawOutcome.RELEASED)
    target.assert_free()


def test_a_torn_journal_is_kept_aside_and_what_is_whole_of_it_replayed(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "holds"
    target = make("idle", 3)
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: target.states() == "TTT", "it stops")
    whole = as_line(entry_of(target))
    path = write(folder, "\x00\xff garbage", "[]", '{"pid": "1"}', whole, whole[:20])
    replayed = replay(folder)
    assert [item.outcome for item in replayed.thawed] == [ThawOutcome.RELEASED]
    assert len(replayed.remarks) == 1
    assert not path.exists()
    assert not replay(folder).remarks
    target.assert_free()


def test_the_journal_of_a_living_guard_is_not_touched(guard: Guard, make: Make, tmp_path: Path) -> None:
    target = make("idle", 3)
    hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP, 10_000)
    (path,) = (tmp_path / "holds").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert json.loads(content)["pid"] == target.pid
    assert replay(tmp_path / "holds").thawed == ()
    assert path.read_bytes() == content
    target.assert_frozen(Freeze.SIGSTOP)
    assert guard.release(hold).held_throughout
    assert path.read_bytes() == b"", "nothing is held, so nothing stands in it"


def test_a_journal_cannot_name_a_cgroup_that_is_not_ours(make: Make, tmp_path: Path, group: Group) -> None:
    target = make("idle", 2)
    group.take_in(target.pid)
    group.set_freeze(True)
    freeze_wait(group.is_frozen, "it is frozen")
    home = str(Path(group.folder).parent)
    write(tmp_path / "holds", as_line(entry_of(target, method="cgroup", home=home, group=group.folder)))
    (thawed,) = replay(tmp_path / "holds").thawed
    assert thawed.outcome is ThawOutcome.FAILED
    assert group.is_frozen()
    assert path_of(target.pid) == f"/{Path(group.folder).name}"


def test_a_journal_that_was_removed_is_begun_anew(guard: Guard, make: Make, tmp_path: Path) -> None:
    target = make("idle", 2)
    assert guard.release(guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)).held_throughout
    (path,) = (tmp_path / "holds").iterdir()
    path.unlink()
    hold = guard.hold(target.process, target.pidfd, Freeze.SIGSTOP)
    (path,) = (tmp_path / "holds").iterdir()
    assert json.loads(path.read_text())["pid"] == target.pid
    assert guard.release(hold).held_throughout


@pytest.mark.parametrize("method", JOURNALLED)
def test_without_a_journal_only_ptrace_holds(make: Make, tmp_path: Path, method: Freeze) -> None:
    target = make("idle", 2)
    closed = tmp_path / "file"
    closed.write_text("")
    for place in (None, closed, closed / "below"):
        guard = Guard.start(place)
        try:
            error = hold_fails(guard, target, method)
            assert error.reason is Reason.FREEZE_NO_JOURNAL
            target.assert_free()
            assert guard.release(guard.hold(target.process, target.pidfd, Freeze.PTRACE)).held_throughout
        finally:
            guard.close()


def test_a_folder_that_others_may_write_is_not_trusted(make: Make, tmp_path: Path) -> None:
    target = make("idle", 2)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    guard = Guard.start(open_to_all)
    try:
        assert hold_fails(guard, target, Freeze.SIGSTOP).reason is Reason.FREEZE_NO_JOURNAL
    finally:
        guard.close()


def test_a_journal_takes_more_than_one_and_forgets_them_one_by_one(make: Make, tmp_path: Path) -> None:
    one, two = make(), make()
    book = Journal(tmp_path / "holds")
    book.add(entry_of(one))
    book.add(entry_of(two))
    (path,) = (tmp_path / "holds").iterdir()
    assert path.read_text().splitlines() == [as_line(entry_of(one)), as_line(entry_of(two))]
    book.drop(entry_of(one))
    # A new file took its place, so that a kill in the middle loses nothing.
    (path,) = (tmp_path / "holds").iterdir()
    assert path.read_text().splitlines() == [as_line(entry_of(two))]
    book.close()
    assert path.exists(), "what still stands in it is for the next start"
    book.drop(entry_of(two))
    book.close()
    assert not path.parent.exists()

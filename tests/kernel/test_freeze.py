"""The guard and its methods on the real kernel: what is held stands still, and what was held runs on."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from memtui.freeze.client import FreezeError, Guard, Released
from memtui.freeze.protected import NAMES, ancestors, refuse_reason
from memtui.linux import sysinfo
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId
from memtui.model.reasons import Reason
from tests.kernel.children import FreezeTarget, freeze_engine_command, freeze_wait

Make = Callable[..., FreezeTarget]
_LETTER = {Freeze.PTRACE: "t", Freeze.SIGSTOP: "T", Freeze.CGROUP: "S"}
METHODS = [Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP]


def id_of(pid: int) -> ProcessId:
    return ProcessId(pid, read_stat(pid).start_time, sysinfo.boot_id())


@pytest.mark.parametrize("threads", [1, 100, 1000])
@pytest.mark.parametrize("mode", ["idle", "busy"])
@pytest.mark.parametrize("method", METHODS)
def test_every_thread_stands_still_and_then_goes_on(
    guard: Guard, make: Make, mode: str, threads: int, method: Freeze
) -> None:
    target = make(mode, threads)
    for _ in range(3):
        hold = guard.hold(target.process, target.pidfd, method, 10_000)
        assert hold.threads == threads
        target.assert_frozen(method)
        assert target.tracers() == {guard.pid if method is Freeze.PTRACE else 0}
        released = guard.release(hold)
        assert released.held_throughout
        assert released.why is None
        assert released.held_ms >= hold.stopping_ms > 0
        target.assert_free()
    if (mode, threads) != ("busy", 1000):
        # So many Python threads starve each other of its lock, held or not: most count nothing for minutes.
        target.assert_all_progress()


@pytest.mark.parametrize("method", METHODS)
def test_ten_threads_cost_little(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 10)
    holds = [guard.release(guard.hold(target.process, target.pidfd, method)).held_ms for _ in range(50)]
    # What it takes is for `make bench`: this is far from any of the times that are waited for.
    assert statistics.median(holds) < 50


@pytest.mark.parametrize("method", METHODS)
def test_the_map_does_not_change_while_held(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("mapper")
    maps = Path(f"/proc/{target.pid}/maps")
    first = maps.read_bytes()
    freeze_wait(lambda: maps.read_bytes() != first, "it changes while it runs")
    hold = guard.hold(target.process, target.pidfd, method, 10_000)
    snapshots = {maps.read_bytes() for _ in range(50)}
    assert guard.release(hold).held_throughout
    assert len(snapshots) == 1
    freeze_wait(lambda: maps.read_bytes() not in snapshots, "it changes again")


def test_a_stopped_target_stays_stopped(guard: Guard, make: Make) -> None:
    target = make("idle", 3)
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: target.states() == "TTT", "it stops")
    hold = guard.hold(target.process, target.pidfd, Freeze.PTRACE)
    assert set(target.states()) == {"t"}
    assert guard.release(hold).held_throughout
    freeze_wait(lambda: target.states() == "TTT", "it is stopped as before")
    before = target.counters()
    assert target.tracers() == {0}
    assert target.counters() == before
    target.signal(signal.SIGCONT)
    target.assert_free()


def test_a_stop_that_arrives_while_held_takes_effect_after(guard: Guard, make: Make) -> None:
    target = make("idle", 3)
    hold = guard.hold(target.process, target.pidfd, Freeze.PTRACE)
    target.signal(signal.SIGSTOP)
    target.assert_frozen()
    assert guard.release(hold).held_throughout
    freeze_wait(lambda: target.states() == "TTT", "it stops")
    target.signal(signal.SIGCONT)
    target.assert_free()


_TRACER = """
import os, signal, sys
from memtui.linux import syscalls
open("/proc/self/comm", "w").write("[/x]\\x1b]0;y\\x07")
syscalls.ptrace_seize(int(sys.argv[1]))
print("traced", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("traced", ["leader", "last"])
def test_a_traced_target_is_refused_and_its_tracer_named(guard: Guard, make: Make, traced: str) -> None:
    target = make("idle", 5)
    tids = sorted(int(name) for name in os.listdir(f"/proc/{target.pid}/task"))
    tid = tids[0 if traced == "leader" else -1]
    with subprocess.Popen(
        freeze_engine_command(_TRACER, str(tid)), stdout=subprocess.PIPE, text=True
    ) as tracer:
        try:
            assert tracer.stdout is not None
            assert tracer.stdout.readline() == "traced\n"
            with pytest.raises(FreezeError) as caught:
                guard.hold(target.process, target.pidfd, Freeze.PTRACE)
            assert caught.value.reason is Reason.FREEZE_TRACED
            assert f"process {tracer.pid} ([/x]\x1b]0;y\x07)" in str(caught.value)
            # At once, and not after a while: the error says that nothing is held.
            assert target.tracers() == {0, tracer.pid}
            assert not set(target.states()) & set("tT")
            assert guard.is_alive() == (traced == "leader")
            target.assert_all_progress()
        finally:
            tracer.kill()
    freeze_wait(lambda: target.tracers() == {0}, "its tracer is gone")
    new = guard if guard.is_alive() else Guard.start()
    assert new.release(new.hold(target.process, target.pidfd, Freeze.PTRACE)).held_throughout
    new.close()


def test_a_vfork_parent_is_rolled_back_and_runs_on(guard: Guard, make: Make) -> None:
    target = make("vfork", 3)
    freeze_wait(target.freeze_children, "it has a child")
    child = os.pidfd_open(target.freeze_children()[0])
    try:
        freeze_wait(lambda: "D" in target.states(), "it waits for its child in state D")
        began = time.monotonic()
        with pytest.raises(FreezeError) as caught:
            guard.hold(target.process, target.pidfd, Freeze.PTRACE)
        assert time.monotonic() - began < 1
        assert caught.value.reason is Reason.FREEZE_TIMEOUT
        assert "1 of 3 threads did not stop" in str(caught.value)
        assert "state D" in str(caught.value)
        assert not guard.is_alive()
        target.assert_free()
    finally:
        signal.pidfd_send_signal(child, signal.SIGKILL)
        os.close(child)
    target.assert_all_progress()
    with pytest.raises(FreezeError) as caught:
        guard.hold(target.process, target.pidfd, Freeze.PTRACE)
    assert caught.value.reason is Reason.FREEZE_NO_GUARD


@pytest.mark.parametrize("method", METHODS)
def test_the_deadline_lets_go_by_itself_and_tells(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 5)
    hold = guard.hold(target.process, target.pidfd, method, 100)
    target.assert_frozen(method)
    target.assert_free()
    released = guard.release(hold)
    assert not released.held_throughout
    assert released.why == "deadline"
    assert 100 <= released.held_ms < 200
    again = guard.hold(target.process, target.pidfd, method)
    assert guard.release(again).held_throughout


@pytest.mark.parametrize("asked", ["before", "after"])
@pytest.mark.parametrize("method", METHODS)
def test_a_guard_that_its_own_alarm_ends_has_kept_its_deadline(
    guard: Guard, make: Make, method: Freeze, asked: str
) -> None:
    target = make("idle", 3)
    hold = guard.hold(target.process, target.pidfd, method, 200)
    os.kill(guard.pid, signal.SIGSTOP)
    released: list[Released] = []
    asker = threading.Thread(target=lambda: released.append(guard.release(hold)))
    if asked == "before":
        asker.start()
        freeze_wait(guard._lock.locked, "the request is being made")
    freeze_wait(lambda: _is_pending(guard.pid, signal.SIGALRM), "its alarm rings while it hangs")
    os.kill(guard.pid, signal.SIGCONT)
    if asked == "after":
        freeze_wait(lambda: not guard.is_alive(), "the alarm ends it")
        asker.start()
    asker.join(10)
    target.assert_free()
    assert [(item.held_throughout, item.why) for item in released] == [(False, "deadline")]


def _is_pending(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    bits = next(int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd:"))
    return bool(bits >> number - 1 & 1)


@pytest.mark.parametrize("method", METHODS)
def test_panic_lets_go_of_what_is_held(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 5)
    hold = guard.hold(target.process, target.pidfd, method, 60_000)
    target.assert_frozen(method)
    guard.panic()
    target.assert_free()
    released = guard.release(hold)
    assert not released.held_throughout
    assert released.why == "panic"
    again = guard.hold(target.process, target.pidfd, method)
    assert guard.release(again).held_throughout


def test_panic_works_from_a_signal_handler_while_the_main_thread_waits(guard: Guard, make: Make) -> None:
    target = make("vfork", 2)
    freeze_wait(target.freeze_children, "it has a child")
    freeze_wait(lambda: "D" in target.states(), "it waits for its child in state D")
    old = signal.signal(signal.SIGUSR1, lambda *_: guard.panic())

    def press() -> None:
        freeze_wait(lambda: guard.pid in target.tracers(), "it is being stopped")
        os.kill(os.getpid(), signal.SIGUSR1)

    presser = threading.Thread(target=press)
    try:
        presser.start()
        began = time.monotonic()
        with pytest.raises(FreezeError) as caught:
            guard.hold(target.process, target.pidfd, Freeze.PTRACE)
        assert caught.value.reason is Reason.CANCELLED
        assert time.monotonic() - began < 0.45, "it was the panic, and not the timeout"
        target.assert_free()
    finally:
        presser.join()
        signal.signal(signal.SIGUSR1, old)
        os.kill(target.freeze_children()[0], signal.SIGKILL)


def test_a_panic_that_overtakes_the_request_counts_too(guard: Guard, make: Make) -> None:
    target = make("idle", 3)
    os.kill(guard.pid, signal.SIGSTOP)
    freeze_wait(lambda: read_stat(guard.pid).state == "T", "the guard hears nothing for now")
    caught: list[FreezeError] = []

    def ask() -> None:
        try:
            guard.hold(target.process, target.pidfd, Freeze.PTRACE, 60_000)
        except FreezeError as error:
            caught.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    freeze_wait(guard._lock.locked, "the request is being made")
    guard.panic()
    os.kill(guard.pid, signal.SIGCONT)
    asker.join(5)
    assert not asker.is_alive()
    assert [error.reason for error in caught] == [Reason.CANCELLED]
    target.assert_free()
    again = guard.hold(target.process, target.pidfd, Freeze.PTRACE)
    assert guard.release(again).held_throughout


@pytest.mark.parametrize("method", METHODS)
def test_dropping_the_sockets_lets_go(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 5)
    hold = guard.hold(target.process, target.pidfd, method, 60_000)
    guard.drop()
    guard.drop()
    target.assert_free()
    released = guard.release(hold)
    assert not released.held_throughout
    assert released.why == "memtui was told to end, and let everything go at once"
    with pytest.raises(FreezeError) as caught:
        guard.hold(target.process, target.pidfd, method)
    assert caught.value.reason is Reason.CANCELLED
    guard.close()
    guard.close()
    assert not guard.is_alive()


@pytest.mark.parametrize("method", METHODS)
def test_a_held_target_that_is_killed_is_told(guard: Guard, make: Make, method: Freeze) -> None:
    target, other = make("idle", 10), make()
    hold = guard.hold(target.process, target.pidfd, method, 60_000)
    target.popen.kill()
    assert target.popen.wait(5) == -signal.SIGKILL
    released = guard.release(hold)
    assert not released.held_throughout
    assert released.why == "exited"
    assert guard.is_alive()
    assert guard.release(guard.hold(other.process, other.pidfd, method)).held_throughout


def test_a_zombie_leader_does_not_hide_its_threads(guard: Guard, make: Make) -> None:
    target = make("leave", 4)
    freeze_wait(lambda: "Z" in target.states(), "its first thread has exited")
    before = target.counters()
    hold = guard.hold(target.process, target.pidfd, Freeze.PTRACE)
    assert sorted(target.states()) == ["Z", "t", "t", "t"]
    assert guard.release(hold).held_throughout
    freeze_wait(lambda: min(target.counters()[1:]) > max(before), "they all go on")
    assert target.tracers() == {0}


@pytest.mark.parametrize("method", METHODS)
def test_a_dead_process_is_not_held(guard: Guard, make: Make, method: Freeze) -> None:
    target = make()
    target.popen.kill()
    freeze_wait(lambda: target.states() in ("Z", ""), "it is a zombie")
    with pytest.raises(FreezeError) as caught:
        guard.hold(target.process, target.pidfd, method)
    assert caught.value.reason is Reason.EXITED
    assert guard.is_alive()


@pytest.mark.parametrize("method", METHODS)
def test_another_process_of_the_same_pid_is_not_held(guard: Guard, make: Make, method: Freeze) -> None:
    target = make()
    other = ProcessId(target.pid, target.process.start_time - 1, target.process.boot_id)
    with pytest.raises(FreezeError) as caught:
        guard.hold(other, target.pidfd, method)
    assert caught.value.reason is Reason.EXITED
    assert target.tracers() == {0}


@pytest.mark.parametrize("method", METHODS)
def test_a_second_hold_is_refused_and_the_first_stands(guard: Guard, make: Make, method: Freeze) -> None:
    first, second = make(), make()
    hold = guard.hold(first.process, first.pidfd, method)
    with pytest.raises(FreezeError) as caught:
        guard.hold(second.process, second.pidfd, method)
    assert f"holds process {first.pid} already" in str(caught.value)
    first.assert_frozen(method)
    assert guard.release(hold).held_throughout
    assert second.tracers() == {0}


def _kernel_thread() -> int:
    return next(
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and read_stat(int(entry.name)).is_kernel_thread
    )


@pytest.mark.parametrize("method", METHODS)
def test_no_flag_lets_the_protected_through(guard: Guard, method: Freeze) -> None:
    kernel_thread = _kernel_thread()
    assert os.getppid() in ancestors()
    cases = {
        1: "init",
        os.getpid(): "memtui itself",
        guard.pid: "memtui itself",
        os.getppid(): "an ancestor of memtui",
        kernel_thread: "a kernel thread",
    }
    for pid, words in cases.items():
        process = id_of(pid)
        said = refuse_reason(process, own_pids=(guard.pid,), allow_protected=True)
        assert said is not None
        assert words in said
        assert str(pid) in said
        pidfd = os.pidfd_open(pid)
        try:
            with pytest.raises(FreezeError) as caught:
                guard.hold(process, pidfd, method)
        finally:
            os.close(pidfd)
        assert caught.value.reason is Reason.FREEZE_REFUSED
        assert words in str(caught.value)
    assert guard.is_alive()


def test_every_ancestor_is_refused() -> None:
    for pid in ancestors():
        assert refuse_reason(id_of(pid), allow_protected=True), pid
    assert 1 in ancestors() or os.getppid() == 0


_NAMES_TO_REFUSE = [
    *("sshd", "sshd-session", "tmux: server", "tmux: client", "screen", "SCREEN", "mosh-server"),
    *("systemd", "systemd-logind", "(sd-pam)", "dbus-daemon", "dbus-broker", "agetty", "mingetty"),
]
_NAMED = """
import sys
for line in sys.stdin:
    open("/proc/self/comm", "w").write(line[:-1])
    print("named", flush=True)
"""


def test_protection_goes_by_names_unless_allowed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as named:
        assert named.stdin is not None
        assert named.stdout is not None
        process = id_of(named.pid)
        assert refuse_reason(process) is None
        for name in _NAMES_TO_REFUSE:
            named.stdin.write(name + "\n")
            named.stdin.flush()
            assert named.stdout.readline() == "named\n"
            said = refuse_reason(process)
            assert said is not None, name
            assert f"process {named.pid} ({name})" in said
            assert any(f"({pattern})" in said for pattern in NAMES)
            assert refuse_reason(process, allow_protected=True) is None


_ASK_PROTECTED = """
import os, sys
from memtui.freeze.protected import refuse_reason
from memtui.linux.procfs import read_stat
from memtui.model.process import ProcessId
if sys.argv[2]:
    os.close(os.open(sys.argv[2], os.O_RDWR))  # of a session leader without one: now its terminal
pid = int(sys.argv[1])
print(refuse_reason(ProcessId(pid, read_stat(pid).start_time, ""), allow_protected=True))
"""


@pytest.mark.parametrize("controlling", [True, False])
def test_whoever_holds_our_terminals_master_is_refused(controlling: bool) -> None:
    master, slave = os.openpty()
    path = os.ttyname(slave)
    source = "import sys; print('up', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", source]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, pass_fds=(master,), **pipes) as holder,
        subprocess.Popen(command, pass_fds=(slave,), **pipes) as bystander,
    ):
        os.close(master)
        for process in (holder, bystander):
            assert process.stdout.readline() == "up\n"
        said = []
        for process in (holder, bystander):
            done = subprocess.run(
                freeze_engine_command(_ASK_PROTECTED, str(process.pid), path if controlling else ""),
                stdin=subprocess.DEVNULL if controlling else slave,
                capture_output=True,
                text=True,
                start_new_session=True,
                check=True,
            )
            said.append(done.stdout.strip())
        os.close(slave)
        holder.stdin.close()
        bystander.stdin.close()
    assert said[0].startswith(f"process {holder.pid} (")
    assert f"holds our terminal {path}" in said[0]
    assert said[1] == "None"


@pytest.mark.parametrize("method", METHODS)
def test_signals_sent_to_a_held_target_arrive_after_it(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("count_signals")
    freeze_wait(target.freeze_news, "it counts signals")
    hold = guard.hold(target.process, target.pidfd, method)
    for _ in range(7):
        target.signal(signal.SIGRTMIN)
    target.assert_frozen(method)
    assert target.counter(0) == 0
    assert guard.release(hold).held_throughout
    freeze_wait(lambda: target.counter(0) == 7, "all signals arrive")


@pytest.mark.parametrize("method", METHODS)
def test_no_signal_is_lost_or_doubled_by_freezing(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("count_signals")
    freeze_wait(target.freeze_news, "it counts signals")
    wanted, done = 3000, threading.Event()

    def all_but_two_of(sent: int) -> bool:
        return target.counter(0) >= sent - 2

    def freeze_and_thaw() -> None:
        while not done.is_set():
            guard.release(guard.hold(target.process, target.pidfd, method))

    freezer = threading.Thread(target=freeze_and_thaw)
    freezer.start()
    try:
        for sent in range(1, wanted + 1):
            target.signal(signal.SIGRTMIN)
            # Not all at once, so that each hold meets signals at another point of their way.
            freeze_wait(partial(all_but_two_of, sent), "signals arrive")
    finally:
        done.set()
        freezer.join()
    freeze_wait(lambda: target.counter(0) >= wanted, "all signals arrive")
    target.assert_free_of_tracer()
    assert target.counter(0) == wanted


@pytest.mark.parametrize("method", METHODS)
def test_the_guard_ignores_what_ends_others(guard: Guard, make: Make, method: Freeze) -> None:
    target = make()
    hold = guard.hold(target.process, target.pidfd, method, 10_000)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGTSTP):
        os.kill(guard.pid, number)
        target.assert_frozen(method)
    assert guard.is_alive()
    assert guard.release(hold).held_throughout


def test_the_guard_stands_apart(guard: Guard) -> None:
    home = Path(f"/proc/{guard.pid}")
    assert os.readlink(home / "cwd") == "/"
    assert b"-I" in (home / "cmdline").read_bytes().split(b"\0")
    assert {os.readlink(home / "fd" / name) for name in "012"} == {"/dev/null"}
    assert os.getsid(guard.pid) == guard.pid
    assert len(list((home / "task").iterdir())) == 1
    rest = {os.readlink(entry) for entry in (home / "fd").iterdir()} - {"/dev/null"}
    assert len([link for link in rest if link.startswith("socket:")]) == 2
    assert all(link.startswith(("socket:", "pipe:", "anon_inode:[pidfd]")) for link in rest)
    assert set((home / "environ").read_bytes().split(b"\0")) <= {b"LC_ALL=C.UTF-8", b""} | {
        item for item in (home / "environ").read_bytes().split(b"\0") if item.startswith(b"LD_LIBRARY_PATH=")
    }


@pytest.mark.parametrize("method", METHODS)
def test_the_guards_death_is_noticed(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 5)
    hold = guard.hold(target.process, target.pidfd, method, 60_000)
    assert guard.is_alive()
    os.kill(guard.pid, signal.SIGKILL)
    target.assert_free()
    released = guard.release(hold)
    assert not released.held_throughout
    assert released.why == "the guard died"
    assert released.held_ms > 0
    assert not guard.is_alive()
    with pytest.raises(FreezeError) as caught:
        guard.hold(target.process, target.pidfd, method)
    assert caught.value.reason is Reason.FREEZE_NO_GUARD


@pytest.mark.parametrize("method", METHODS)
def test_a_guard_that_hangs_is_ended(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("idle", 5)
    hold = guard.hold(target.process, target.pidfd, method, 60_000)
    os.kill(guard.pid, signal.SIGSTOP)
    freeze_wait(lambda: read_stat(guard.pid).state == "T", "the guard hangs")
    target.assert_frozen(method)
    released = guard.release(hold)
    assert not released.held_throughout
    assert "did not answer" in (released.why or "")
    target.assert_free()
    assert not guard.is_alive()


@pytest.mark.parametrize("method", METHODS)
def test_execs_in_the_middle_of_freezing(make: Make, tmp_path: Path, method: Freeze) -> None:
    target = make("execs", 4)
    reasons: dict[str, int] = {}
    guard = Guard.start(tmp_path / "holds")
    try:
        freeze_wait(lambda: target.counter(0) > 1, "it runs its second program")
        until = time.monotonic() + 60
        while target.counter(0) < 40 and time.monotonic() < until:
            if not guard.is_alive():
                guard.close()
                guard = Guard.start(tmp_path / "holds")
            try:
                hold = guard.hold(target.process, target.pidfd, method)
            except FreezeError as error:
                reasons[error.reason.value] = reasons.get(error.reason.value, 0) + 1
                continue
            maps = Path(f"/proc/{target.pid}/maps")
            target.assert_states_frozen(method)
            first = maps.read_bytes()
            assert maps.read_bytes() == first
            assert guard.release(hold).held_throughout
            reasons["held"] = reasons.get("held", 0) + 1
    finally:
        guard.close()
    assert target.counter(0) >= 40, "it has run so many programs"
    assert reasons.get("held", 0) > 50, reasons
    print(reasons)
    assert set(reasons) <= {"held", "freeze_timeout"}, reasons
    freeze_wait(lambda: target.tracers() == {0}, "nobody traces it")
    target.assert_progress(10)


@pytest.mark.parametrize("method", METHODS)
def test_threads_that_come_faster_than_they_are_stopped(guard: Guard, make: Make, method: Freeze) -> None:
    target = make("spawn")
    still = {_LETTER[method], "Z", "X"}
    for _ in range(50):
        hold = guard.hold(target.process, target.pidfd, method)
        before = target.counters()
        if method is Freeze.CGROUP:
            # A thread that ends leaves its cgroup, which is frozen then, after its memory and a moment before
            # its end (do_exit(), kernel/exit.c).
            freeze_wait(lambda: set(target.states()) <= still, "what was ending has ended", 1.0)
        tasks = sorted(os.listdir(f"/proc/{target.pid}/task"))
        assert set(target.states()) <= still
        assert sorted(os.listdir(f"/proc/{target.pid}/task")) == tasks
        assert target.counters() == before
        assert guard.release(hold).held_throughout
    target.assert_progress()


_CUT_LISTING = """
import select, sys
import os
from memtui.freeze import ptrace, threads
from memtui.freeze.bystanders import Bystanders
from memtui.freeze.journal import Journal
from memtui.freeze.method import Subject
pid, whole, cut = int(sys.argv[1]), threads.thread_ids, 0
def cut_short(pid):
    global cut
    cut += 1
    return sorted(whole(pid))[:1] if cut <= 3 else whole(pid)
threads.thread_ids = cut_short
journal = Journal(None)
freezer = ptrace.PtraceFreezer(Subject(pid, 0, os.pidfd_open(pid), journal, Bystanders(journal), print))
while not freezer.advance():
    for tid, status in ptrace.waited():
        freezer.on_wait_status(tid, status)
print(cut > 3, freezer.threads, flush=True)
sys.stdin.readline()
print(freezer.release(), freezer.lost)
"""


def test_a_listing_of_threads_that_ends_early_does_not_deceive(make: Make) -> None:
    """As the kernel's does where a thread dies while it is read; here it is cut short by hand."""
    target = make("idle", 5)
    with subprocess.Popen(
        freeze_engine_command(_CUT_LISTING, str(target.pid)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tracer:
        assert tracer.stdin is not None
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == "True 5\n"
        target.assert_frozen()
        tracer.stdin.close()
        assert tracer.stdout.readline() == "True None\n"
    target.assert_free()


_PLANTED_ENGINE = """
import os, sys
os.environ["PYTHONPATH"] = os.getcwd()
from memtui.freeze.client import Guard
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId
sys.path = [entry for entry in sys.path if entry not in ("", os.getcwd())]
pid = int(sys.argv[1])
guard = Guard.start()
hold = guard.hold(ProcessId(pid, read_stat(pid).start_time, ""), os.pidfd_open(pid), Freeze.PTRACE)
print(guard.release(hold).held_throughout)
guard.close()
"""


def test_a_memtui_folder_in_the_current_directory_is_not_imported(tmp_path: Path, make: Make) -> None:
    target = make()
    planted = tmp_path / "planted"
    (planted / "memtui" / "freeze").mkdir(parents=True)
    marker = tmp_path / "imported"
    evil = f"open({str(marker)!r}, 'w').close(); raise SystemExit(9)\n"
    for name in ("memtui/__init__.py", "memtui/freeze/__init__.py", "memtui/freeze/guard.py"):
        (planted / name).write_text(evil)
    for name in ("socket.py", "cffi.py", "json.py", "sitecustomize.py", "usercustomize.py"):
        (planted / name).write_text(evil)
    # -I for the engine too, so that it is the guard's own doing that is seen.
    command = freeze_engine_command(_PLANTED_ENGINE, str(target.pid))
    command.insert(1, "-I")
    done = subprocess.run(command, cwd=planted, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert not marker.exists()


_UNPRIVILEGED_ENGINE = """
import ctypes, os, sys
if sys.argv[2] == "first":
    PR_CAPBSET_DROP, CAP_SYS_PTRACE = 24, 19
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) == 0
    # After an exec, root has what the bounding set has left.
    os.execv(sys.executable, [*sys.orig_argv[:-1], "second"])
from memtui.freeze.client import FreezeError, Guard, Released
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId
pid = int(sys.argv[1])
guard = Guard.start()
try:
    guard.hold(ProcessId(pid, read_stat(pid).start_time, ""), os.pidfd_open(pid), Freeze.PTRACE)
except FreezeError as error:
    print(error.reason.value, error)
print(guard.is_alive())
guard.close()
"""


def test_without_the_right_to_trace_it_is_denied(make: Make) -> None:
    target = make("idle", 3)
    command = freeze_engine_command(_UNPRIVILEGED_ENGINE, str(target.pid), "first")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"freeze_denied process {target.pid}: you may not trace this process")
    assert lines[1] == "True"
    target.assert_free()


def test_no_other_child_inherits_the_engines_sockets(guard: Guard) -> None:
    source = "import os, sys; os.execvp('ls', ['ls', '-l', '/proc/self/fd'])"
    done = subprocess.run(
        [sys.executable, "-c", source], close_fds=False, capture_output=True, text=True, check=True
    )
    ours = [os.readlink(f"/proc/self/fd/{fd}") for fd in (guard._engine.fileno(), guard._panic.fileno())]
    assert not [link for link in ours if link in done.stdout]
    for connection in (guard._engine, guard._panic):
        assert connection.type == socket.SOCK_SEQPACKET
        assert not connection.get_inheritable()


def test_a_guard_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FreezeError) as caught:
        Guard.start()
    assert caught.value.reason is Reason.FREEZE_NO_GUARD
    assert "/nowhere/python" in str(caught.value)
    monkeypatch.undo()
    with pytest.raises(FreezeError) as caught:
        Guard.start(pause_at="no such point")
    assert "invalid choice" in str(caught.value)

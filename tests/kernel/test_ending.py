"""A process at its end is not one that execs, that somebody continued or thawed; nor the other way round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from memtui.freeze.client import Guard
from memtui.linux import sysinfo
from memtui.linux.capabilities import reason_of
from memtui.linux.ending import is_ending
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.procfs import read_stat
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.process import Liveness, ProcessId
from memtui.model.reasons import Reason
from tests.kernel.toolkit import MIB, Child

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 192 * MIB
"""So much that to free it takes the kernel some milliseconds."""

_EXECS = (
    "import os, sys; os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', sys.argv[1], sys.argv[1]])"
)


@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("method", [Freeze.PTRACE, Freeze.SIGSTOP, Freeze.CGROUP])
def test_a_target_that_is_killed_while_held_has_exited(
    guard: Guard, child: Child, method: Freeze, run: int
) -> None:
    child.map(SIZE, fill=run)
    process = ProcessId(child.pid, read_stat(child.pid).start_time, sysinfo.boot_id())
    with ProcessHandle(child.pid) as handle:
        hold = guard.hold(process, handle.pidfd, method)
        os.kill(child.pid, signal.SIGKILL)
        released = guard.release(hold)
        assert (released.held_throughout, released.why) == (False, "exited")
        assert handle.is_ending()
        while handle.standing() is Liveness.ALIVE:
            time.sleep(0)
        assert handle.standing() in (Liveness.EXITED, Liveness.ZOMBIE)


def test_a_process_that_dies_is_at_no_moment_one_that_execs() -> None:
    # Whether one of them is seen in the middle of its end is up to the scheduler; of eight, some are.
    between = 0
    for run in range(8):
        with Child() as child:
            child.map(SIZE, fill=run)
            between += _watch_it_die(child)
    assert between, "their memory was gone before their pidfds told"


def _watch_it_die(child: Child) -> int:
    """Kill it and look at it until it is dead; return how often its memory was gone before it was."""
    with ProcessHandle(child.pid) as handle:
        assert not handle.is_ending()
        assert handle.standing() is Liveness.ALIVE
        os.kill(child.pid, signal.SIGKILL)
        seen: set[Liveness] = set()
        between = 0
        while not handle.is_dead():
            seen.add(handle.standing())
            if not os.pread(handle.maps.fileno(), 1, 0):
                between += 1
                with pytest.raises(MemtuiError) as caught:
                    handle.read_maps()
                assert caught.value.reason is Reason.EXITED
                assert reason_of(OSError(3, "", ""), handle) in (Reason.EXITED, Reason.ZOMBIE)
        assert seen <= {Liveness.ALIVE, Liveness.EXITED, Liveness.ZOMBIE}
        return between


def test_a_process_that_execs_is_not_one_that_dies(child: Child) -> None:
    with ProcessHandle(child.pid) as handle:
        child.exec()
        assert handle.standing() is Liveness.EXECED
        assert not handle.is_ending()
        with pytest.raises(MemtuiError) as caught:
            handle.read_maps()
        assert caught.value.reason is Reason.EXECED


def test_a_process_whose_first_thread_has_ended_goes_on(child: Child) -> None:
    child.end_leader()
    assert not is_ending(child.pid)
    with pytest.raises(MemtuiError) as caught:
        ProcessHandle(child.pid)
    assert caught.value.reason is Reason.LEADER_EXITED
    os.kill(child.pid, signal.SIGKILL)
    assert is_ending(child.pid)


@pytest.fixture
def execs() -> Iterator[int]:
    """A process that does nothing but exec."""
    popen = subprocess.Popen([sys.executable, "-I", "-S", "-c", _EXECS, _EXECS])
    yield popen.pid
    popen.kill()
    popen.wait()


def test_a_process_that_execs_all_the_time_is_no_zombie(execs: int) -> None:
    execed = 0
    for _ in range(300):
        with ProcessHandle(execs) as handle:
            standing = handle.standing()
            assert standing in (Liveness.ALIVE, Liveness.EXECED)
            execed += standing is Liveness.EXECED
            # Both files are of one address space.
            assert handle.pagemap_fd is not None
    until = time.monotonic() + 20
    while not execed and time.monotonic() < until:
        with ProcessHandle(execs) as handle:
            while handle.standing() is Liveness.ALIVE:
                time.sleep(0)
            execed += handle.standing() is Liveness.EXECED
    assert execed

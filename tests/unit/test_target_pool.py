"""The pool of open targets: who counts, when a target is disposed of, and what holds up nobody."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from memtui.host.target_pool import TargetPool
from memtui.model.errors import NoSuchProcess
from memtui.model.process import Liveness, ProcessId
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 10.0


class Opened:
    """A target that counts how often it was disposed of."""

    def __init__(self, pid: int, generation: int) -> None:
        self.process = ProcessId(pid, 1, "")
        self.generation = generation
        self.now = Liveness.ALIVE
        self.disposed = 0

    def standing(self) -> Liveness:
        return self.now

    def dispose(self) -> None:
        self.disposed += 1


class Opener:
    """Opens targets; ``gate`` holds it."""

    def __init__(self) -> None:
        self.opened: list[Opened] = []
        self.gate: threading.Event | None = None
        self.began = threading.Event()

    def __call__(self, pid: int) -> Opened:
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(WAIT_S)
        if pid == 0:
            raise NoSuchProcess(Reason.NO_SUCH_PROCESS, "process 0")
        self.opened.append(Opened(pid, len(self.opened) + 1))
        return self.opened[-1]


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def pool(opener: Opener) -> TargetPool[Opened]:
    return TargetPool(opener)


def test_the_last_user_disposes_of_it_and_only_once(pool: TargetPool[Opened]) -> None:
    target = pool.open(7)
    assert pool.open(7) is target
    assert pool.acquire(target)
    for left in (2, 1):
        pool.release(target)
        assert target.disposed == 0, left
        assert pool.get(target.generation) is target
    pool.release(target)
    assert target.disposed == 1
    assert not pool.acquire(target)
    assert pool.get(target.generation) is None
    pool.release(target)
    assert target.disposed == 1


@pytest.mark.parametrize("standing", [Liveness.EXITED, Liveness.ZOMBIE, Liveness.EXECED])
def test_what_runs_no_more_is_opened_again_and_keeps_its_users(
    pool: TargetPool[Opened], standing: Liveness
) -> None:
    old = pool.open(7)
    old.now = standing
    new = pool.open(7)
    assert new is not old
    assert (old.disposed, new.disposed) == (0, 0)
    pool.release(old)
    assert (old.disposed, new.disposed) == (1, 0)
    assert pool.open(7) is new


def test_what_cannot_be_opened_leaves_nothing(pool: TargetPool[Opened], opener: Opener) -> None:
    with pytest.raises(NoSuchProcess):
        pool.open(0)
    assert opener.opened == []


def test_an_opening_that_hangs_holds_up_nobody(pool: TargetPool[Opened], opener: Opener) -> None:
    """The file of a process whose memory is locked may block whoever opens it."""
    known = pool.open(7)
    opener.gate = threading.Event()
    opener.began.clear()
    slow = threading.Thread(target=pool.open, args=(8,), daemon=True)
    slow.start()
    assert opener.began.wait(WAIT_S)
    _at_once(lambda: pool.open(7))
    _at_once(lambda: pool.release(known))
    _at_once(lambda: pool.get(1))
    opener.gate.set()
    slow.join(WAIT_S)
    assert [target.process.pid for target in opener.opened] == [7, 8]


def test_closing_leaves_what_is_in_use_to_its_user(pool: TargetPool[Opened]) -> None:
    used, other = pool.open(7), pool.open(8)
    assert pool.open(7) is used
    pool.close(in_use=[used])
    assert (used.disposed, other.disposed) == (0, 1)
    pool.release(used)
    assert used.disposed == 1


def test_many_threads_count_rightly(pool: TargetPool[Opened], opener: Opener) -> None:
    def use() -> None:
        for _ in range(200):
            pool.release(pool.open(7))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert {target.disposed for target in opener.opened} == {1}


def _at_once(what: Callable[[], object]) -> None:
    """Fail if something waits."""
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    thread.join(2.0)
    assert not thread.is_alive()

"""Whatever is killed, and whenever: the parent that stopped itself with a target runs on, too."""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from memtui.freeze.recovery import replay
from memtui.freeze.thawed_words import describe_thawed
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze, ThawOutcome
from tests.faults.test_guard_faults import HELD_AT, RUNS, STEPS, Engine, is_as_before
from tests.kernel.children import FreezeTarget, below_stopper, freeze_wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS_OF_SIGSTOP = [at for method, at in STEPS if method is Freeze.SIGSTOP]
NOT_TOUCHED_AT = ("before_hold", "hold_received", "journalled")
AT_RANDOM = max(10, RUNS // 20)
_WITHIN_S = 2.5
"""The second in which a parent may stop, and what it takes to see to it."""


@pytest.fixture(scope="module", params=["signal"] if RUNS < 1000 else ["signal", "waits"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FreezeTarget]:
    """A target below a parent that stops itself with it, as su or sudo do."""
    folder = tmp_path_factory.mktemp("faults")
    with FreezeTarget(folder, "idle", 3, below=below_stopper(request.param)) as target:
        yield target
        assert target.popen.poll() is None


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals") / "holds"


def parent_of(target: FreezeTarget) -> int:
    return read_stat(target.pid).parent


def parent_stands(target: FreezeTarget) -> bool:
    return read_stat(parent_of(target)).state == "T"


def assert_both_as_before(target: FreezeTarget, engine: Engine) -> None:
    """Both run again, and nobody and nothing is left of ours."""
    freeze_wait(engine.guard_is_gone, "the guard is gone", _WITHIN_S)
    freeze_wait(lambda: not list(engine.journals.glob("*")), "no journal is left", _WITHIN_S)
    freeze_wait(lambda: not parent_stands(target), "its parent runs on", _WITHIN_S)
    target.assert_all_progress(1.0)
    assert is_as_before(target, engine)
    assert not parent_stands(target)


def start(target: FreezeTarget, at: str, journals: Path) -> Engine:
    """Start an engine that stands at a point, with the parent stopped where it has cause to be."""
    engine = Engine(target, Freeze.SIGSTOP, at, journals, parent=parent_of(target))
    if at in HELD_AT or at == "touched":
        freeze_wait(lambda: parent_stands(target), "its parent stops itself")
    return engine


@pytest.mark.parametrize("at", STEPS_OF_SIGSTOP)
def test_the_engine_is_killed_at_every_step(target: FreezeTarget, journals: Path, at: str) -> None:
    engine = start(target, at, journals)
    try:
        engine.kill()
        assert_both_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("at", STEPS_OF_SIGSTOP)
def test_the_guard_is_killed_at_every_step(target: FreezeTarget, journals: Path, at: str) -> None:
    engine = start(target, at, journals)
    try:
        engine.kill_guard()
        assert_both_as_before(target, engine)
    finally:
        engine.close()


@pytest.mark.parametrize("at", STEPS_OF_SIGSTOP)
def test_both_are_killed_at_every_step(target: FreezeTarget, journals: Path, at: str) -> None:
    engine = start(target, at, journals)
    try:
        if at == "after_detach":
            assert parent_stands(target), "nobody has seen to it yet"
        elif at in ("tidied", "released_sent"):
            # It was continued at once. One that is slow stops now.
            os.kill(parent_of(target), signal.SIGSTOP)
            freeze_wait(lambda: parent_stands(target), "its parent stops late")
        engine.kill_both_at_once()
        stands = parent_stands(target)
        assert stands or at in (*NOT_TOUCHED_AT, "released")
        released = replay(journals)
        assert_both_as_before(target, engine)
        assert not released.remarks
        assert {item.outcome for item in released.thawed} <= {ThawOutcome.RELEASED}
        if stands:
            (item,) = [item for item in released.thawed if item.bystander]
            assert item.pid == parent_of(target)
            assert "had stopped because its child was held" in describe_thawed(item)
        if at in NOT_TOUCHED_AT:
            assert not released.thawed
        assert not replay(journals).thawed
    finally:
        engine.close()


@pytest.mark.parametrize("run", range(AT_RANDOM))
def test_anyone_is_killed_at_any_moment(target: FreezeTarget, journals: Path, run: int) -> None:
    chance = random.Random(run)
    victim = chance.choice(("engine", "guard", "engine then guard", "guard then engine"))
    engine = Engine(target, Freeze.SIGSTOP, "looping", journals)
    try:
        # A delay, so that the kill falls anywhere into the loop; it stands for no condition.
        threading.Event().wait(chance.uniform(0, 0.04))
        for who in victim.split(" then "):
            engine.kill() if who == "engine" else engine.kill_guard()
        if " then " in victim:
            freeze_wait(engine.guard_is_gone, "the guard is gone")
            engine.popen.wait(10)
            replay(journals)
        assert_both_as_before(target, engine)
    finally:
        engine.close()

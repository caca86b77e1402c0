"""What SIGSTOP must see before it says that a process stands still; the kernel tests do it for real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memtui.freeze import sigstop
from memtui.freeze.bystanders import Bystanders
from memtui.freeze.journal import Journal
from memtui.freeze.method import Subject
from memtui.freeze.sigstop import SigstopFreezer
from memtui.linux.procfs import Stat

if TYPE_CHECKING:
    from pathlib import Path

PID, OTHER = 4242, 4243


def stat(state: str, threads: int) -> Stat:
    return Stat("target", state, 1, PID, PID, 0, -1, 0, 0, 0, threads, 1000, 1 << 20, 100)


class Threads:
    """The threads of a process, as /proc shows them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: str) -> None:
        self.states = {int(tid.strip("_")): state for tid, state in states.items()}
        monkeypatch.setattr(sigstop, "listed", lambda _pid: set(self.states))
        monkeypatch.setattr(sigstop, "thread_stat", self._stat)
        monkeypatch.setattr(sigstop, "switches", lambda _pid, _tid: 7)

    def _stat(self, _pid: int, tid: int) -> Stat | None:
        return stat(self.states[tid], len(self.states)) if tid in self.states else None


@pytest.fixture
def freezer(tmp_path: Path) -> SigstopFreezer:
    journal = Journal(tmp_path)
    return SigstopFreezer(Subject(PID, 1000, -1, journal, Bystanders(journal), lambda _point: None))


def test_it_stands_when_every_thread_does(freezer: SigstopFreezer, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(monkeypatch, _4242="T", _4243="S")
    assert not freezer._all_stand()
    threads.states[OTHER] = "T"
    assert freezer._all_stand()
    assert freezer.threads == 2


def test_a_program_that_an_exec_brought_does_not_stand_for_the_one_that_stood(
    freezer: SigstopFreezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(monkeypatch, _4242="T", _4243="R")
    assert not freezer._all_stand()
    # The other thread's exec ends the first one, and takes its number.
    threads.states = {PID: "R"}
    assert not freezer._all_stand()
    assert not freezer._all_stand()
    threads.states = {PID: "T"}
    assert freezer._all_stand()
    assert freezer.threads == 1


def test_of_a_process_whose_first_thread_has_ended_the_others_count(
    freezer: SigstopFreezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(monkeypatch, _4242="Z", _4243="S")
    assert not freezer._all_stand()
    threads.states[OTHER] = "T"
    assert freezer._all_stand()
    assert freezer.threads == 1

"""The messages of the threads: made as Textual wants them, and which of them takes an older one's place."""

from __future__ import annotations

import dataclasses
import inspect

from textual.message import Message

from memtui.model.process import ProcessId
from memtui.model.report import Progress
from memtui.ui import messages
from memtui.ui.messages import MachineRead, MapRead, MapView, ProcessesRead, RunProgressed, Said

KINDS = [
    kind
    for _, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind is not Message
]


def test_each_is_a_dataclass_that_textual_can_take() -> None:
    assert len(KINDS) > 10
    for kind in KINDS:
        assert dataclasses.is_dataclass(kind)
        nothing = dict.fromkeys(item.name for item in dataclasses.fields(kind))
        message = kind(**nothing)
        # What Message itself sets up, which a dataclass reaches by __post_init__ alone.
        assert not message.is_forwarded
        assert message.time > 0
        assert message != kind(**nothing)
        assert hash(message)


def map_read(pid: int) -> MapRead:
    return MapRead(ProcessId(pid, 1, "boot"), MapView(None, None))  # type: ignore[arg-type]


def progressed(holding: bool) -> RunProgressed:
    return RunProgressed(Progress("x", 1, 2, 3, holding))


def test_the_newest_replaces_those_that_say_no_more() -> None:
    lists = [ProcessesRead((), 1.0), ProcessesRead((), 2.0)]
    assert lists[1].can_replace(lists[0])
    machine = MachineRead(None, None, 1.0)  # type: ignore[arg-type]
    assert machine.can_replace(MachineRead(None, None, 1.0))  # type: ignore[arg-type]
    assert not machine.can_replace(lists[0])
    assert map_read(1).can_replace(map_read(1))
    assert not map_read(1).can_replace(map_read(2))
    assert progressed(True).can_replace(progressed(True))
    assert not progressed(False).can_replace(progressed(True)), "the beginning of a hold is not lost"
    assert not Said("a").can_replace(Said("b"))

"""What the threads tell the screen. Payloads are frozen values.

A message is a dataclass without a repr of its own, since a payload may be long, and compared by identity.
It cannot be frozen: Textual writes into it. Where only the newest matters, it replaces an older one that
still waits (``can_replace``), so that a busy screen does not fall behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from textual.message import Message

if TYPE_CHECKING:
    from memtui.host import MachineState, Target
    from memtui.model.advice import Advice
    from memtui.model.process import Process, ProcessId
    from memtui.model.report import Progress, RefaultSample, TargetReport
    from memtui.model.restore import RestoreReport
    from memtui.model.verdict import MachineFacts
    from memtui.model.vma import AddressSpace

Post = Callable[[Message], object]
"""How a thread hands over a message."""


class MapView(NamedTuple):
    """One look at the chosen map."""

    target: Target
    space: AddressSpace


@dataclass(eq=False, repr=False)
class ProcessesRead(Message):
    """The process list was read; ``cost_ms`` is what it took."""

    processes: tuple[Process, ...]
    cost_ms: float

    def can_replace(self, message: Message) -> bool:
        """Replace any older list."""
        return isinstance(message, ProcessesRead)


@dataclass(eq=False, repr=False)
class MachineRead(Message):
    """The system line was read; ``period_s`` is how often the map is read just now."""

    state: MachineState
    facts: MachineFacts
    period_s: float

    def can_replace(self, message: Message) -> bool:
        """Replace any older reading."""
        return isinstance(message, MachineRead)


@dataclass(eq=False, repr=False)
class MapRead(Message):
    """The chosen map was read."""

    wanted: ProcessId
    view: MapView

    def can_replace(self, message: Message) -> bool:
        """Replace an older look at the same process."""
        return isinstance(message, MapRead) and message.wanted == self.wanted


@dataclass(eq=False, repr=False)
class MapLost(Message):
    """The chosen map cannot be read, or no longer; ``words`` say why, raw.

    ``map_is_dead`` tells that the process has another map now (exec), so that its marks are dead.
    """

    wanted: ProcessId
    words: str
    map_is_dead: bool = field(default=False, kw_only=True)


@dataclass(eq=False, repr=False)
class PidFound(Message):
    """The process that the command line named was found, or not: then ``words`` say why, raw."""

    pid: int
    process: ProcessId | None
    name: str
    words: str


@dataclass(eq=False, repr=False)
class Said(Message):
    """One line for the status bar, raw."""

    words: str
    bad: bool = field(default=False, kw_only=True)


@dataclass(eq=False, repr=False)
class Answered(Message):
    """A question that was asked of a worker has its answer, or failed; ``deliver`` hands it over."""

    deliver: Callable[[], object]


@dataclass(eq=False, repr=False)
class RunStarted(Message):
    """A plan or a restore was taken from the queue; ``what`` is its word (``pageout``)."""

    what: str


@dataclass(eq=False, repr=False)
class RunProgressed(Message):
    """A plan or a restore came further."""

    progress: Progress

    def can_replace(self, message: Message) -> bool:
        """Replace an older one, but never lose the beginning of a hold on its end."""
        return isinstance(message, RunProgressed) and message.progress.holding == self.progress.holding


@dataclass(eq=False, repr=False)
class TargetDone(Message):
    """A plan is done with one target."""

    advice: Advice
    report: TargetReport


@dataclass(eq=False, repr=False)
class RestoreDone(Message):
    """A restore is done with one target."""

    report: RestoreReport


@dataclass(eq=False, repr=False)
class RunEnded(Message):
    """A plan or a restore has ended; ``words`` are empty, or say what went wrong, raw. ``waiting`` follow."""

    words: str
    waiting: int


@dataclass(eq=False, repr=False)
class LookedBack(Message):
    """How much of what a report moved is resident again; ``kept`` where that went into the ledger."""

    report_id: str
    back: RefaultSample
    kept: bool = field(kw_only=True)


@dataclass(eq=False, repr=False)
class RestoredSince(Message):
    """Another memtui has restored what a report moved: what is resident now says nothing of the advice."""

    report_id: str


@dataclass(eq=False, repr=False)
class RestoreAsked(Message):
    """The operator wants an action, or one target of it, to be restored."""

    action: str

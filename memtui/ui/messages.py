"""What the threads tell the screen. A payload is a frozen value; a later reading replaces an earlier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from textual.message import Message

if TYPE_CHECKING:
    from memtui.host import MachineState, Target
    from memtui.model.advice import Advice
    from memtui.model.process import Process, ProcessId
    from memtui.model.report import Back, Progress, TargetReport
    from memtui.model.restore import RestoreReport
    from memtui.model.verdict import MachineFacts
    from memtui.model.vma import AddressSpace

Post = Callable[[Message], object]
"""How a thread hands over a message."""


class MapView(NamedTuple):
    """One look at the chosen map."""

    target: Target
    space: AddressSpace


class ProcessesRead(Message):
    """The process list was read; ``cost_ms`` is what it took."""

    def __init__(self, processes: tuple[Process, ...], cost_ms: float) -> None:
        super().__init__()
        self.processes = processes
        self.cost_ms = cost_ms

    def can_replace(self, message: Message) -> bool:
        """A later list says all that an earlier one said."""
        return isinstance(message, ProcessesRead)


class MachineRead(Message):
    """The system line was read; ``period_s`` is how often the map is looked at just now."""

    def __init__(self, state: MachineState, facts: MachineFacts, period_s: float) -> None:
        super().__init__()
        self.state = state
        self.facts = facts
        self.period_s = period_s

    def can_replace(self, message: Message) -> bool:
        """A later reading says all that an earlier one said."""
        return isinstance(message, MachineRead)


class MapRead(Message):
    """The chosen map was looked at."""

    def __init__(self, wanted: ProcessId, view: MapView) -> None:
        super().__init__()
        self.wanted = wanted
        self.view = view

    def can_replace(self, message: Message) -> bool:
        """A later look at the same process says all that an earlier one said."""
        return isinstance(message, MapRead) and message.wanted == self.wanted


class MapLost(Message):
    """The chosen map cannot be looked at, or no more; ``words`` say why, raw.

    ``map_is_dead`` tells that the process has another map now (exec), so that its marks are dead.
    """

    def __init__(self, wanted: ProcessId, words: str, *, map_is_dead: bool = False) -> None:
        super().__init__()
        self.wanted = wanted
        self.words = words
        self.map_is_dead = map_is_dead


class PidFound(Message):
    """The process that the command line named was found, or not: then ``words`` say why, raw."""

    def __init__(self, pid: int, process: ProcessId | None, name: str, words: str) -> None:
        super().__init__()
        self.pid = pid
        self.process = process
        self.name = name
        self.words = words


class Said(Message):
    """One line for the status line, raw."""

    def __init__(self, words: str, *, bad: bool = False) -> None:
        super().__init__()
        self.words = words
        self.bad = bad


class RunStarted(Message):
    """The operator thread took a plan or a restore from its queue; ``what`` is its word (``pageout``)."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what


class RunProgressed(Message):
    """A plan came further."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters, but the beginning of a hold is not lost on its end."""
        return isinstance(message, RunProgressed) and message.progress.holding == self.progress.holding


class TargetDone(Message):
    """A plan is done with one target."""

    def __init__(self, advice: Advice, report: TargetReport) -> None:
        super().__init__()
        self.advice = advice
        self.report = report


class RunEnded(Message):
    """A plan is done; ``words`` are empty, or say what went wrong, raw. ``waiting`` plans follow."""

    def __init__(self, words: str, waiting: int) -> None:
        super().__init__()
        self.words = words
        self.waiting = waiting


class LookedBack(Message):
    """A look at how much of what a report moved has come back; ``kept`` where it went into the ledger."""

    def __init__(self, report_id: str, back: Back, *, kept: bool) -> None:
        super().__init__()
        self.report_id = report_id
        self.back = back
        self.kept = kept


class RestoredSince(Message):
    """Another memtui has put back what a report moved: what is resident now says nothing of the advice."""

    def __init__(self, report_id: str) -> None:
        super().__init__()
        self.report_id = report_id


class RestoreAsked(Message):
    """The operator wants an action, or one target of it, to be put back."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action = action


class RestoreDone(Message):
    """A restore is done with one target."""

    def __init__(self, report: RestoreReport) -> None:
        super().__init__()
        self.report = report


class Answered(Message):
    """A question that was asked of a worker has its answer, or failed; ``deliver`` hands it over."""

    def __init__(self, deliver: Callable[[], object]) -> None:
        super().__init__()
        self.deliver = deliver

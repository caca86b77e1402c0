"""What the threads tell the screen. A payload is a frozen value; a later reading replaces an earlier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual.message import Message

if TYPE_CHECKING:
    from memtui.host import History, MachineState, Target
    from memtui.model.advice import Advice
    from memtui.model.freeze import FreezeChoice
    from memtui.model.plan import Mark, Plan
    from memtui.model.process import Process, ProcessId
    from memtui.model.report import Back, Progress, TargetReport
    from memtui.model.restore import Mappers, RestorePlan, RestoreReport
    from memtui.model.verdict import MachineFacts, Verdict
    from memtui.model.vma import AddressSpace, Vma
    from memtui.ui.lists.order import Arrangement
    from memtui.ui.lists.picture import Frame

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


class SamplerTrouble(Message):
    """A reading failed in a way that nobody foresaw; ``words`` are raw."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class PidFound(Message):
    """The process that the command line named was found, or not: then ``words`` say why, raw."""

    def __init__(self, pid: int, process: ProcessId | None, name: str, words: str) -> None:
        super().__init__()
        self.pid = pid
        self.process = process
        self.name = name
        self.words = words


class MarksFound(Message):
    """What can be marked in a whole process. ``target`` is handed over: the receiver closes it."""

    def __init__(self, target: Target, marks: tuple[Mark, ...], left_out: int) -> None:
        super().__init__()
        self.target = target
        self.marks = marks
        self.left_out = left_out


class Said(Message):
    """One line for the status line, raw."""

    def __init__(self, words: str, *, bad: bool = False) -> None:
        super().__init__()
        self.words = words
        self.bad = bad


class Planned(Message):
    """A plan was made for the dialog; ``turn`` tells which of its questions this answers.

    ``choices`` is what each freeze method would do to the first target.
    """

    def __init__(
        self, turn: int, plan: Plan | None, words: str, choices: tuple[FreezeChoice, ...] = ()
    ) -> None:
        super().__init__()
        self.choices = choices
        self.turn = turn
        self.plan = plan
        self.words = words


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


class RestorePlanned(Message):
    """What could be put back, for the dialog; ``plans`` is None where ``words`` say why not, raw."""

    def __init__(self, turn: int, plans: tuple[RestorePlan, ...] | None, words: str) -> None:
        super().__init__()
        self.turn = turn
        self.plans = plans
        self.words = words


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


class LedgerRead(Message):
    """The ledger was read; ``history`` is None where ``words`` say why not, raw."""

    def __init__(self, history: History | None, words: str) -> None:
        super().__init__()
        self.history = history
        self.words = words


class Judged(Message):
    """What each advice would do to the VMA that is being explained; ``turn`` tells which one that is."""

    def __init__(self, turn: int, verdicts: tuple[tuple[Advice, Verdict], ...]) -> None:
        super().__init__()
        self.turn = turn
        self.verdicts = verdicts


class MappersFound(Message):
    """Who else maps the file of a VMA; ``mappers`` is None where ``words`` say why not, raw."""

    def __init__(self, turn: int, mappers: Mappers | None, words: str) -> None:
        super().__init__()
        self.turn = turn
        self.mappers = mappers
        self.words = words


class MapArranged(Message):
    """The order of a map was made, as it was asked for by ``how``; it took ``cost_s``."""

    def __init__(self, view: MapView, how: Arrangement, order: Sequence[int], cost_s: float) -> None:
        super().__init__()
        self.view = view
        self.how = how
        self.order = order
        self.cost_s = cost_s


class MatchesFound(Message):
    """The rows of a map, shown in ``order``, that a search takes; it went from ``origin`` by ``step``."""

    def __init__(
        self, view: MapView, order: Sequence[int] | None, rows: Sequence[int], origin: int, step: int
    ) -> None:
        super().__init__()
        self.view = view
        self.order = order
        self.rows = rows
        self.origin = origin
        self.step = step


class RuleMatched(Message):
    """The VMAs of a map that a filter takes, to be marked, or to be unmarked.

    ``chosen`` are those that may be marked, ``left_out`` is how many may not.
    """

    def __init__(
        self, view: MapView, indices: Sequence[int], chosen: list[Vma], left_out: int, *, marks: bool
    ) -> None:
        super().__init__()
        self.view = view
        self.indices = indices
        self.chosen = chosen
        self.left_out = left_out
        self.marks = marks


class PictureFramed(Message):
    """How the cells of the picture share out the layout of a look was reckoned; it took ``cost_s``."""

    def __init__(self, view: MapView, frame: Frame, cost_s: float) -> None:
        super().__init__()
        self.view = view
        self.frame = frame
        self.cost_s = cost_s

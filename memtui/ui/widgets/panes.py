"""The three panes of the main screen. Each keeps what it shows; what it does not know it asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from memtui.model.process import Process, ProcessId
from memtui.model.vma import MappedVma, Vma, total
from memtui.text import SafeText, count, duration, safe, size
from memtui.ui.lists.map import MapRows
from memtui.ui.lists.processes import ProcessRows
from memtui.ui.lists.results import RestoreResult, Result, ResultRows, why
from memtui.ui.lists.sentences import describe_back
from memtui.ui.marking import Marking, Shown
from memtui.ui.messages import LookedBack, MapView
from memtui.ui.rows import NoRows
from memtui.ui.widgets.pane import Pane


class ProcessPane(Pane):
    """The process list."""

    def __init__(self) -> None:
        super().__init__("Processes", id="processes")
        self._processes: Sequence[Process] = ()
        self.table.show_words(SafeText("reading ..."))

    def show(self, processes: Sequence[Process], marked: Mapping[ProcessId, int]) -> None:
        """Show a new reading."""
        self._processes = processes
        self.show_marked(marked)
        self.say(SafeText(f"Processes  {len(processes):,}"))

    def show_marked(self, marked: Mapping[ProcessId, int]) -> None:
        """Show which processes have marks."""
        self.table.show(ProcessRows(self._processes, marked))

    @property
    def under_cursor(self) -> Process | None:
        """The process under the cursor."""
        rows = self.table.rows
        if not isinstance(rows, ProcessRows) or not len(rows):
            return None
        return rows.processes[self.table.cursor]

    def has(self, process: ProcessId) -> bool:
        """Whether the last reading had it."""
        return any(item.id == process for item in self._processes)


class MapPane(Pane):
    """The map of the chosen process."""

    def __init__(self, marking: Marking) -> None:
        super().__init__("Map", id="map")
        self.marking = marking
        self.chosen: ProcessId | None = None
        self._name = ""
        self._view: MapView | None = None
        self.table.show_words(SafeText("no process chosen"))

    @property
    def view(self) -> MapView | None:
        """The last look at the chosen process; None before the first and after the end."""
        return self._view

    @property
    def shown(self) -> Shown | None:
        """What can be marked now."""
        return None if self._view is None else Shown(self._view.target, self._view.space)

    @property
    def cursor_vma(self) -> Vma | None:
        """The VMA under the cursor."""
        row = self.cursor_row
        return None if row is None else row.vma

    @property
    def cursor_row(self) -> MappedVma | None:
        """The VMA under the cursor, with all that is known of it."""
        if self._view is None or not len(self._view.space):
            return None
        return self._view.space.row(self.table.cursor)

    def choose(self, process: ProcessId, name: str) -> None:
        """Show that another map is being opened."""
        self.chosen, self._name, self._view = process, name, None
        self.marking.abandon()
        self.say(safe(f"Map of {process.pid} {name}"))
        self.table.show_words(SafeText("reading ..."))
        self.table.show(NoRows(), reset=True)

    def show_view(self, view: MapView) -> None:
        """Show a new look."""
        last, self._view = self._view, view
        space = view.space
        if last is None or last.space.vmas is not space.vmas:
            self.marking.book.note_layout(space)
        if not len(space):
            self.table.show_words(SafeText("this process has no mappings that could be shown"))
        self.table.show(self._rows(view), keep_top=last is not None, reset=last is None)
        rss, swap = size(total(space.rss_bytes)), size(total(space.swap_bytes))
        self.say(
            safe(
                f"Map of {space.process.pid} {self._name}  {count(len(space), 'VMA')}  rss {rss}  swap {swap}"
                f"  ({space.source})"
            )
        )

    def show_lost(self, words: str) -> None:
        """Say why there is no map, or no more."""
        self._view = None
        self.marking.abandon()
        assert self.chosen is not None
        self.say(safe(f"Map of {self.chosen.pid} {self._name}"))
        self.table.show_words(safe(f"{words}. Enter on a process opens its map anew."))
        self.table.show(NoRows(), reset=True)

    def show_marks(self) -> None:
        """Show the marks as they are now, and the range in the making."""
        if self._view is not None:
            self.table.show(self._rows(self._view))

    def _rows(self, view: MapView) -> MapRows:
        marks = self.marking.book.of(view.space.process)
        rows = MapRows(view.space, marks)
        if not self.marking.ranging or not len(rows):
            return rows
        at = self.table.cursor
        if self.table.rows is not rows and self.table.cursor_key is not None:
            found = rows.find(self.table.cursor_key)
            at = at if found is None else found
        return MapRows(view.space, marks, self.marking.pending(view.space.vmas[min(at, len(rows) - 1)]))


class ResultPane(Pane):
    """What came of the plans and the restores of this session."""

    def __init__(self) -> None:
        super().__init__("Results", id="results")
        self._results: list[Result | RestoreResult] = []
        self.table.show_words(SafeText("nothing was advised yet"))

    def add(self, result: Result | RestoreResult) -> None:
        """Add a result, and go to it."""
        if isinstance(result, RestoreResult) and result.report.restored_bytes:
            self._results = [
                replace(item, was_restored=True)
                if isinstance(item, Result) and item.id == result.id
                else item
                for item in self._results
            ]
        self._results.append(result)
        self.table.show(ResultRows(tuple(self._results)))
        self.table.go_to(len(self._results) - 1)

    def looked_back(self, message: LookedBack) -> Result | None:
        """Show how much has come back; return the result that it is about."""
        for at, result in enumerate(self._results):
            if isinstance(result, Result) and result.id == message.report_id and not result.was_restored:
                looked = result.looked_back(message.back, kept=message.kept)
                self._results[at] = looked
                self.table.show(ResultRows(tuple(self._results)))
                if at == self.table.cursor:
                    self.show_reason()
                return looked
        return None

    @property
    def newest(self) -> Result | RestoreResult | None:
        """The last result."""
        return self._results[-1] if self._results else None

    @property
    def under_cursor(self) -> Result | RestoreResult | None:
        """The result under the cursor."""
        return self._results[self.table.cursor] if self._results else None

    def show_reason(self) -> None:
        """Put over the pane what came back of the row under the cursor, and its reason."""
        result = self.under_cursor
        if result is None:
            return
        report = result.report
        words = f"Results  {len(self._results)}  {report.outcome.value}"
        if isinstance(result, Result):
            if result.report.held_ms:
                words += f", held {duration(result.report.held_ms)}"
            if result.was_restored:
                words += "; restored since"
            elif result.looks:
                words += f"; back {describe_back(result.report.moved_bytes, result.looks[-1])}"
        reason = why(report.reason, report.reason_text)
        self.say(safe(words + (f"; {reason}" if reason else "")))

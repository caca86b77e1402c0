"""The pane of the results: what came of the plans and the restores of this session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, duration, safe
from memtui.model.result import RestoreResult, Result
from memtui.render.reasons import why
from memtui.render.refault import describe_back
from memtui.ui.presentation.results import ResultRows
from memtui.ui.widgets.pane import Pane

if TYPE_CHECKING:
    from memtui.ui.messages import LookedBack


class ResultPane(Pane):
    """What came of the plans and the restores of this session."""

    def __init__(self) -> None:
        super().__init__("Results", id="results")
        self._results: list[Result | RestoreResult] = []
        self.table.show_words(SafeText("nothing was advised yet"))

    def add(self, result: Result | RestoreResult) -> None:
        """Add a result, and go to it."""
        if isinstance(result, RestoreResult) and result.report.restored_bytes:
            self._mark_restored(result.id)
        self._results.append(result)
        self.table.show(ResultRows(tuple(self._results)))
        self.table.go_to(len(self._results) - 1)

    def _mark_restored(self, report_id: str) -> Result | None:
        for at, item in enumerate(self._results):
            if isinstance(item, Result) and item.id == report_id:
                found = self._results[at] = item._replace(was_restored=True)
                return found
        return None

    def restored_since(self, report_id: str) -> Result | None:
        """Say that a result was put back by another memtui; return the result."""
        found = self._mark_restored(report_id)
        if found is not None:
            self.table.show(ResultRows(tuple(self._results)))
            self.show_reason()
        return found

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
                words += f", target stopped {duration(result.report.held_ms)}"
            if result.was_restored:
                words += "; restored since"
            elif result.looks:
                words += f"; back {describe_back(result.report.moved_bytes, result.looks[-1])}"
        reason = why(report.reason, report.reason_text)
        self.say(safe(words + (f"; {reason}" if reason else "")))

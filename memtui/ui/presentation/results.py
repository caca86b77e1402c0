"""Results as the table shows them: one row a target of an action, and the ranges of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import (
    DOES_NOT_APPLY,
    SafeText,
    address_range,
    duration,
    safe,
    size,
    size_or_dash,
    time_of_day,
)
from memtui.model.freeze import Freeze
from memtui.model.report import RangeReport, RefaultVerdict, TargetReport
from memtui.model.result import RestoreResult, Result
from memtui.render.reasons import why
from memtui.ui.presentation.rows import Cell, Column, Line
from memtui.ui.presentation.words import change, outcome_cell, outcome_glyph

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from memtui.model.advice import Advice
    from memtui.model.restore import RestoreReport


_COLUMNS = (
    Column("TIME UTC", 8, from_width=96),
    Column("ADVICE", 8),
    Column("OUTCOME", 11),
    Column("REQUEST", 7, right=True),
    Column("FORECAST", 8, right=True),
    Column("ADVISED", 7, right=True),
    Column("MOVED", 6, right=True),
    Column("BACK", 6, right=True),
    Column("", 10),
    Column("   RSS>AFTER", 13, from_width=96),
    Column("  SWAP>AFTER", 13, from_width=140),
    Column("FREEZE", 7, from_width=96),
    Column("HELD", 6, right=True, from_width=140),
    Column("TARGET", 24, from_width=150),
    Column("WHY", 20, from_width=150),
    Column("TARGET", 20, below_width=150),
)

_STAYED: dict[RefaultVerdict, tuple[str, str]] = {
    RefaultVerdict.SO_FAR: ("out so far", "good"),
    RefaultVerdict.OUT: ("stayed out", "good"),
    RefaultVerdict.PARTLY: ("partly", "warn"),
    RefaultVerdict.BACK: ("resident", "bad"),
}


class ResultRows:
    """What came of the plans and the restores of this session, the newest last."""

    columns: Sequence[Column] = _COLUMNS

    def __init__(self, results: Sequence[Result | RestoreResult]) -> None:
        self.results = results

    def __len__(self) -> int:
        return len(self.results)

    def key(self, index: int) -> Hashable:
        """Return which result it is: none ever leaves."""
        return index

    def find(self, key: Hashable) -> int | None:
        """Return the row of a result."""
        return key if isinstance(key, int) and key < len(self.results) else None

    def line(self, index: int) -> Line:
        """Return a result as it is shown."""
        result = self.results[index]
        return _result_line(result) if isinstance(result, Result) else _restored_line(result.report)


def _result_line(result: Result) -> Line:
    report = result.report
    target = safe(f"{report.planned.process.pid} {report.planned.name}")
    frozen = report.freeze is not Freeze.OFF
    cells = (
        Cell(time_of_day(report.time), "dim"),
        Cell(SafeText(result.advice.value)),
        outcome_cell(report.outcome),
        Cell(size(report.requested_bytes)),
        Cell(size(report.forecast_bytes)),
        Cell(size(report.advised_bytes)),
        Cell(_moved(result.advice, report)),
        Cell(size_or_dash(result.back_bytes, bool(result.looks))),
        _stayed_cell(result),
        Cell(change(report.held("rss_before_bytes"), report.held("rss_after_bytes"))),
        Cell(change(report.held("swap_before_bytes"), report.held("swap_after_bytes"))),
        Cell(SafeText(report.freeze.value)),
        Cell(duration(report.held_ms) if frozen else DOES_NOT_APPLY),
        Cell(target),
        Cell(why(report.reason, report.reason_text), "dim"),
        Cell(target),
    )
    return Line(outcome_glyph(report.outcome), "", cells)


def _stayed_cell(result: Result) -> Cell:
    if result.was_restored:
        return Cell(SafeText("restored"), "dim")
    how = result.stayed
    return Cell(SafeText("")) if how is None else Cell(SafeText(_STAYED[how][0]), _STAYED[how][1])


def _restored_line(report: RestoreReport) -> Line:
    target = safe(f"{report.planned.process.pid} {report.planned.name}")
    none = Cell(DOES_NOT_APPLY, "dim")
    cells = (
        Cell(time_of_day(report.time), "dim"),
        Cell(SafeText("restore")),
        outcome_cell(report.outcome),
        Cell(size(report.wanted_bytes)),
        none,
        none,
        none,
        Cell(size(report.restored_bytes)),
        Cell(SafeText("restored") if report.restored_bytes else SafeText("")),
        none,
        none,
        none,
        none,
        Cell(target),
        Cell(why(report.reason, report.reason_text), "dim"),
        Cell(target),
    )
    return Line(outcome_glyph(report.outcome), "", cells)


_RANGE_COLUMNS = (
    Column("OUTCOME", 11),
    Column("REQUEST", 7, right=True),
    Column("FORECAST", 8, right=True),
    Column("ADVISED", 7, right=True),
    Column("MOVED", 6, right=True),
    Column("   RSS>AFTER", 13),
    Column("  SWAP>AFTER", 13, from_width=82),
    Column("ERRNO", 6),
    Column("RANGE", 25, from_width=110),
    Column("NAME", 20),
)


class RangeRows:
    """The ranges of one result, in the order of the report."""

    columns: Sequence[Column] = _RANGE_COLUMNS

    def __init__(self, result: Result) -> None:
        self.advice = result.advice
        self.ranges: Sequence[RangeReport] = result.report.ranges

    def __len__(self) -> int:
        return len(self.ranges)

    def key(self, index: int) -> Hashable:
        """Return which range it is."""
        return index

    def find(self, key: Hashable) -> int | None:
        """Return the row of a range."""
        return key if isinstance(key, int) and key < len(self.ranges) else None

    def line(self, index: int) -> Line:
        """Return a range as it is shown."""
        item = self.ranges[index]
        planned = item.planned
        cells = (
            outcome_cell(item.outcome),
            Cell(size(planned.requested_bytes)),
            Cell(size(planned.verdict.forecast_bytes)),
            Cell(size(item.advised_bytes)),
            Cell(_moved(self.advice, item)),
            Cell(change(item.rss_before_bytes, item.rss_after_bytes, planned.has_pages)),
            Cell(change(item.swap_before_bytes, item.swap_after_bytes, planned.has_pages)),
            Cell(safe(item.errno or ""), "bad"),
            Cell(address_range(planned.range.start, planned.range.end), "dim"),
            Cell(safe(planned.name)),
        )
        return Line(outcome_glyph(item.outcome), "", cells)


def _moved(advice: Advice, item: RangeReport | TargetReport) -> SafeText:
    """Return the moved bytes: ``-`` where nothing can have moved, ``?`` where it was not seen."""
    return size_or_dash(item.moved_bytes, advice.can_have_moved(item.advised_bytes, item.moved_bytes))

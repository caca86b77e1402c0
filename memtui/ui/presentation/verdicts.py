"""The ranges of a plan as the table shows them: what is expected of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, address, safe, size
from memtui.render.forecast import forecast_size, will_glyph
from memtui.render.reasons import reasons_in_words
from memtui.ui.presentation.rows import Cell, Column, Line
from memtui.ui.presentation.words import will_cell

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from memtui.model.plan import Plan, PlannedRange, TargetPlan

_COLUMNS = (
    Column("FORECAST", 8, right=True),
    Column("REQUEST", 7, right=True),
    Column("WILL", 6),
    Column("KIND", 8, from_width=84),
    Column("PID", 7, right=True, from_width=84),
    Column("START", 12, right=True, from_width=84),
    Column("NAME", 18),
    Column("WHY", 20),
)


class VerdictRows:
    """All ranges of all targets that are not blocked as a whole."""

    columns: Sequence[Column] = _COLUMNS

    def __init__(self, plan: Plan) -> None:
        self.ranges: list[tuple[TargetPlan, PlannedRange]] = [
            (target, item) for target in plan.targets if target.blocked is None for item in target.ranges
        ]

    def __len__(self) -> int:
        return len(self.ranges)

    def key(self, index: int) -> Hashable:
        """Return whose range it is, and where."""
        target, item = self.ranges[index]
        return target.process, item.range.start

    def find(self, key: Hashable) -> int | None:
        """Return the row of a range; a plan is small beside what is read for it, so this may search."""
        return next((index for index in range(len(self.ranges)) if self.key(index) == key), None)

    def line(self, index: int) -> Line:
        """Return a range as it is shown."""
        target, item = self.ranges[index]
        kind = item.kind.value if item.kind is not None else "-"
        cells = (
            Cell(forecast_size(item.verdict)),
            Cell(size(item.requested_bytes)),
            will_cell(item.verdict),
            Cell(SafeText(kind)),
            Cell(SafeText(str(target.process.pid)), "dim"),
            Cell(address(item.range.start), "dim"),
            Cell(safe(item.name)),
            Cell(reasons_in_words(item.verdict), "dim"),
        )
        return Line(will_glyph(item.verdict), "", cells)

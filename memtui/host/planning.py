"""The forecast for one target on this machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from memtui.advise.forecast import Part, SwapPurse, choose_marks, choose_rows, forecast
from memtui.advise.garbage import uncollected
from memtui.advise.headroom import BRINGS_IN, fit_in_room
from memtui.advise.study import Study
from memtui.linux import machine
from memtui.linux.cgroups import swap_rooms
from memtui.linux.maptable import MapTable
from memtui.model.advice import Advice
from memtui.model.plan import Mark, PlannedRange
from memtui.model.verdict import judge

if TYPE_CHECKING:
    from memtui.host.target import LocalTarget
    from memtui.model.filter import Filter


class Forecast(NamedTuple):
    """What would come of an advice, and the digest of the map that was looked at: see TargetPlan.layout."""

    ranges: tuple[PlannedRange, ...] = ()
    layout: bytes = b""


def forecast_of(
    target: LocalTarget,
    advice: Advice,
    marks: Sequence[Mark] | None,
    select: Filter | None,
    purse: SwapPurse,
    cancelled: threading.Event | None = None,
) -> Forecast:
    """Look closely, and say range by range what would come of an advice. Touches nothing.

    Raises:
        MemtuiError: CANCELLED; if it is gone, has exec'ed, or may not be read.
    """
    with uncollected():
        space = target.look(details=True)
        chosen: Sequence[Part | PlannedRange]
        if marks is None:
            chosen = choose_rows(space, advice, target.judge, select)
        else:
            chosen = choose_marks(space, marks, target.measure)
        parts = [item for item in chosen if isinstance(item, Part)]
        ranges = forecast(
            parts,
            Study(target.handle, machine.huge_page_bytes(), cancelled).of(parts, advice),
            lambda row, facts: judge(row, advice, facts, target.may_write),
            purse,
            swap_rooms(target.process.pid) if advice is Advice.PAGEOUT else None,
        )
        if advice in BRINGS_IN:
            ranges = fit_in_room(ranges, advice, target.process.pid, machine.huge_page_bytes())
        if marks is None and select is None:
            # What only the closer look found the kernel to refuse.
            ranges = [item for item in ranges if not item.verdict.refused]
        missing = [item for item in chosen if isinstance(item, PlannedRange)]
        if missing:
            ranges = sorted((*ranges, *missing), key=lambda item: item.range.start)
        return Forecast(tuple(ranges), space.vmas.digest if isinstance(space.vmas, MapTable) else b"")

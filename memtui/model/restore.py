"""Putting back what an action moved: what is wanted, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from memtui.model.process import ProcessId
from memtui.model.reasons import Reason
from memtui.model.report import Outcome


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore of one target of an action would do; bytes.

    ``id`` is that of the target in the action, ``time`` when it was moved. ``wanted_bytes`` were moved
    then and are still out; None where that cannot be known. ``blocked`` is why nothing can be brought
    back, or None.
    """

    id: str
    time: str
    process: ProcessId
    name: str
    advice: str
    moved_bytes: int | None
    wanted_bytes: int | None
    blocked: Reason | None = None
    blocked_text: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What came of it; bytes, None where it could not be seen.

    ``also_back_bytes`` came along: pages of the action's ranges that were not asked for.
    ``still_out_bytes`` were wanted and did not come. ``told`` is the same in sentences.
    """

    planned: RestorePlan
    time: str
    wanted_bytes: int | None
    restored_bytes: int | None
    also_back_bytes: int | None
    still_out_bytes: int | None
    outcome: Outcome
    reason: Reason | None = None
    reason_text: str | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapper:
    """A process that maps a file too."""

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Mappers:
    """Which other processes map a file, and how many could not be looked at."""

    found: tuple[Mapper, ...]
    unreadable: int

"""Putting back what an action moved: what is wanted, and what came of it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from memtui.model.reasons import Reason
from memtui.model.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memtui.model.process import ProcessId


class Whose(Enum):
    """Among whose actions the last is looked for."""

    SESSION = "session"
    """Those of this run of memtui."""
    OPERATOR = "operator"
    """Those of the same audit session; where there is none, of the same user and terminal."""
    ANYBODY = "anybody"


class RestorePlan(NamedTuple):
    """What a restore of one target of an action would do; bytes.

    ``id`` is that of the target in the action, ``time`` when it was moved. ``wanted_bytes`` were moved
    then and are still out; None where that cannot be known. ``blocked`` is why nothing can be brought
    back, or None. ``operator`` is who moved it. ``is_interrupted`` tells that the action did not come to its
    end: what its last hold moved is not on record.
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
    operator: Mapping[str, object] = {}
    is_interrupted: bool = False


class RestoreReport(NamedTuple):
    """What came of it; bytes, None where it could not be seen.

    ``also_back_bytes`` came along: pages of the action's ranges that were not asked for.
    ``still_out_bytes`` were wanted and did not come. ``seen`` is all that was seen of it, None where nothing
    was tried. ``warning`` says in words why the restore is not in the ledger.
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
    seen: Restored | None = None
    warning: str | None = None


class Sharer(NamedTuple):
    """A process that maps a file too."""

    pid: int
    name: str


class Sharers(NamedTuple):
    """Which other processes map a file, and how many could not be looked at.

    ``mapped_again`` is how often the process itself maps the same part of it once more. ``possible`` are
    those that map a file of the same name or inode on another device, whose pages could not be compared.
    """

    found: tuple[Sharer, ...]
    unreadable: int
    mapped_again: int = 0
    possible: tuple[Sharer, ...] = ()


LOST = (Reason.GONE, Reason.CHANGED, Reason.PAGE_GONE)
"""Why a page that was moved is no more what it was: not out, and nothing that could be brought back."""


class Restored(NamedTuple):
    """What was seen of a restore; bytes.

    ``already_back_bytes`` were in RAM again before it began. ``lost`` are moved pages that exist no
    more, by reason; ``left`` are wanted ones that were not brought back, by reason, also those that
    were lost while it ran. ``wanted_bytes`` counts the latter, and not the former. ``restored_bytes``
    and ``also_back_bytes`` are None where nobody could look afterwards. ``program_is_certain`` says
    whether the program could be told from any other that the process might have become by exec.
    """

    moved_bytes: int
    already_back_bytes: int
    wanted_bytes: int
    restored_bytes: int | None
    also_back_bytes: int | None
    lost: Mapping[Reason, int]
    left: Mapping[Reason, int]
    stopped: Reason | None = None
    program_is_certain: bool = True

    @property
    def still_out_bytes(self) -> int | None:
        """What was wanted, still exists and did not come; None where nobody could look."""
        if self.restored_bytes is None:
            return None
        vanished = sum(self.left.get(reason, 0) for reason in LOST)
        return max(0, self.wanted_bytes - self.restored_bytes - vanished)


def outcome_of(seen: Restored) -> tuple[Outcome, Reason | None]:
    """Return how a restore ended, and the main reason if not all that was wanted came."""
    if seen.stopped in (Reason.EXITED, Reason.EXECED):
        return Outcome.GONE, seen.stopped
    if seen.stopped is Reason.CANCELLED:
        return Outcome.CANCELLED, Reason.CANCELLED
    if seen.wanted_bytes == 0:
        return Outcome.NO_EFFECT, Reason.ALL_BACK
    if seen.restored_bytes is None:
        return Outcome.UNVERIFIED, Reason.CANNOT_SHOW
    if seen.restored_bytes >= seen.wanted_bytes:
        return Outcome.DONE, None
    reason = seen.stopped or _main(seen.left) or Reason.FAILED
    if seen.restored_bytes:
        return Outcome.PARTIAL, reason
    if not seen.still_out_bytes:
        return Outcome.NO_EFFECT, reason
    return (Outcome.FAILED if reason is Reason.FAILED else Outcome.REFUSED), reason


def _main(reasons: Mapping[Reason, int]) -> Reason | None:
    return max(reasons, key=lambda reason: reasons[reason]) if reasons else None

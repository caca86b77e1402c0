"""Putting back what an action moved: what is wanted, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from memtui.format import size
from memtui.model.errors import with_step
from memtui.model.reasons import Reason
from memtui.model.report import Outcome

if TYPE_CHECKING:
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

    @property
    def whose(self) -> str:
        """Who moved it, in words."""
        return operator_words(self.operator)


def operator_words(operator: Mapping[str, object]) -> str:
    """Return who did something, in words, raw: the user, who is behind it, and where."""
    uid = operator.get("uid")
    words = "an unknown user" if uid is None else f"uid {uid}"
    behind = operator.get("sudo_user")
    if behind is not None:
        words += f" (sudo by {behind})"
    elif operator.get("login_uid") not in (None, uid):
        words += f" (login uid {operator.get('login_uid')})"
    tty = operator.get("tty")
    return f"{words} on {tty}" if tty is not None else f"{words} without a terminal"


class RestoreReport(NamedTuple):
    """What came of it; bytes, None where it could not be seen.

    ``also_back_bytes`` came along: pages of the action's ranges that were not asked for.
    ``still_out_bytes`` were wanted and did not come. ``told`` is the same in sentences. ``warning`` says
    in words why the restore is not in the ledger.
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
    warning: str | None = None


class Mapper(NamedTuple):
    """A process that maps a file too."""

    pid: int
    name: str


class Mappers(NamedTuple):
    """Which other processes map a file, and how many could not be looked at.

    ``mapped_again`` is how often the process itself maps the same part of it once more. ``possible`` are
    those that map a file of the same name or inode on another device, whose pages could not be compared.
    """

    found: tuple[Mapper, ...]
    unreadable: int
    mapped_again: int = 0
    possible: tuple[Mapper, ...] = ()


LOST = (Reason.GONE, Reason.CHANGED, Reason.PAGE_GONE)
"""Why a page that was moved is no more what it was: not out, and nothing that could be brought back."""

_LOST_WORDS = {
    Reason.GONE: "were unmapped",
    Reason.CHANGED: "became another mapping",
    Reason.PAGE_GONE: "were dropped (by MADV_FREE perhaps at the action itself), punched out or cut off",
}


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


INTERRUPTED = "the action was interrupted: what its last hold moved is not on record, and stays where it is"


def told_of(seen: Restored, *, is_interrupted: bool = False) -> tuple[str, ...]:
    """Return in sentences what came of a restore, and why not the rest."""
    lines = [f"of {size(seen.moved_bytes)} moved, {size(seen.already_back_bytes)} were in RAM already"]
    if seen.wanted_bytes:
        lines.append(f"{size(seen.wanted_bytes)} were out, and {size(seen.restored_bytes)} of them came back")
    for lost, when in ((seen.lost, "since"), (seen.left, "meanwhile")):
        lines += [f"{size(lost[reason])} {_LOST_WORDS[reason]} {when}" for reason in LOST if lost.get(reason)]
    lines += [
        f"{size(count)} not brought back: {reason.text}"
        for reason, count in seen.left.items()
        if count and reason not in LOST
    ]
    rest = seen.wanted_bytes - (seen.restored_bytes or 0) - sum(seen.left.values())
    if seen.stopped is not None and seen.restored_bytes is not None and rest > 0:
        lines.append(_not_back(seen.stopped, rest))
    if not seen.program_is_certain:
        lines.append(
            "that it runs the same program still was told by where its code, stack and heap begin alone:"
            " without address space randomisation another one may have them there too"
        )
    if seen.also_back_bytes:
        lines.append(
            f"{size(seen.also_back_bytes)} came along that were not asked for: neighbours that the kernel"
            " maps with them, and what the target touched meanwhile"
        )
    if is_interrupted:
        lines.append(INTERRUPTED)
    return tuple(lines)


def _not_back(reason: Reason, count_bytes: int) -> str:
    return f"{size(count_bytes)} not brought back: {with_step(reason.text, reason)}"

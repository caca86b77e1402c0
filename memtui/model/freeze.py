"""How a target is held still, what each method would do to it, and what a crash left held."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Freeze(str, Enum):
    """How a target is held still."""

    OFF = "off"
    PTRACE = "ptrace"
    SIGSTOP = "sigstop"
    CGROUP = "cgroup"


DEFAULT_HOLD_MS = 250
"""How long a target is held at most in one go, unless the operator says otherwise."""

WATCHED_S = 60.0
"""How long an action is watched: what is still out then stayed out."""

FREEZE_NOTE = (
    "After a hold by any method epoll_wait and a few other calls of the target return EINTR (signal(7))."
)
"""What no method can hide from the target."""


class FreezeChoice(NamedTuple):
    """What a method would do to a target, in one line: whom it stops, who notices, what a crash leaves.

    If it is not ``available`` the line says why. It is raw.
    """

    method: Freeze
    available: bool
    line: str


class ThawOutcome(str, Enum):
    """What became of a process that a crash had left held."""

    RELEASED = "released"
    FAILED = "failed"
    LEFT = "left"
    """Its journal counts in another namespace, say: whether it is held cannot be known here."""
    HELD = "held"
    """It was looked at only."""


class Thawed(NamedTuple):
    """A process that a dead guard had left held. ``words`` say why, if it was not released.

    ``name`` is raw, and empty where the process is gone and only its cgroup was left.
    """

    pid: int
    start_time: int
    name: str
    method: Freeze
    outcome: ThawOutcome
    words: str = ""
    bystander: bool = False
    """It was not held, but had stopped itself because its child was."""

    def __str__(self) -> str:
        who = f"process {self.pid}" + (f" ({self.name})" if self.name else "")
        by = self.method.value
        # What was done, what is so, and what was noted.
        done, is_so, noted = "released", f"is left held by {by} since a crash", f"held by {by}"
        if self.bystander:
            done, is_so, noted = (
                "continued",
                "has stopped because its child was held in a crash",
                "one that may stop with its child",
            )
        if self.outcome is ThawOutcome.RELEASED:
            why = "had stopped because its child was held in a crash" if self.bystander else ""
            return f"{done} {who}, which {why or f'a crash had left held by {by}'}"
        if self.outcome is ThawOutcome.HELD:
            return f"{who} {is_so}; `memtui thaw` releases it"
        if self.outcome is ThawOutcome.LEFT:
            return f"{who}, noted in a crash as {noted}, was left as it is: {self.words}"
        return f"{who}, left held by {by} in a crash, could not be released: {self.words}"

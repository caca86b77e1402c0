"""What is told of holding still beside a plan: the choice of a method, and what a crash left held."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from memtui.model.methods import Freeze

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


class Thawed(NamedTuple):
    """A process that a dead guard had left held. ``words`` say why, if it could not be released.

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
        if self.outcome is ThawOutcome.RELEASED and self.bystander:
            return f"continued {who}, which had stopped because its child was held in a crash"
        if self.outcome is ThawOutcome.RELEASED:
            return f"released {who}, which a crash had left held by {self.method.value}"
        return f"{who}, left held by {self.method.value} in a crash, could not be released: {self.words}"

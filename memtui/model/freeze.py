"""How a target is held still, and what a crash left held: values only."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from memtui.model.reasons import Reason


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


class FreezeChoice(NamedTuple):
    """What a method would do to a target.

    ``refusal`` is why it is not to be had, with ``detail`` as its words where it has its own. ``threads`` is
    how many it would stop, None where the target has exited; ``parent`` who would be told (``process 1
    (init)``), empty for nobody. ``is_stopped`` tells that it is stopped already, ``outlasts`` that it would
    stay held for as long as memtui's own cgroup is frozen. All text is raw.
    """

    method: Freeze
    available: bool
    refusal: Reason | None = None
    detail: str | None = None
    threads: int | None = None
    parent: str = ""
    is_stopped: bool = False
    outlasts: bool = False


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

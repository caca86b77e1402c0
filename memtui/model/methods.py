"""How a target is held still, and how long it is looked at afterwards."""

from __future__ import annotations

from enum import Enum


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

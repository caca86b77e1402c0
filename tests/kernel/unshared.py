"""Namespaces of a test's own, by unshare(1). Where the machine makes none, as in a chroot, it is skipped."""

from __future__ import annotations

import subprocess
from functools import cache

from tests.conftest import need


@cache
def _why_not(*options: str) -> str:
    """Return what unshare(1) says to these options; empty where it makes the namespace."""
    return subprocess.run(
        ["unshare", *options, "true"], capture_output=True, text=True, check=False
    ).stderr.strip()


def unshared(*options: str, script: str = "") -> tuple[str, ...]:
    """Return the beginning of a command that runs in namespaces of its own, after a line of shell."""
    why_not = _why_not(*(option for option in options if option.startswith("--")))
    need(not why_not, f"no namespace of our own: {why_not}")
    return ("unshare", *options, *(("sh", "-c", f'{script}\nexec "$@"', "sh") if script else ()))


def own_mounts(script: str = "") -> tuple[str, ...]:
    """Return the beginning of a command with mounts of its own, changed by a line of shell."""
    return unshared("--mount", "--propagation=private", script=script)

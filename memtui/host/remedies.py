"""The commands that the doctor offers. Each was tried as the user to whom it is offered, who can run it.

A remedy is a command, or nothing where none helps: root is not told to become root, nor is sudo offered
where it gains nothing (no_new_privs, a user namespace, no sudo).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from memtui.linux.capabilities import (
    CAP_SYS_ADMIN,
    can_gain_capability,
    has_capability,
    no_new_privileges,
)
from memtui.linux.user_namespace import in_user_namespace
from memtui.model.finding import NoRights

ON_THE_HOST = "run memtui on the host"

_RIGHTS = "+sys_nice,+sys_ptrace,+dac_read_search,+kill"
_WITH_RIGHTS = (
    'sudo env HOME="$HOME" setpriv --reuid "$(id -u)" --regid "$(id -g)" --init-groups'
    f' --inh-caps {_RIGHTS} --ambient-caps {_RIGHTS} "$(command -v memtui)"'
)
"""As oneself, with just the rights that memtui uses; +kill is for sigstop alone."""

_ADD_SWAP = (
    "sh -c 'dd if=/dev/zero of=/swapfile bs=1M count=1024 && chmod 600 /swapfile"
    " && mkswap /swapfile && swapon /swapfile'"
)
"""A swap file of 1 GiB."""


class Remedies(NamedTuple):
    """What can be offered to who asks."""

    is_root: bool
    sudo_works: bool
    in_user_namespace: bool

    @classmethod
    def for_us(cls) -> Remedies:
        """Return what can be offered to us."""
        inside = in_user_namespace()
        works = not inside and not no_new_privileges() and shutil.which("sudo") is not None
        return cls(os.geteuid() == 0, works, inside)

    def rights(self) -> str:
        """Return how to run memtui with the capabilities that it uses, and no others."""
        if self.in_user_namespace:
            return ON_THE_HOST
        # Who is root and lacks one can give it to no program: it is outside the bounding set.
        return _WITH_RIGHTS if self.sudo_works and not self.is_root else ""

    def as_root(self, command: str) -> str:
        """Return a command that takes root, in a form that works for us."""
        if self.in_user_namespace:
            return ""
        if self.is_root:
            return command
        return f"sudo {command}" if self.sudo_works else ""

    def add_swap(self) -> str:
        """Return how to add swap."""
        if self.is_root and not has_capability(CAP_SYS_ADMIN):
            return ""
        return self.as_root(_ADD_SWAP)

    def why_no_rights(self, capability: int) -> NoRights | None:
        """Return why a right cannot be had from here, for where there is no command for it."""
        if self.in_user_namespace:
            return None
        if not can_gain_capability(capability):
            return NoRights.NOT_GRANTED
        if self.is_root:
            return NoRights.GIVEN_UP
        if no_new_privileges():
            return NoRights.NO_NEW_PRIVILEGES
        return None if self.sudo_works else NoRights.NO_SUDO

    def record_elsewhere(self, place: Path) -> str:
        """Return how to have actions recorded where ``place`` cannot be written.

        A folder of one's own home that became another's (by sudo, with HOME kept) is taken back. No other
        is offered: it may be the system's.
        """
        home = os.environ.get("HOME", "")
        if not is_read_only(place) and not self.is_root and home and Path(home) in place.parents:
            return self.as_root(f'chown -R "$(id -u):$(id -g)" {quote(str(place))}')
        if os.access(_mktemp_dir(), os.W_OK, effective_ids=True):
            return 'memtui --state-dir "$(mktemp -d)"'
        return ""


def _mktemp_dir() -> str:
    """Return where mktemp(1) makes its folders."""
    return os.environ.get("TMPDIR") or "/tmp"


def is_read_only(place: Path) -> bool:
    """Whether a place lies on a file system that is mounted read-only."""
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False

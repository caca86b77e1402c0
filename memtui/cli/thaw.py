"""``memtui thaw``: releases whatever a crash left frozen. Every other start that may act does so too."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from memtui.cli.exitcode import ALL, PART, PERMISSION, USAGE
from memtui.cli.output import complain, print_json, reader_may_leave
from memtui.format import safe
from memtui.freeze.thawed_words import describe_thawed
from memtui.host.left_held import ROOTS_JOURNAL_DIR
from memtui.host.local import LocalHost
from memtui.model.errors import MemtuiError
from memtui.model.freeze import ThawOutcome
from memtui.render import json_schema

if TYPE_CHECKING:
    import argparse

    from memtui.model.freeze import Thawed


def run(arguments: argparse.Namespace) -> int:
    """Release, and say whom."""
    try:
        user = _user(arguments.user)
    except (KeyError, OverflowError):
        return complain(f"there is no user {arguments.user}", USAGE)
    if user is not None and os.geteuid():
        return complain("what another user's memtui left held is released by root: use sudo", PERMISSION)
    with LocalHost(arguments.state_dir) as host:
        thawed = host.left_held.thaw()
        problems = list(host.left_held.remarks)
        if user is not None:
            try:
                thawed += host.left_held.thaw_of(user)
                problems += host.left_held.remarks
            except MemtuiError as error:
                problems.append(str(error))
    released = [item for item in thawed if item.outcome is ThawOutcome.RELEASED]
    problems = [describe_thawed(item) for item in thawed if item not in released] + problems
    with reader_may_leave():
        _print(released, thawed, as_json=arguments.json, quiet=bool(problems))
    for words in problems:
        complain(words)
    return PART if problems else ALL


def _user(name: str | None) -> pwd.struct_passwd | None:
    """Return whose journals to look at besides our own: who is named, or else who called sudo.

    Raises:
        KeyError, OverflowError: no such user.
    """
    user: pwd.struct_passwd | None
    if name is not None:
        user = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    else:
        try:
            user = pwd.getpwnam(os.environ["SUDO_USER"]) if os.geteuid() == 0 else None
        except KeyError:
            # Not by sudo, or by one that is no longer there.
            user = None
    return None if user is None or user.pw_uid == os.geteuid() else user


def _print(released: list[Thawed], thawed: list[Thawed], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(json_schema.thawed(item) for item in thawed)
        return
    for item in released:
        print(safe(describe_thawed(item)))
    if released or quiet:
        return
    if os.geteuid() and ROOTS_JOURNAL_DIR.is_dir():
        print("nothing of yours was left held; of root's only `sudo memtui thaw` knows")
    else:
        print("no process was left frozen")

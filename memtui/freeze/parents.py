"""Whom a stop of a process would stop or kill besides: its parents, and who stands in a group with them.

Facts from kernel/signal.c and kernel/exit.c (Linux 6.18), and from trying the programs named here:

- A parent is told that its child stops, and some stop themselves then and wait for a SIGCONT that a
  shell would send them: sudo (by kill(0, ...) of its whole process group, if it has a terminal), su,
  runuser, script, sg, newgrp, nsenter. Others send their child a SIGCONT at once.
- A group in which a process is stopped, and that loses its last link to another group of its session,
  is sent SIGHUP and SIGCONT: the end of one process then kills those that do not handle SIGHUP.
"""

from __future__ import annotations

import os
from contextlib import suppress
from fnmatch import fnmatchcase

from memtui.freeze.method import FreezeError
from memtui.freeze.threads import (
    DEAD_STATES,
    may_notice_stops,
    named,
    stop_in_force,
    thread_stat,
    waits_for_stops,
)
from memtui.linux.procfs import Stat, read_stat
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

STOPS_WITH_CHILD = (
    *("sudo", "sudo-rs", "sudoedit", "su", "su-rs", "runuser"),
    *("nsenter", "script", "scriptlive", "sg", "newgrp"),
)
"""Names of programs that stop themselves when their child stops (tried; sudo-rs, su-rs, scriptlive not)."""

CONTINUES_CHILD = ("tmux*", "screen", "SCREEN")
"""Names of programs that continue a child that stops."""

_INIT = 1
_INSTEAD = "; use --freeze ptrace"
_INSIST = ", or --allow-protected to insist"


def raise_if_others_would_suffer(pid: int, *, insist: bool = False) -> None:
    """Refuse a process whose stop would stop its parents, or let the end of one of them kill it.

    With ``insist`` only what could not be made good again is refused: see Bystanders. One that is
    stopped already is never refused, since nothing is sent to it.

    Raises:
        FreezeError: FREEZE_REFUSED, EXITED.
    """
    stat = thread_stat(pid, pid)
    if stat is None:
        raise FreezeError(Reason.EXITED)
    if stop_in_force(pid):
        return
    words = _of_parent(stat)
    if words is not None:
        if not _may_signal(stat.parent):
            raise _refused(f"{words}, and you may not continue it{_INSTEAD}")
        if not insist:
            raise _refused(words + _INSTEAD + _INSIST)
    if insist:
        return
    link = only_link(stat)
    if link is not None:
        raise _refused(
            f"its process group hangs on {named(link)} alone: if that ended while it is stopped, the kernel "
            f"would send it SIGHUP{_INSTEAD}{_INSIST}"
        )


def _refused(words: str) -> FreezeError:
    return FreezeError(Reason.FREEZE_REFUSED, "", words)


def _of_parent(stat: Stat) -> str | None:
    """Return what the parent of a process would do when that stops, if it is known to do something."""
    if stat.parent <= _INIT:
        return None
    who = f"its parent, {named(stat.parent)},"
    parent = thread_stat(stat.parent, stat.parent)
    if parent is None:
        if _is_there(stat.parent):
            return f"{who} is hidden from you, and might stop itself with it"
        return None
    if any(fnmatchcase(parent.name, name) for name in STOPS_WITH_CHILD):
        return f"{who} stops itself when its child stops"
    if any(fnmatchcase(parent.name, name) for name in CONTINUES_CHILD):
        return f"{who} would continue it at once (SIGCONT)"
    if waits_for_stops(stat.parent):
        return f"{who} waits to be told of its stop (WUNTRACED), and might stop itself with it"
    return None


def _is_there(pid: int) -> bool:
    with suppress(ProcessLookupError):
        return _may_signal(pid) or True
    return False


def _may_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    return True


def only_link(stat: Stat) -> int | None:
    """Return the process without which a group would be orphaned; None if there are two, or none.

    None at all: it is orphaned already, as that of a service is, and nothing more can happen to it. The
    rule is will_become_orphaned_pgrp() of kernel/exit.c: a link is a parent in another group of the same
    session. That another process of that session may adopt orphans (PR_SET_CHILD_SUBREAPER) is not to be
    seen.
    """
    everybody = _everybody()
    links = set()
    for member in everybody.values():
        if member.process_group != stat.process_group or member.parent <= _INIT:
            continue
        if member.state in DEAD_STATES and member.threads <= 1:
            continue
        parent = everybody.get(member.parent)
        if parent and parent.process_group != member.process_group and parent.session == member.session:
            links.add(member.parent)
    return links.pop() if len(links) == 1 else None


def bystanders_of(pid: int) -> list[tuple[int, Stat]]:
    """Return who may stop because a process is stopped, and runs now: by pid, its parents first.

    Nobody, where its parent could not get to know of it. Otherwise its parents, up to init, and whoever
    is in a process group with one of them.
    """
    stat = thread_stat(pid, pid)
    if stat is None or stat.parent <= _INIT or not may_notice_stops(stat.parent):
        return []
    everybody = _everybody()
    parents: list[int] = []
    at = stat.parent
    while at > _INIT and at in everybody and at not in parents:
        parents.append(at)
        at = everybody[at].parent
    groups = {everybody[parent].process_group for parent in parents} - {0}
    mates = [each for each, found in everybody.items() if found.process_group in groups]
    ours = {pid, _INIT, os.getpid()}
    return [
        (each, everybody[each])
        for each in dict.fromkeys([*parents, *mates])
        if each not in ours and everybody[each].state not in "TtZX"
    ]


def _everybody() -> dict[int, Stat]:
    """Return the stat of every process that we can see."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(MemtuiError):  # gone, or hidden
                found[int(name)] = read_stat(int(name))
    return found

"""Letting go of what dead guards held: whatever died, the next start finds it in the journals."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from memtui.freeze.cgroup import bring_home, is_ours, remove
from memtui.freeze.journal import Entry, is_held_by_the_living, paths, remove_if_empty, taken
from memtui.freeze.method import FreezeError
from memtui.freeze.threads import is_dead, stop_in_force, thread_stat
from memtui.linux import machine
from memtui.linux.cgroups import Group
from memtui.model.holds import Thawed, ThawOutcome
from memtui.model.methods import Freeze

BYSTANDERS_S = 1.0
"""Within this, after a hold, who stopped because of it has done so."""

_OTHERS_END_WITHIN_S = 2.5
_BAD_SUFFIX = ".unreadable"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did. ``remarks`` are about journals that could not be read."""

    thawed: tuple[Thawed, ...]
    remarks: tuple[str, ...]


def replay(folder: Path) -> Replayed:
    """Let go of what the journals of dead guards have; those of living guards are not touched.

    A process is released if it is the one that was held, and is held still: who has died since, or
    was continued by others, is not in the answer. A stop that somebody else had made before stays.

    Raises:
        MemtuiError: FREEZE_NO_JOURNAL where the journals may not be read.
    """
    thawed: list[Thawed] = []
    remarks: list[str] = []
    for path in paths(folder):
        try:
            with taken(path) as found:
                if found is None:
                    continue
                # First the processes that were held: for a bystander it may take a while.
                entries = sorted(found.entries, key=lambda entry: entry.bystander)
                done = [_release(entry, path) for entry in entries]
                thawed += [item for item in done if item is not None]
                if found.torn_lines:
                    path.replace(path.with_name(path.name + _BAD_SUFFIX))
                    remarks.append(f"a part of {path.name} could not be read; it is kept as {_BAD_SUFFIX}")
                elif all(item is None or item.outcome is ThawOutcome.RELEASED for item in done):
                    path.unlink(missing_ok=True)
        except OSError as error:
            remarks.append(f"{path} cannot be read: {error.strerror}")
    remove_if_empty(folder)
    return Replayed(tuple(thawed), tuple(remarks))


def _release(entry: Entry, journal: Path) -> Thawed | None:
    """Release one process; None where there was nothing to release."""
    if entry.boot_id != machine.boot_id():
        return None
    if entry.bystander:
        _await_stop(entry, journal)
    _let_others_end(entry, journal)
    try:
        pidfd = os.pidfd_open(entry.pid)
    except OSError:
        # Dead and gone; what may be left is its group.
        pidfd = -1
    try:
        stat = None if pidfd < 0 else thread_stat(entry.pid, entry.pid)
        alive = stat is not None and stat.start_time == entry.start_time and not is_dead(pidfd)
        words: str | None
        if entry.method == Freeze.CGROUP.value:
            words = _bring_home(entry, alive)
        else:
            words = _continue(entry, pidfd) if alive else None
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    if words is None:
        return None
    name = stat.name if stat is not None and alive else ""
    outcome = ThawOutcome.FAILED if words else ThawOutcome.RELEASED
    return Thawed(entry.pid, entry.start_time, name, Freeze(entry.method), outcome, words, entry.bystander)


def _await_stop(entry: Entry, journal: Path) -> None:
    """Wait for the stop of a bystander: within a second of the hold it may still come."""
    try:
        began = journal.stat().st_mtime
    except OSError:
        return
    # By the clock of the day, which may have been set meanwhile: never longer than that.
    until = time.monotonic() + min(BYSTANDERS_S, began + BYSTANDERS_S - time.time())
    while time.monotonic() < until:
        stat = thread_stat(entry.pid, entry.pid)
        if stat is None or stat.start_time != entry.start_time or stat.state == "T":
            return
        time.sleep(0.01)


def _let_others_end(entry: Entry, journal: Path) -> None:
    """Wait until no living guard holds the same process: a stop that we end would be under its hold too."""
    until = time.monotonic() + _OTHERS_END_WITHIN_S
    while is_held_by_the_living(entry, journal) and time.monotonic() < until:
        time.sleep(0.01)


def _continue(entry: Entry, pidfd: int) -> str | None:
    """Continue a stopped process. Return None if it is not ours to continue, else what went wrong."""
    try:
        if entry.was_stopped or not stop_in_force(entry.pid):
            return None
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except (ProcessLookupError, FreezeError):
        # It has died meanwhile.
        return None
    except PermissionError:
        return "you may not send signals to it; run as root"
    return ""


def _bring_home(entry: Entry, alive: bool) -> str | None:
    """Empty a group, whoever stands in it, and remove it. Return None if it was gone, else what is wrong."""
    if not is_ours(entry.group) or os.path.dirname(entry.group.rstrip("/")) != entry.home.rstrip("/"):
        return "its journal names a cgroup that is not ours"
    group, home = Group(entry.group, entry.home), Group(entry.home, entry.home)
    if not group.exists():
        return None
    try:
        stood = group.is_populated()
        # Whatever the way home meets, it runs on first.
        group.set_freeze(False)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{error.strerror} ({error.filename})"
    if not bring_home(group, home, entry.pid if alive else None):
        return f"it runs on, and cannot be moved back to {entry.home}"
    if not remove(group):
        return f"{entry.group} cannot be removed"
    return "" if stood else None

"""Letting go of what dead guards held: whatever died, the next start finds it in the journals."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from memtui.freeze.cgroup import bring_home, is_ours, remove
from memtui.freeze.journal import (
    BAD_SUFFIX,
    Entry,
    Line,
    is_held_by_the_living,
    paths,
    read,
    remove_if_empty,
    settle,
    taken,
)
from memtui.freeze.method import FreezeError
from memtui.freeze.threads import is_dead, stop_in_force, thread_stat
from memtui.linux import sysinfo
from memtui.linux.cgroup import Group, mounts, path_of
from memtui.linux.namespaces import ProcView, pid_namespace, proc_view, time_namespace
from memtui.linux.procfs import Stat, read_stat
from memtui.model.errors import MemtuiError, NoSuchProcess
from memtui.model.freeze import Freeze, Thawed, ThawOutcome
from memtui.model.reasons import Reason

BYSTANDERS_S = 1.0
"""Within this, after a hold, who stopped because of it has done so."""

_OTHERS_END_WITHIN_S = 2.5
_NO_PROC = "what is left held cannot be known: /proc is not mounted here; mount it (mount -t proc proc /proc)"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did. ``remarks`` are about journals that could not be read."""

    thawed: tuple[Thawed, ...]
    remarks: tuple[str, ...]


_GONE = (errno.ESRCH, errno.ENOENT, errno.EINVAL)
"""What pidfd_open(2) says of a pid that no process has; the last two of one that a thread has by now."""


class _Unknown(Exception):
    """What became of a process cannot be known here; the words say why."""


def replay(folder: Path) -> Replayed:
    """Let go of what the journals of dead guards have; those of living guards are not touched.

    A process is released if it is the one that was held, and is held still: who has died since, or
    was continued by others, is not in the answer. A stop that somebody else had made before stays. What
    another boot, machine or namespace noted is left, and told.

    Raises:
        MemtuiError: FREEZE_NO_JOURNAL where the journals may not be read.
    """
    if proc_view() is ProcView.MISSING:
        return Replayed((), (_NO_PROC,))
    thawed: list[Thawed] = []
    remarks: list[str] = []
    for path in paths(folder):
        try:
            with taken(path) as found:
                if found is None:
                    continue
                left: list[Line] = []
                # First the processes that were held: for a bystander it may take a while.
                for line in sorted(found.lines, key=lambda line: bool(line.entry and line.entry.bystander)):
                    item = None if line.entry is None else _release(line.entry, path)
                    if item is not None:
                        thawed.append(item)
                    if line.entry is None or (item and item.outcome is not ThawOutcome.RELEASED):
                        left.append(line)
                remarks += _remarks(path, found.torn_lines, found.lines)
                settle(found, left)
        except OSError as error:
            remarks.append(f"{path} cannot be read or written: {error.strerror}")
    remove_if_empty(folder)
    return Replayed(tuple(thawed), tuple(remarks))


def left_held(folder: Path) -> Replayed:
    """Say what :func:`replay` would find, and touch nothing.

    Raises:
        MemtuiError: FREEZE_NO_JOURNAL where the journals may not be read.
    """
    if proc_view() is ProcView.MISSING:
        return Replayed((), (_NO_PROC,))
    held: list[Thawed] = []
    for path in paths(folder):
        held += filter(None, (_answered(entry, path, _held) for entry in read(path).entries))
    return Replayed(tuple(held), ())


def _remarks(path: Path, torn_lines: int, lines: tuple[Line, ...]) -> Iterator[str]:
    if torn_lines:
        yield f"a part of {path.name} could not be read; it is kept as {BAD_SUFFIX}"
    if any(line.entry is None for line in lines):
        yield f"{path} has lines of another version of memtui, which were left: run that one's `memtui thaw`"


def _release(entry: Entry, journal: Path) -> Thawed | None:
    """Release one process; None where there was nothing to release."""
    return _answered(entry, journal, _let_go)


_Answer = Callable[[Entry, Path, int, "Stat | None"], "tuple[ThawOutcome, str] | None"]


def _answered(entry: Entry, journal: Path, answer: _Answer) -> Thawed | None:
    """Return what an answer says of the process of an entry; LEFT where nothing can be known of it here.

    The answer gets its pidfd and stat, or -1 and None if it is gone.
    """
    name = ""
    try:
        if _is_of_the_past(entry):
            return None
        _raise_if_elsewhere(entry, journal)
        with _opened(entry) as (pidfd, stat):
            name = stat.name if stat is not None else ""
            found = answer(entry, journal, pidfd, stat)
    except _Unknown as error:
        found = ThawOutcome.LEFT, str(error)
    if found is None:
        return None
    return Thawed(entry.pid, entry.start_time, name, Freeze(entry.method), *found, entry.bystander)


def _is_of_the_past(entry: Entry) -> bool:
    """Whether this machine has been started anew since: then nothing is held.

    Older versions named no machine, and nearly always meant this one.
    """
    return entry.boot_id != sysinfo.boot_id() and entry.machine in ("", sysinfo.machine_id())


def _raise_if_elsewhere(entry: Entry, journal: Path) -> None:
    """Raise _Unknown if the numbers of an entry do not count here."""
    if entry.boot_id != sysinfo.boot_id():
        where = f"on {entry.machine}" if entry.machine else "there"
        raise _Unknown(f"another machine noted it; run `memtui thaw` {where}, or remove {journal}")
    for noted, here in ((entry.pid_namespace, pid_namespace()), (entry.time_namespace, time_namespace())):
        if noted and noted != here:
            raise _Unknown(
                f"it was noted in {noted}, and this is {here or 'not known'}; run `memtui thaw` there, "
                f"or remove {journal} if that namespace is gone"
            )
    if proc_view() is not ProcView.OURS:
        raise _Unknown(Reason.FOREIGN_PROC.text + "; " + Reason.FOREIGN_PROC.next_step)


@contextmanager
def _opened(entry: Entry) -> Iterator[tuple[int, Stat | None]]:
    """Open the process of an entry; give -1 and None if it is gone.

    Raises:
        _Unknown: it may be there, and cannot be seen (hidepid, no file left to open, ...).
    """
    try:
        pidfd = os.pidfd_open(entry.pid)
    except OSError as error:
        if error.errno not in _GONE:
            raise _Unknown(f"it cannot be opened: {error.strerror}") from error
        _raise_if_of_old(entry)
        yield -1, None
        return
    try:
        stat = _stat_of(entry, pidfd)
        yield (pidfd, stat) if stat is not None else (-1, None)
    finally:
        os.close(pidfd)


def _stat_of(entry: Entry, pidfd: int) -> Stat | None:
    """Return the stat of the process of an entry, whose pid is open; None if that is another's, or dead."""
    try:
        stat = read_stat(entry.pid)
    except NoSuchProcess as error:
        if not is_dead(pidfd):
            raise _Unknown("it is hidden from you (hidepid); run as root") from error
        stat = None
    except MemtuiError as error:
        raise _Unknown(str(error)) from error
    if stat is not None and stat.start_time == entry.start_time and not is_dead(pidfd):
        return stat
    _raise_if_of_old(entry)
    return None


def _raise_if_of_old(entry: Entry) -> None:
    """Raise _Unknown if who is not here may be in another namespace, of which nothing was noted."""
    group_is_here = entry.method == Freeze.CGROUP.value and Group(entry.group, entry.home).exists()
    if not (entry.pid_namespace and entry.time_namespace) and not group_is_here:
        raise _Unknown(
            "an older memtui noted it, without its namespace, and no such process is here; "
            "run `memtui thaw` where it ran"
        )


def _held(entry: Entry, _journal: Path, _pidfd: int, stat: Stat | None) -> tuple[ThawOutcome, str] | None:
    """Say whether it is held still."""
    if entry.method == Freeze.CGROUP.value:
        held = _why_not_ours(entry) is None and Group(entry.group, entry.home).exists()
    else:
        held = stat is not None and not entry.was_stopped and _is_stopped(entry.pid)
    return (ThawOutcome.HELD, "") if held else None


def _let_go(entry: Entry, journal: Path, pidfd: int, stat: Stat | None) -> tuple[ThawOutcome, str] | None:
    """Release it; None where there was nothing to release."""
    if entry.bystander and stat is not None:
        _await_stop(entry, journal)
    _let_others_end(entry, journal)
    if entry.method == Freeze.CGROUP.value:
        words = _bring_home(entry, stat is not None)
    else:
        words = _continue(entry, pidfd) if stat is not None else None
    if words is None:
        return None
    return (ThawOutcome.FAILED if words else ThawOutcome.RELEASED), words


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
    with suppress(MemtuiError):  # the journals cannot be read; to leave it stopped would be worse
        while is_held_by_the_living(entry, journal) and time.monotonic() < until:
            time.sleep(0.01)


def _continue(entry: Entry, pidfd: int) -> str | None:
    """Continue a stopped process. Return None if it is not ours to continue, else what went wrong."""
    if entry.was_stopped or not _is_stopped(entry.pid):
        return None
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except ProcessLookupError:
        # It has died meanwhile.
        return None
    except OSError as error:
        if error.errno == errno.EPERM:
            return f"you may not send signals to it; run `kill -CONT {entry.pid}` as root"
        return f"it cannot be sent a signal: {error.strerror}"
    return ""


def _is_stopped(pid: int) -> bool:
    try:
        return stop_in_force(pid)
    except FreezeError as error:
        if error.reason is Reason.EXITED:
            return False
        raise _Unknown(str(error)) from error


def _bring_home(entry: Entry, alive: bool) -> str | None:
    """Empty a group, whoever stands in it, and remove it. Return None if it was gone, else what is wrong."""
    words = _why_not_ours(entry)
    if words is not None:
        return words
    group, home = Group(entry.group, entry.home), Group(entry.home, entry.home)
    if not group.exists():
        return _why_not_seen(entry) if alive else None
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


def _why_not_ours(entry: Entry) -> str | None:
    """Return what is wrong with the cgroup of an entry; None for one that a guard may have made."""
    group, home = entry.group.rstrip("/"), entry.home.rstrip("/")
    places = [mount.point.rstrip("/") for mount in mounts()]
    is_below = any(home == place or home.startswith(f"{place}/") for place in places)
    right = is_ours(group) and os.path.dirname(group) == home and os.path.normpath(group) == group
    if right and (is_below or not os.path.isdir(group)):
        return None
    return "its journal names a cgroup that is not ours"


def _why_not_seen(entry: Entry) -> str | None:
    """Return where a process stands, if that is the group of an entry, which our mounts do not show."""
    try:
        path = path_of(entry.pid)
    except MemtuiError as error:
        raise _Unknown(str(error)) from error
    if path is None or os.path.basename(path) != os.path.basename(entry.group):
        return None
    return f"it stands in the cgroup {path}, which is not to be seen from here"

"""Holding by a cgroup (version 2): a frozen child of the target's own group, and the pid moved into it.

The limits of the target's own group go on to hold, since the child has no controllers of its own.
Nobody is told, and its states stay as they were: frozen threads show ``S``. Facts from
Documentation/admin-guide/cgroup-v2.rst, kernel/cgroup/freezer.c and measurements (Linux 6.18):

- A move waits some milliseconds for the kernel's own bookkeeping before it happens; the process
  runs on meanwhile, so that only what comes after it counts as held.
- A thread that waits for its vfork child counts as frozen, though the child shares its memory.
- Moving a process out of a group that somebody else froze would thaw it.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from memtui.freeze.journal import Entry
from memtui.freeze.method import FreezeError, Subject
from memtui.freeze.threads import DEAD_STATES, EXITED, ends_soon, is_dead, listed, state_words, thread_stat
from memtui.linux import sysinfo
from memtui.linux.cgroup import Group, group_at, mounts, path_of
from memtui.linux.ending import is_ending
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason

_SPIN_S = 0.002
_SETTLE_S = 0.0001
_REMOVE_WITHIN_S = 0.5
_NAME = "memtui-"
_ATTEMPTS = 100
_INSTEAD = "; use --freeze ptrace"


class CgroupFreezer:
    """One process held by a cgroup of our own. Made for one hold."""

    tick_s = 0.001
    ends_with_us = False

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._pid = subject.pid
        self._home: Group | None = None
        self._group: Group | None = None
        self._entry: Entry | None = None
        self.stopped_at: float | None = None
        self._moved = False
        self._complete = False
        self.threads = 0
        self._vforks: int | None = None
        self.lost: str | None = None

    def prepare(self) -> None:
        """Find its group, record what is going to be done, and make a frozen group in it.

        Raises:
            FreezeError: EXITED, FREEZE_REFUSED, FREEZE_DENIED, FREEZE_NO_JOURNAL.
        """
        subject = self._subject
        home = self._home = suitable_home(self._pid)
        group = _free_name(home)
        entry = Entry(
            sysinfo.boot_id(),
            self._pid,
            subject.start_time,
            Freeze.CGROUP.value,
            home=home.folder,
            group=group.folder,
        )
        subject.journal.add(entry)
        self._entry = entry
        subject.pause("journalled")
        try:
            group.make()
            self._group = group
            subject.pause("group_made")
            group.set_freeze(True)
        except OSError as error:
            raise _error_of(error, "no group can be made in its cgroup") from error
        subject.pause("group_frozen")

    def advance(self) -> bool:
        """Move it in; return whether every thread of it stands still.

        Raises:
            FreezeError: EXITED, FREEZE_REFUSED, FREEZE_DENIED.
        """
        assert self._group is not None
        if not self._moved:
            self._move_in(self._group)
        until = time.monotonic() + _SPIN_S
        while not (self._group.is_frozen() and self._all_stand()):
            if time.monotonic() >= until:
                return False
            # It needs a CPU to freeze on.
            time.sleep(_SETTLE_S)
        self._complete = True
        return True

    def _move_in(self, group: Group) -> None:
        if is_dead(self._subject.pidfd):
            raise FreezeError(Reason.EXITED)
        self._moved = True
        try:
            group.take_in(self._pid)
        except OSError as error:
            raise _error_of(error, "it cannot be moved into a group of its own") from error
        self.stopped_at = time.monotonic()
        self._subject.pause("touched")
        # A bare pid was named: if it died meanwhile, what was moved may be another's. It goes back.
        if is_dead(self._subject.pidfd):
            raise FreezeError(Reason.EXITED)

    def _all_stand(self) -> bool:
        self._vforks = None
        count = 0
        for tid in listed(self._pid):
            stat = thread_stat(self._pid, tid)
            if stat is not None and stat.state not in DEAD_STATES:
                count += 1
                if stat.state == "D":
                    self._vforks = tid
        self.threads = count
        if count == 0:
            raise FreezeError(Reason.EXITED)
        return self._vforks is None

    def on_wait_status(self, tid: int, status: int) -> None:
        """Nothing is reported of threads that are not traced."""

    def pending(self) -> str:
        """Return, in words, what has not stopped yet."""
        if self._vforks is not None:
            return state_words(self._pid, self._vforks, self.threads, 1)
        return "the kernel has not frozen all of its threads; it was let go and runs on"

    def release(self) -> bool:
        """Thaw the group, so that everything in it runs on."""
        if self._group is None:
            return True
        if self._complete:
            self.lost = self._why_lost(self._group)
        try:
            self._group.set_freeze(False)
        except OSError:
            # Then the way home lets it run on as well.
            self._go_home()
        self._complete = False
        return True

    def cleanup(self) -> None:
        """Move everything home, remove the group, and forget it.

        What cannot be done now stands in the journal, and is done at the next start.
        """
        if self._entry is None:
            return
        if self._group is not None:
            if not self._go_home():
                return
            self._subject.pause("went_home")
            if not remove(self._group):
                return
        self._subject.journal.drop(self._entry)
        self._entry = None

    def _go_home(self) -> bool:
        assert self._group is not None
        assert self._home is not None
        return not self._moved or bring_home(self._group, self._home, self._pid)

    def _why_lost(self, group: Group) -> str | None:
        # A killed thread counts as frozen until it gets a CPU. Its SIGKILL shows until it has taken it,
        # and right after that it leaves the freezer: so this is asked first.
        if is_ending(self._pid):
            return EXITED
        try:
            if not group.is_frozen():
                return EXITED if ends_soon(self._pid) else "thawed from outside"
            for tid in listed(self._pid):
                stat = thread_stat(self._pid, tid)
                if stat is None or stat.state in DEAD_STATES:
                    continue
                path = path_of(self._pid, tid)
                if path is not None and group_at(path) == group:
                    return None
        except (OSError, MemtuiError):
            return EXITED if ends_soon(self._pid) else "its cgroup cannot be read"
        return EXITED if ends_soon(self._pid) else "moved out of its cgroup from outside"


def bring_home(group: Group, home: Group, pid: int | None) -> bool:
    """Move everything out of a group into another; return whether it is empty.

    ``pid`` is moved even where it is not listed, as one whose first thread has exited is not.
    """
    until = time.monotonic() + _REMOVE_WITHIN_S
    while True:
        try:
            if not group.is_populated():
                return True
            for each in group.pids() or ([] if pid is None else [pid]):
                with suppress(ProcessLookupError):  # it has died
                    home.take_in(each)
        except FileNotFoundError:
            # The group, and then nobody stands in it; or else its home, to which nothing leads back.
            return not group.exists()
        except OSError:
            # It runs all the same; whoever comes next tries again.
            return False
        if time.monotonic() >= until:
            return False
        time.sleep(_SETTLE_S)


def remove(group: Group) -> bool:
    """Remove an empty group; return whether it is gone."""
    until = time.monotonic() + _REMOVE_WITHIN_S
    while True:
        try:
            group.remove()
            return True
        except FileNotFoundError:
            return True
        except OSError as error:
            # EBUSY for a moment after the last one has left it or died.
            if error.errno != errno.EBUSY or time.monotonic() >= until:
                return False
            time.sleep(0.001)


def is_ours(group: str) -> bool:
    """Whether a group bears a name as guards give it."""
    return os.path.basename(group).startswith(_NAME)


def frozen_by(pid: int) -> str | None:
    """Return the folder of the group by which a process is frozen; None if it is not, or not to be seen."""
    try:
        path = path_of(pid)
        group = None if path is None else group_at(path)
        return None if group is None else group.frozen_by()
    except (OSError, MemtuiError):
        # Gone, or hidden: then the freeze itself tells.
        return None


def suitable_home(pid: int) -> Group:
    """Return the group of a process, in which it can be frozen.

    Raises:
        FreezeError: FREEZE_REFUSED with the reason, EXITED.
    """
    try:
        home = _home_of(pid)
        words = _why_not(home, pid)
    except MemtuiError as error:
        raise FreezeError(Reason.EXITED if is_gone(pid) else error.reason, "", str(error)) from error
    except OSError as error:
        words = f"its cgroup cannot be read: {error.strerror} ({error.filename})"
    if words is not None:
        raise FreezeError(Reason.FREEZE_REFUSED, "", words + _INSTEAD)
    return home


def is_gone(pid: int) -> bool:
    """Whether there is no process of that pid."""
    return not os.path.isdir(f"/proc/{pid}")


def _home_of(pid: int) -> Group:
    known = mounts()
    if not known:
        raise FreezeError(Reason.FREEZE_REFUSED, "", "no cgroup v2 hierarchy is mounted here" + _INSTEAD)
    path = path_of(pid)
    if path is None:
        raise FreezeError(Reason.FREEZE_REFUSED, "", "it stands in no cgroup v2" + _INSTEAD)
    home = group_at(path, known)
    if home is None:
        raise FreezeError(
            Reason.FREEZE_REFUSED, "", f"its cgroup {path} is not to be seen from here" + _INSTEAD
        )
    return home


def _why_not(home: Group, pid: int) -> str | None:
    frozen = home.frozen_by()
    if frozen is not None:
        return f"somebody froze its cgroup already ({frozen})"
    kind = home.kind()
    if kind != "domain":
        return f"its cgroup {home.folder} is {kind}, from which a process cannot be moved"
    if not home.may_be_written():
        return f"its cgroup {home.folder} may not be written by you"
    if home.is_top:
        # Of all domains only the root may have threaded groups below it, and threads of one process there.
        ours = path_of(pid)
        for tid in listed(pid):
            with suppress(MemtuiError):  # the thread has ended
                if path_of(pid, tid) != ours:
                    return "its threads stand in several cgroups (threaded)"
    return None


def _free_name(home: Group) -> Group:
    for number in range(1, _ATTEMPTS):
        group = home.child(f"{_NAME}{os.getpid()}-{number}")
        if not group.exists():
            return group
    raise FreezeError(Reason.FREEZE_REFUSED, "", f"too many groups of dead guards in {home.folder}")


def _error_of(error: OSError, words: str) -> FreezeError:
    if error.errno == errno.ESRCH:
        return FreezeError(Reason.EXITED)
    return FreezeError(Reason.FREEZE_REFUSED, "", f"{words}: {error.strerror} ({error.filename}){_INSTEAD}")

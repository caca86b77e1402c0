"""A process held by its pidfd and by its open map, so that it cannot be mistaken for another."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

from memtui.linux import sysinfo
from memtui.linux.capabilities import reason_of_pidfd
from memtui.linux.descriptor import Descriptor
from memtui.linux.ending import is_ending
from memtui.linux.exec_identity import Program, program_of
from memtui.linux.namespaces import ProcView, proc_view
from memtui.linux.proc_mount import hidepid
from memtui.linux.procfs import Stat, error_of, parse_stat, read_fd, read_stat
from memtui.model.errors import MemtuiError, NoSuchProcess, NotPermitted, Unusable
from memtui.model.process import Liveness, ProcessId
from memtui.model.reasons import Detail, DetailCode, Reason

if TYPE_CHECKING:
    from types import TracebackType

_OPENINGS = 100
"""How often to open what execs time and again. Each time is a tenth of a millisecond."""


class ProcessHandle:
    """An open process: pidfd, /proc/PID/maps and, where permitted, /proc/PID/pagemap.

    The two /proc files belong to the address space that stood when they were opened: after an exec
    they read empty, without an error (measured on 6.18), which is how an exec is told.

    Where /proc is that of another pid namespace (``is_foreign``) there is no pidfd: the number would be
    another process's. Such a process can be looked at, and nothing can be done to it.

    Raises:
        MemtuiError: NoSuchProcess; NotPermitted; Unusable for a zombie or a kernel thread.
    """

    def __init__(self, pid: int) -> None:
        self._files: list[Descriptor] = []
        self._closed = False
        self._pid = pid
        self._program = Program(None, None)
        subject = f"process {pid}"
        self.is_foreign = proc_view() is ProcView.FOREIGN
        try:
            # What stands for the process: its pidfd, or else its folder, of which nothing can be read once
            # it has been reaped, whoever has its pid then.
            self._anchor = self._keep(_folder_of(pid) if self.is_foreign else _open_pidfd(pid))
            stat = self._read_first_stat(pid)
            self.name = stat.name
            if stat.is_kernel_thread:
                raise Unusable(Reason.KERNEL_THREAD, subject)
            self.maps, self.pagemap = self._open_memory(pid)
            if self.is_dead():
                raise _dead(pid)
        except OSError as error:
            self.close()
            raise error_of(error, pid) from error
        except BaseException:
            self.close()
            raise
        self.process = ProcessId(pid, stat.start_time, sysinfo.boot_id())

    @property
    def pid(self) -> int:
        """The bare pid."""
        return self.process.pid

    @property
    def pidfd(self) -> int:
        """The number of the pidfd, for one call; -1 once it is closed, or where /proc is foreign."""
        return -1 if self.is_foreign else self._anchor.fileno()

    @property
    def pagemap_fd(self) -> int | None:
        """The number of pagemap, for one call; -1 once it is closed, None where it may not be read."""
        return None if self.pagemap is None else self.pagemap.fileno()

    def is_dead(self) -> bool:
        """Whether the process has exited (also as a zombie). Costs one poll(2).

        Raises:
            MemtuiError: CANCELLED where it was closed: then nothing is known.
        """
        if self._closed:
            raise self.lost_error()
        if self.is_foreign:
            return _has_ended(self._anchor, self._pid)
        poller = select.poll()
        try:
            poller.register(self._anchor.fileno(), select.POLLIN)
        except ValueError as error:
            # Another thread has just closed it.
            raise self.lost_error() from error
        return bool(poller.poll(0))

    def is_ending(self) -> bool:
        """Whether the process has exited, or is about to: its pidfd tells some milliseconds later."""
        return self.is_dead() or is_ending(self.pid)

    def standing(self) -> Liveness:
        """Return what became of it."""
        try:
            return self._standing()
        except (MemtuiError, OSError):
            # Closed, perhaps in between and by another thread.
            if self._closed:
                return Liveness.CLOSED
            raise

    def _standing(self) -> Liveness:
        if self.is_dead():
            try:
                return Liveness.ZOMBIE if read_stat(self.pid).state == "Z" else Liveness.EXITED
            except MemtuiError:
                return Liveness.EXITED
        if os.pread(self.maps.fileno(), 1, 0):
            return Liveness.ALIVE
        return Liveness.EXITED if self.is_ending() else Liveness.EXECED

    def read_maps(self, last: bytes = b"") -> bytes:
        """Return the text of the map; if it is the same as ``last``, that very object.

        Raises:
            MemtuiError: if the process has exited or exec'ed.
        """
        try:
            data = read_fd(self.maps.fileno(), last)
        except OSError as error:
            if error.errno == errno.ESRCH or self._closed:
                raise self.lost_error() from error
            raise error_of(error, self.pid) from error
        if not data:
            raise self.lost_error()
        return data

    def program(self) -> Program:
        """Return what tells its program from the next one; of what was seen once nothing is forgotten.

        Ask before an action: it may have the page go that tells best (see :func:`program_of`).
        """
        if self._program.random is None:
            self._program = program_of(self.pid, self.pagemap_fd)
        return self._program

    def lost_error(self) -> MemtuiError:
        """Return the error for an address space that is no longer there."""
        if self._closed:
            words = Detail(DetailCode.TARGET_CLOSED).text
            return MemtuiError(Reason.CANCELLED, f"process {self.pid}", words)
        # Its memory goes some milliseconds before its pidfd tells of the end.
        if self.is_ending():
            return NoSuchProcess(Reason.EXITED, f"process {self.pid}")
        return Unusable(Reason.EXECED, f"process {self.pid}")

    def close(self) -> None:
        """Close all files. May be called again."""
        self._closed = True
        while self._files:
            self._files.pop().close()

    def __enter__(self) -> ProcessHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_memory(self, pid: int) -> tuple[Descriptor, Descriptor | None]:
        """Open maps and pagemap, of one address space: again, if an exec came in between.

        Raises:
            MemtuiError: Unusable for what has no memory; NoSuchProcess.
            OSError: as open(2) and read(2).
        """
        for _ in range(_OPENINGS):
            maps = self._keep(os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC))
            number = _open_pagemap(pid) if os.pread(maps.fileno(), 1, 0) else None
            pagemap = None if number is None else self._keep(number)
            if os.pread(maps.fileno(), 1, 0):
                return maps, pagemap
            for file in filter(None, (maps, pagemap)):
                self._files.remove(file)
                file.close()
            self._raise_if_without_memory(pid)
        raise Unusable(Reason.EXECED, f"process {pid}")

    def _raise_if_without_memory(self, pid: int) -> None:
        """Raise for what has no map, and will not have one either."""
        if self.is_dead():
            raise _dead(pid)
        stat = read_stat(pid)
        if stat.state == "Z":
            # No map though it lives: its first thread has exited, others run on.
            raise Unusable(Reason.LEADER_EXITED, f"process {pid}")
        if stat.is_ending:
            raise NoSuchProcess(Reason.EXITED, f"process {pid}")

    def _read_first_stat(self, pid: int) -> Stat:
        try:
            return read_stat(pid)
        except NoSuchProcess as error:
            # It is there: /proc is mounted with hidepid=, or is another namespace's.
            if self.is_dead() or hidepid() is None:
                raise
            raise NotPermitted(Reason.HIDDEN, f"process {pid}") from error

    def _keep(self, number: int) -> Descriptor:
        self._files.append(Descriptor(number))
        return self._files[-1]


def _open_pagemap(pid: int) -> int | None:
    try:
        return os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        # Mode 0400: maps may be readable where this is not. RSS then comes from smaps.
        return None
    except ProcessLookupError:
        # It has no memory at this moment (an exec, or its end): maps tells too.
        return None


def _open_pidfd(pid: int) -> int:
    """Open a process.

    Raises:
        MemtuiError: NoSuchProcess, too, for what is no leader of a thread group, or no pid at all (EINVAL).
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        reason, subject = reason_of_pidfd(error), f"process {pid}"
        if reason is Reason.NO_SUCH_PROCESS:
            raise NoSuchProcess(reason, subject) from error
        raise (NotPermitted if reason is Reason.SECCOMP else MemtuiError)(reason, subject) from error


def _folder_of(pid: int) -> int:
    return os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _has_ended(folder: Descriptor, pid: int) -> bool:
    """Whether the process of an open folder of /proc has exited, also as a zombie.

    Raises:
        MemtuiError: it may not be seen, or no file can be opened.
    """
    try:
        fd = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder.fileno())
        try:
            return parse_stat(read_fd(fd)).state in "ZX"
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return True
        raise error_of(error, pid) from error


def _dead(pid: int) -> MemtuiError:
    subject = f"process {pid}"
    try:
        zombie = read_stat(pid).state == "Z"
    except NotPermitted:
        zombie = False
    except NoSuchProcess:
        return NoSuchProcess(Reason.EXITED, subject)
    return Unusable(Reason.ZOMBIE, subject) if zombie else NoSuchProcess(Reason.EXITED, subject)

"""The engine's side of the guard: starts it, asks it to hold and to release, and never waits for ever."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memtui.freeze import protocol
from memtui.freeze.method import FreezeError
from memtui.freeze.protected import refuse_reason
from memtui.freeze.recovery import BYSTANDERS_S, Replayed, replay
from memtui.freeze.thawed_words import describe_thawed
from memtui.isolated import isolated_command
from memtui.linux.namespaces import children_are_elsewhere
from memtui.linux.own_threads import no_process, start_thread
from memtui.linux.procfs import decode
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from memtui.model.process import ProcessId

__all__ = ["FreezeError", "Guard", "Hold", "Released"]

STOPPING_TIMEOUT_MS = 500
"""Within this every thread of a target must have stopped, or all of it runs on."""

DEADLINE = "deadline"
"""Why a hold ended that lasted too long."""

_START_TIMEOUT_S = 5.0
_TIDY_S = 1.0
_ANSWER_SLACK_S = 1.0
_END_TIMEOUT_S = 0.5
_REPLAY_TIMEOUT_S = 3.0
_DROPPED = "memtui was told to end, and let everything go at once"
_ELSEWHERE = (
    "the guard would start in another pid namespace, where a pid is another process's; "
    "start memtui with unshare --fork"
)


@dataclass(frozen=True, slots=True)
class Hold:
    """A process that stands still since ``began`` (monotonic clock, seconds)."""

    id: int
    process: ProcessId
    method: Freeze
    began: float
    threads: int
    stopping_ms: float
    """How long it took until every thread stood."""


@dataclass(frozen=True, slots=True)
class Released:
    """How a hold ended. ``held_ms`` counts from the first thread touched to the last one let go.

    If it ended early, ``held_throughout`` is false and ``why`` says so: ``deadline``, ``exited``,
    ``panic``, or what became of the guard. What was seen under it then is not certain.
    """

    held_throughout: bool
    held_ms: float
    why: str | None


class _Lost(Exception):
    """The guard is dead, or as good as dead. ``by_alarm``: it hung, and the kernel ended it in time."""

    def __init__(self, why: str, by_alarm: bool = False) -> None:
        super().__init__(why)
        self.by_alarm = by_alarm


class Guard:
    """A running guard. One hold at a time.

    When it dies before us, a thread of ours lets go of what it held, at once.

    ``hold`` and ``release`` are for one thread at a time; ``panic`` and ``drop`` for any thread and
    for signal handlers.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        engine: socket.socket,
        panic: socket.socket,
        journal_dir: Path | None,
    ) -> None:
        self._process = process
        self._journal_dir = journal_dir
        self._watcher: threading.Thread | None = None
        self.replayed: Replayed | None = None
        """What was let go of after its death; None while it lives, or where there was nothing to do."""
        self._pidfd = os.pidfd_open(process.pid)
        self._engine = engine
        self._panic = panic
        self._lock = threading.Lock()
        self._next_id = 0
        self._cleared: ProcessId | None = None
        self._panics = 0
        self._lost: str | None = None
        self._ended_at: float | None = None
        self._replayed_at: float | None = None
        self._closed = self._dropped = False
        self.pid = process.pid

    @classmethod
    def start(cls, journal_dir: Path | None = None, *, pause_at: str | None = None) -> Guard:
        """Start a guard and wait until it is ready.

        Without ``journal_dir`` it holds by ptrace only. ``pause_at`` is for tests: a stopping point.

        Raises:
            FreezeError: FREEZE_NO_GUARD.
        """
        if children_are_elsewhere():
            raise FreezeError(Reason.FREEZE_NO_GUARD, "", _ELSEWHERE)
        try:
            guard = cls._spawn(journal_dir, pause_at)
        except OSError as error:
            words = f"the guard does not start: {no_process(error)}"
            raise FreezeError(Reason.FREEZE_NO_GUARD, "", words) from error
        process = guard._process
        try:
            guard._await_ready()
            guard._watch()
        except (_Lost, MemtuiError) as error:
            guard.close()
            words = error.words if isinstance(error, MemtuiError) else _last_words(process) or str(error)
            raise FreezeError(Reason.FREEZE_NO_GUARD, "", f"the guard does not start: {words}") from error
        finally:
            if process.stderr is not None:
                process.stderr.close()
        return guard

    @classmethod
    def _spawn(cls, journal_dir: Path | None, pause_at: str | None) -> Guard:
        # No end is inheritable: what else we start cannot keep a socket open behind our death. The
        # guard watches our pidfd besides.
        with ExitStack() as ours_if_it_fails, ExitStack() as of_the_guard:
            engine, guards_engine = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours_if_it_fails.enter_context(engine)
            of_the_guard.enter_context(guards_engine)
            panic, guards_panic = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours_if_it_fails.enter_context(panic)
            of_the_guard.enter_context(guards_panic)
            own_pidfd = os.pidfd_open(os.getpid())
            of_the_guard.callback(os.close, own_pidfd)
            fds = (guards_engine.fileno(), guards_panic.fileno(), own_pidfd)
            process = _popen(fds, journal_dir, pause_at)
            try:
                guard = cls(process, engine, panic, journal_dir)
            except OSError:
                process.kill()
                process.wait()
                raise
            ours_if_it_fails.pop_all()
        return guard

    def hold(self, process: ProcessId, pidfd: int, method: Freeze, deadline_ms: int = 2000) -> Hold:
        """Hold a process; return once every thread of it stands still.

        Whom never to freeze is looked at again, names apart: those the plan has looked at.

        Raises:
            FreezeError: FREEZE_REFUSED, FREEZE_DENIED, FREEZE_TRACED, FREEZE_TIMEOUT, FREEZE_NO_JOURNAL,
                FREEZE_NO_GUARD, EXITED; CANCELLED after :meth:`panic` or :meth:`drop`. Nothing is held then.
        """
        subject = f"process {process.pid}"
        panics = self._panics
        if process != self._cleared:
            refused = refuse_reason(process, own_pids=(self.pid,), allow_protected=True)
            if refused is not None:
                raise FreezeError(Reason.FREEZE_REFUSED, "", refused)
            self._cleared = process
        with self._lock:
            self._next_id += 1
            began = time.monotonic()
            timeout_ms = min(STOPPING_TIMEOUT_MS, deadline_ms)
            request = protocol.HoldRequest(
                self._next_id, process.pid, process.start_time, method.value, deadline_ms, timeout_ms
            )
            try:
                answer = self._ask(request, timeout_ms / 1000, pidfd)
            except _Lost as error:
                self._await_replay()
                raise FreezeError(self._why_not_held(error), subject, str(error)) from error
        if isinstance(answer, protocol.Refused):
            if answer.final:
                self._await_end("the guard ended to free a thread that would not stop")
            raise FreezeError(Reason(answer.reason), subject, answer.detail)
        if not isinstance(answer, protocol.Held):
            self._kill("the guard answered what it was not asked")
            raise FreezeError(Reason.FREEZE_NO_GUARD, subject, self._lost)
        hold = Hold(answer.id, process, method, began, answer.threads, answer.stopping_ms)
        if self._panics != panics:
            # The panic may have overtaken the request: then the guard has held what it should not.
            self.release(hold)
            raise FreezeError(Reason.CANCELLED, subject, "thawed by the operator")
        return hold

    def release(self, hold: Hold) -> Released:
        """Let a held process run on. Never raises: what a lost guard held is let go after its death."""
        with self._lock:
            try:
                answer = self._ask(protocol.ReleaseRequest(hold.id), _TIDY_S)
            except _Lost as error:
                self._await_replay()
                # Its alarm rings a little after the deadline of a hold.
                why = DEADLINE if error.by_alarm else str(error)
                return Released(False, self._held_ms(hold), why)
        if not isinstance(answer, protocol.ReleasedReply):
            why = self._kill("the guard answered what it was not asked")
            return Released(False, self._held_ms(hold), why)
        if answer.final:
            self._await_end("the guard ended to free a thread")
        return Released(answer.held_throughout, answer.held_ms, answer.why)

    def bystanders(self) -> str:
        """Return who stopped because of a hold by SIGSTOP and what was done, in words; empty for nobody.

        Takes as long as somebody still may stop: a second after the last hold, at most. Never raises.
        """
        with self._lock:
            try:
                answer = self._ask(protocol.BystandersRequest(), BYSTANDERS_S)
            except _Lost:
                self._await_replay()
                thawed = self.replayed.thawed if self.replayed is not None else ()
                return "; ".join(describe_thawed(item) for item in thawed if item.bystander)
        if not isinstance(answer, protocol.BystandersReply):
            return self._kill("the guard answered what it was not asked")
        return answer.words

    def _held_ms(self, hold: Hold) -> float:
        """Return how long a target stood still that the guard can no longer tell of; not how long we waited.

        With its end the kernel lets go of what it traced; the other methods waited for the replay.
        """
        over_at = self._ended_at if hold.method is Freeze.PTRACE else self._replayed_at
        return ((over_at or time.monotonic()) - hold.began) * 1000

    def panic(self) -> None:
        """Have everything let go, now; returns at once. From any thread, or a signal handler."""
        self._panics += 1
        with suppress(OSError):  # the guard is gone, or has a panic to read already
            protocol.send(self._panic, protocol.PanicRequest(), flags=socket.MSG_DONTWAIT)

    def drop(self) -> None:
        """Shut the sockets, whereupon the guard lets go and ends. From any thread, or a signal handler."""
        self._dropped = True
        for connection in (self._engine, self._panic):
            # Not close: another thread may be waiting on it, and its number be given anew.
            with suppress(OSError):  # shut already
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Have the guard let go and end, and reap it; waits a moment at most. May be called again."""
        self.drop()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._lost = self._lost or "the guard was closed"
            if not self._ended(_END_TIMEOUT_S):
                self._kill(self._lost)
                self._ended(_END_TIMEOUT_S)
            if self._watcher is not None:
                self._watcher.join(_REPLAY_TIMEOUT_S)
            self._process.poll()
            self._engine.close()
            self._panic.close()
            os.close(self._pidfd)
            # Its number may be given to another process's pidfd.
            self._pidfd = -1

    def is_alive(self) -> bool:
        """Whether it can hold anything."""
        return self._lost is None and not self._closed and not self._ended(0)

    def _await_replay(self) -> None:
        """Wait until what a dead guard held has been let go of."""
        if self._watcher is not None and self._ended(_END_TIMEOUT_S):
            self._watcher.join(_REPLAY_TIMEOUT_S)

    def _watch(self) -> None:
        """Have a thread wait for the guard's end.

        Raises:
            MemtuiError: NO_TASKS.
        """
        watcher = threading.Thread(target=self._replay_after_it, name="memtui-guard", daemon=True)
        start_thread(watcher)
        self._watcher = watcher

    def _replay_after_it(self) -> None:
        self._ended(None)
        self._ended_at = time.monotonic()
        if self._journal_dir is None:
            return
        with suppress(MemtuiError):  # the journals cannot be read: the next start says so
            replayed = replay(self._journal_dir)
            self._replayed_at = time.monotonic()
            self.replayed = replayed

    def _await_ready(self) -> None:
        answer = self._receive(_START_TIMEOUT_S)
        if not isinstance(answer, protocol.Ready) or answer.version != protocol.VERSION:
            raise _Lost(self._kill("the guard is of another version"))

    def _ask(self, request: protocol.Message, allowed_s: float, fd: int | None = None) -> protocol.Message:
        """Send a request and return the answer to it."""
        if self._lost is not None or self._closed:
            raise _Lost(self._lost or "the guard was closed")
        try:
            protocol.send(self._engine, request, fd, socket.MSG_DONTWAIT)
        except BlockingIOError as error:
            raise _Lost(self._kill("the guard does not listen")) from error
        except OSError as error:
            raise self._died() from error
        return self._receive(allowed_s + _ANSWER_SLACK_S)

    def _receive(self, allowed_s: float) -> protocol.Message:
        """Return the next message.

        Raises:
            _Lost: none came in time, and the guard was killed so that the kernel lets go.
        """
        poller = select.poll()
        poller.register(self._engine.fileno(), select.POLLIN)
        if not poller.poll(allowed_s * 1000):
            raise _Lost(self._kill("the guard did not answer in time and was ended"))
        try:
            received = protocol.receive(self._engine, socket.MSG_DONTWAIT)
        except ConnectionError as error:
            raise self._died() from error
        except (OSError, protocol.ProtocolError) as error:
            raise _Lost(self._kill(f"the guard is out of order: {error}")) from error
        if received is None:
            raise self._died()
        message, fds = received
        for fd in fds:
            os.close(fd)
        if isinstance(message, protocol.Dying):
            raise _Lost(self._lose(f"the guard failed: {message.detail}"))
        return message

    def _died(self) -> _Lost:
        if not self._ended(_END_TIMEOUT_S):
            return _Lost(self._lose("the guard's connection was shut"))
        if self._process.poll() == -signal.SIGALRM:
            words = "stopping it hung, perhaps in an exec of it; the guard ended, so that it runs on"
            return _Lost(self._lose(words), by_alarm=True)
        return _Lost(self._lose(_DROPPED if self._dropped else "the guard died"))

    def _why_not_held(self, lost: _Lost) -> Reason:
        if self._dropped:
            return Reason.CANCELLED
        return Reason.FREEZE_TIMEOUT if lost.by_alarm else Reason.FREEZE_NO_GUARD

    def _await_end(self, why: str) -> None:
        """Wait for the end that the guard announced: only with it the last threads run on."""
        self._lose(why)
        if not self._ended(_END_TIMEOUT_S):
            self._kill(why)
            self._ended(_END_TIMEOUT_S)

    def _lose(self, why: str) -> str:
        self._lost = self._lost or why
        return self._lost

    def _kill(self, why: str) -> str:
        """End a guard that cannot be relied on: the kernel or we then let go of what it held."""
        with suppress(ProcessLookupError):  # dead and reaped already
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return self._lose(why)

    def _ended(self, allowed_s: float | None) -> bool:
        if self._pidfd < 0:
            return True
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(None if allowed_s is None else allowed_s * 1000))


def _popen(
    fds: tuple[int, int, int], journal_dir: Path | None, pause_at: str | None
) -> subprocess.Popen[bytes]:
    extra = [] if pause_at is None else ["--pause-at", pause_at]
    if journal_dir is not None:
        extra += ["--journals", str(journal_dir.absolute())]
    # A Python that was built elsewhere may need it; all other variables stay behind.
    kept = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    return subprocess.Popen(
        [*isolated_command("memtui.freeze.guard"), *(str(fd) for fd in fds), *extra],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        close_fds=True,
        pass_fds=fds,
        start_new_session=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", **kept},
    )


def _last_words(process: subprocess.Popen[bytes]) -> str | None:
    """Return the last line that a guard wrote before it died, if it did."""
    if process.stderr is None or process.poll() is None:
        return None
    os.set_blocking(process.stderr.fileno(), False)
    lines = decode(process.stderr.read() or b"").strip().splitlines()
    return lines[-1] if lines else f"it ended with status {process.returncode}"

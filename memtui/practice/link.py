"""The parent's side of a practice process: start it, talk to it, end it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from memtui.isolated import isolated_command
from memtui.practice.files import sweep
from memtui.practice.labels import Region

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

START_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0


class PracticeError(RuntimeError):
    """The practice process did not start, did not answer, or is gone. One line."""


class PracticeLink:
    """A running practice process. Any thread may ask; one question is out at a time.

    Attributes:
        pid: its process id.
        start_time: field 22 of its /proc/PID/stat, in clock ticks since boot.
        regions: its regions, ascending; a label may stand for several.
        child_pid: the child that maps ``shared with a child`` too.
        file_path: the file behind the region ``file``, or None where that was left out.
        file_on_disk: False where no directory on a disk could be written, so that the file is in tmpfs.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes], state_dir: Path) -> None:
        """Take over a process that was just started; use :meth:`start`."""
        self._process = process
        self._errors = errors
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._pending = b""
        self._changed: list[str] | None = None
        self._last: dict[str, Any] | None = None
        self._killed = False
        ready = self._read(START_TIMEOUT_S)
        if ready.get("event") != "ready":
            raise PracticeError(f"the practice process did not start: {ready.get('message', ready)}")
        self.pid: int = ready["pid"]
        self.start_time: int = ready["start_time"]
        self.regions = [Region(item["label"], item["start"], item["end"]) for item in ready["regions"]]
        self.child_pid: int = ready["child_pid"]
        self.file_path = None if ready["file"] is None else Path(ready["file"])
        self.file_on_disk: bool = ready["file_on_disk"]

    @classmethod
    def start(cls, state_dir: Path, **sizes: int) -> PracticeLink:
        """Start one that keeps its files in ``state_dir``, which is made if it is missing.

        ``sizes`` are fields of :class:`memtui.practice.regions.Sizes`.

        Raises:
            PracticeError: if it is not ready within 30 s; nothing is left behind.
        """
        command = [
            *isolated_command("memtui.practice.serve"),
            "--state-dir",
            os.fspath(state_dir.absolute()),
        ]
        for name, value in sizes.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        # A file and not a pipe: nobody reads it while all is well.
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the link)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            errors.close()
            raise PracticeError(f"the practice process did not start: {error.strerror or error}") from error
        try:
            return cls(process, errors, state_dir)
        except BaseException:
            _discard(process, errors, state_dir)
            raise

    def ranges(self, label: str) -> list[tuple[int, int]]:
        """Return the addresses (start, end) that a label stands for."""
        return [(region.start, region.end) for region in self.regions if region.label == label]

    def advise(self, elements: Sequence[tuple[int, int]], advice: int) -> int:
        """Have it advise itself (plain madvise, no privilege); return the bytes of whole elements.

        Elements are (start, end). As with process_madvise(2), a short return means that the element
        behind it failed.

        Raises:
            OSError: the errno of the first element; ESRCH if the process is gone.
            PracticeError: if it does not answer.
        """
        try:
            answer = self._ask(
                {"do": "advise", "advice": advice, "elements": [list(item) for item in elements]}
            )
        except _Gone as error:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), "madvise") from error
        advised: int = answer["advised_bytes"]
        symbol = answer["errno"]
        if symbol is not None and not advised:
            number = getattr(errno, symbol, errno.EIO)
            raise OSError(number, os.strerror(number), "madvise")
        return advised

    def check(self) -> list[str]:
        """Have it compare all its memory with what it wrote; return the labels of what differs.

        This reads every page, and so brings back what was paged out.

        Raises:
            PracticeError: if it is gone or does not answer.
        """
        changed: list[str] = self._ask({"do": "check"})["changed"]
        return changed

    def touch(self, label: str, share: float = 1.0) -> int:
        """Have it read the first ``share`` (0 to 1) of the pages of a label; return their bytes.

        Raises:
            PracticeError: for a label that is not there, or if it is gone or does not answer.
        """
        touched: int = self._ask({"do": "touch", "label": label, "share": share})["touched_bytes"]
        return touched

    def close(self) -> list[str]:
        """End it, and return the labels of what its last check found changed. Again: the same.

        Raises:
            PracticeError: if it died before its last check, or did not end within 30 s and was killed:
                then it is not known whether a byte changed.
        """
        if self._changed is not None:
            return self._changed
        with self._lock:
            self._changed = []
            _close(self._process.stdin)
            try:
                last = self._read_end(END_TIMEOUT_S)
                self._process.wait(END_TIMEOUT_S)
            except (PracticeError, subprocess.TimeoutExpired) as error:
                if self._killed:
                    return self._changed
                raise PracticeError(f"the practice process ended without its last check: {error}") from error
            finally:
                _discard(self._process, self._errors, self._state_dir)
            self._changed = list(last["changed"])
        return self._changed

    def kill(self) -> None:
        """Kill it, as a test of what then happens. Its files stay until the next start or close."""
        self._killed = True
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> PracticeLink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except PracticeError:
            # An error that is on its way already says more.
            if error is None:
                raise

    def _ask(self, question: dict[str, object]) -> dict[str, Any]:
        with self._lock:
            if self._changed is not None:
                raise _Gone("the practice process was ended")
            stdin = self._process.stdin
            assert stdin is not None
            try:
                stdin.write(json.dumps(question).encode() + b"\n")
                stdin.flush()
            except BrokenPipeError as error:
                raise _Gone("the practice process is gone") from error
            answer = self._read(ANSWER_TIMEOUT_S)
            if "event" in answer:
                self._last = answer
                raise _Gone("the practice process was told to end")
        if "error" in answer:
            raise PracticeError(f"the practice process refused: {answer['error']}")
        return answer

    def _read_end(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while self._last is None:
            message = self._read(deadline - time.monotonic())
            # An answer that nobody waited for may come first.
            if message.get("event") == "end":
                self._last = message
        return self._last

    def _read(self, timeout_s: float) -> dict[str, Any]:
        """Return the next message.

        Raises:
            PracticeError: after ``timeout_s``; _Gone if its pipe ended.
        """
        deadline = time.monotonic() + timeout_s
        stdout = self._process.stdout
        assert stdout is not None
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                # Its answer may still come, and be taken for that of another question: no more of those.
                self._process.kill()
                raise PracticeError(
                    f"the practice process did not answer within {timeout_s:.0f} s; it was killed"
                )
            part = os.read(stdout.fileno(), 1 << 16)
            if not part:
                raise _Gone(f"the practice process is gone{self._last_words()}")
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


class _Gone(PracticeError):
    """Its end of the pipe is closed."""


def _discard(process: subprocess.Popen[bytes], errors: IO[bytes], state_dir: Path) -> None:
    """Let nothing of it stay: the process, the pipes, and its files if it could not remove them."""
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, errors):
        _close(stream)
    sweep(state_dir)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        # What was still to be sent has no reader any more.
        with contextlib.suppress(BrokenPipeError):
            stream.close()

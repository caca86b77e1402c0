"""Replaying a user's journals as that user: root never acts on what a user could have written.

A child becomes the user for good, and reads and acts with no right that the user does not have. So a
forged line (another's pid, a cgroup that is not theirs) does no more than they could do by themselves.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from memtui.freeze.recovery import Replayed, replay
from memtui.linux.procfs import parse_colon_lines, read_file
from memtui.model.errors import MemtuiError
from memtui.model.freeze import Freeze, Thawed, ThawOutcome
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from pwd import struct_passwd

_WITHIN_S = 30.0
_ENDS_WITHIN_S = 1.0
_MOST_BYTES = 1 << 20


def replay_as(user: struct_passwd, folder: Path, allowed_s: float = _WITHIN_S) -> Replayed:
    """Replay a folder of journals as the user. For root, and a process of one thread.

    Raises:
        MemtuiError: FREEZE_NO_JOURNAL; FAILED if the child could not become the user, or hung (on a home
            that does not answer, say): it was ended then.
    """
    folder = folder.absolute()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(user, folder, writing)
    os.close(writing)
    try:
        answer = _answer(reading, time.monotonic() + allowed_s)
    finally:
        os.close(reading)
        _end(child)
    return _replayed(user, answer)


def become(user: struct_passwd) -> None:
    """Take on the groups and ids of a user, and lose every other right, with no way back.

    Raises:
        OSError: it did not come about in full.
    """
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    if os.getresuid() != (user.pw_uid,) * 3 or os.getresgid() != (user.pw_gid,) * 3:
        raise PermissionError(1, "the ids did not change", user.pw_name)
    # With SECBIT_KEEP_CAPS or SECBIT_NO_SETUID_FIXUP they would stay (capabilities(7)).
    status = parse_colon_lines(read_file("/proc/self/status"))
    if any(int(status[kind], 16) for kind in ("CapPrm", "CapEff", "CapAmb")):
        raise PermissionError(1, "capabilities of root stayed", user.pw_name)
    with suppress(PermissionError):
        os.setuid(0)
        raise OSError(1, "there is a way back to root", user.pw_name)


def _be_the_child(user: struct_passwd, folder: Path, writing: int) -> NoReturn:
    """Say on a pipe what came of it, and end; nothing of ours is unwound here."""
    try:
        os.setsid()
        os.chdir("/")
        os.umask(0o077)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.dup2(writing, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.set_blocking(3, True)
        answer = _said_by(lambda: _as_the_user(user, folder))
        data = json.dumps(answer).encode("ascii")
        while data:
            data = data[os.write(3, data) :]
    finally:
        os._exit(0)


def _as_the_user(user: struct_passwd, folder: Path) -> Replayed:
    become(user)
    return replay(folder)


def _said_by(work: Callable[[], Replayed]) -> dict[str, object]:
    try:
        done = work()
    except MemtuiError as error:
        return {"reason": error.reason.value, "words": error.words}
    except OSError as error:
        return {"reason": Reason.FAILED.value, "words": f"{error.strerror} ({error.filename})"}
    return {"thawed": [list(item) for item in done.thawed], "remarks": list(done.remarks)}


def _answer(reading: int, until: float) -> bytes:
    """Return all that is said before the end of a pipe; what came until then, where that is too late."""
    parts = b""
    while len(parts) < _MOST_BYTES:
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        part = os.read(reading, 1 << 16) if ready else b""
        if not part:
            return parts
        parts += part
    return parts


def _end(child: int) -> None:
    """Kill and reap it; one that hangs in the kernel for good is left to init."""
    os.kill(child, signal.SIGKILL)
    until = time.monotonic() + _ENDS_WITHIN_S
    while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < until:
        time.sleep(0.002)


def _replayed(user: struct_passwd, answer: bytes) -> Replayed:
    subject = f"the journals of {user.pw_name}"
    try:
        said = json.loads(answer)
    except ValueError as error:
        raise MemtuiError(Reason.FAILED, subject, "they could not be read in time") from error
    if "reason" in said:
        raise MemtuiError(Reason(said["reason"]), subject, said["words"])
    thawed = [
        Thawed(pid, start_time, name, Freeze(method), ThawOutcome(outcome), words, bystander)
        for pid, start_time, name, method, outcome, words, bystander in said["thawed"]
    ]
    return Replayed(tuple(thawed), tuple(said["remarks"]))

"""The practice process itself: it fills its map, says what is what, and answers until its pipe ends.

JSON, one object a line. It says ``{"event": "ready", "pid", "start_time", "regions": [{"label",
"start", "end"}], "file", "file_on_disk", "child_pid"}`` or ``{"event": "error", "message"}``. It answers

- ``{"do": "advise", "advice": 21, "elements": [[start, end], ...]}`` with ``{"advised_bytes": N,
  "errno": null}``: the elements in order, up to the first that fails; then ``errno`` is its errno
  (``"EINVAL"``) and N what stood before it. process_madvise(2) would return N, or -1 and that errno
  where N is 0;
- ``{"do": "check"}`` with ``{"changed": [label, ...]}``;
- ``{"do": "touch", "label": L, "share": 0.5}`` with ``{"touched_bytes": N}``;
- anything else with ``{"error": message}``.

When its input ends it checks all memory once more, says ``{"event": "end", "changed": [...]}``, and
exits 0, or 1 if a byte changed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.practice import memory
from memtui.practice.files import sweep
from memtui.practice.labels import publish
from memtui.practice.regions import PracticeMap, Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOUCH_EVERY_S = 0.1
_MAX_LINE_BYTES = 4 << 20


def start_time_of(pid: int) -> int:
    """Return field 22 of /proc/PID/stat, in clock ticks since boot (proc_pid_stat(5)).

    Raises:
        OSError: if the process is gone.
    """
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def _say(message: dict[str, object]) -> None:
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(1, line) :]


def run(state_dir: Path, sizes: Sizes) -> int:
    """Be the practice process; return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.set_name("memtui-practice")
    memory.allow_any_tracer()
    pid = os.getpid()
    start_time = start_time_of(pid)
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(state_dir)
        practice = PracticeMap(sizes, state_dir, f"{pid}-{start_time}")
    except OSError as error:
        _say({"event": "error", "message": str(error)})
        return 2
    try:
        label_file, label_fd = publish(state_dir, pid, start_time, practice.regions)
    except OSError as error:
        practice.close()
        _say({"event": "error", "message": str(error)})
        return 2
    try:
        _say(
            {
                "event": "ready",
                "pid": pid,
                "start_time": start_time,
                "regions": [region._asdict() for region in practice.regions],
                "file": None if practice.file_path is None else os.fspath(practice.file_path),
                "file_on_disk": practice.file_on_disk,
                "child_pid": practice.child.pid,
            }
        )
        _serve(practice)
    finally:
        label_file.unlink(missing_ok=True)
        os.close(label_fd)
        practice.close()
    changed = practice.changed()
    _say({"event": "end", "changed": changed})
    return 1 if changed else 0


def _serve(practice: PracticeMap) -> None:
    for line in _lines(practice):
        try:
            answer = _answer(practice, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _say(answer)


def _lines(practice: PracticeMap) -> Iterator[bytes]:
    """Yield the lines of the input until it ends, touching the hot region all the while."""
    ended = False

    def end(_signal: int, _frame: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    pending = b""
    touch_at = time.monotonic()
    while not ended:
        now = time.monotonic()
        if now >= touch_at:
            practice.touch_hot()
            touch_at = now + _TOUCH_EVERY_S
        if not select.select([0], [], [], max(0.0, touch_at - now))[0]:
            continue
        part = os.read(0, 1 << 16)
        if not part or len(pending) > _MAX_LINE_BYTES:
            return
        *lines, pending = (pending + part).split(b"\n")
        yield from lines


def _answer(practice: PracticeMap, asked: dict[str, object]) -> dict[str, object]:
    do = asked["do"]
    if do == "advise":
        elements, advice = asked["elements"], asked["advice"]
        if not isinstance(elements, list) or not isinstance(advice, int):
            raise TypeError("elements is a list, advice a number")
        pairs = [(start, end) for start, end in elements]
        if not all(type(address) is int for pair in pairs for address in pair):
            raise TypeError("an address is a whole number")
        advised_bytes, errno = memory.advise_self(pairs, advice)
        return {"advised_bytes": advised_bytes, "errno": errno}
    if do == "check":
        return {"changed": practice.changed()}
    if do == "touch":
        label, share = asked["label"], asked["share"]
        if not isinstance(label, str) or not isinstance(share, (int, float)):
            raise TypeError("label is a word, share a number")
        return {"touched_bytes": practice.touch(label, share)}
    raise ValueError(f"cannot do {do!r}")


def main(arguments: list[str]) -> int:
    """Run with the arguments ``--state-dir DIR [--SIZE NUMBER]...``, SIZE being a field of Sizes."""
    try:
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        state_dir = Path(options.pop("--state-dir"))
        numbers = {name.removeprefix("--").replace("-", "_"): int(value) for name, value in options.items()}
        sizes = Sizes(**numbers)
    except (KeyError, ValueError, TypeError) as error:
        print(f"memtui.practice: wrong arguments ({error}); it takes --state-dir DIR", file=sys.stderr)
        return 2
    try:
        return run(state_dir, sizes)
    except BrokenPipeError:
        # Whoever started us is gone, and with it the reason to be.
        return 2

"""Real processes with known maps, smaps read in a way of our own, and the command as one runs it."""

from __future__ import annotations

import json
import mmap
import os
import stat
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.unshared import own_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

PAGE = mmap.PAGESIZE
MIB = 1 << 20
HUGE = 2 * MIB
NOBODY = 65534
REPOSITORY = Path(__file__).resolve().parents[2]
RESIDUE_BYTES = 31 * (os.cpu_count() or 1) * PAGE
"""What may stay behind: pages in a CPU's LRU-add batch, at most 31 a CPU (docs/kernel-facts.md 3.6)."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait for a condition; fail with ``what`` when it does not come to pass."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


class Child:
    """A process of ours whose memory a test arranges; ended when the ``with`` block ends."""

    def __init__(self, user: int | None = None, wrapper: Sequence[str] = ()) -> None:
        program = [*wrapper, sys.executable, "-I", "-S", str(Path(__file__).with_name("target.py"))]
        self._process = subprocess.Popen(
            program if user is None else as_user(user, program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            # Its group hangs on nobody: whether SIGSTOP may hold it is not up to who runs the tests.
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._forked: list[int] = []
        assert self._answer()["ready"] == self.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Kill the process and its forks, and wait for it."""
        while self._forked:
            try:
                os.kill(self._forked.pop(), 9)
            except ProcessLookupError:
                # Its end was part of the test.
                continue
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def do(self, command: str, **arguments: object) -> Any:
        """Have the child do something; return its answer."""
        self.send(command, **arguments)
        answer = self._answer()
        assert "error" not in answer, answer["error"]
        return answer.get("result")

    def send(self, command: str, **arguments: object) -> None:
        """Ask, without waiting for an answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, arguments]).encode() + b"\n")
        self._process.stdin.flush()

    def map(self, size: int, **arguments: object) -> int:
        """Map memory; return its address."""
        return int(self.do("map", size=size, **arguments))

    def fork(self) -> int:
        """Have the child fork one that shares its pages; return its pid."""
        self._forked.append(int(self.do("fork")))
        return self._forked[-1]

    def fork_zombie(self) -> int:
        """Have the child fork a zombie; return its pid."""
        return int(self.do("fork_zombie"))

    def exec(self) -> None:
        """Have the child become a new program, and wait for it."""
        self.send("exec")
        assert self._answer()["ready"] == self.pid

    def exit(self) -> None:
        """Have the child exit, and wait for it."""
        self.send("exit")
        self._process.wait()

    def end_leader(self) -> None:
        """End its first thread while another runs on, and wait until the kernel has done so."""
        self.do("end_leader")
        wait_until(lambda: state_of(self.pid) == "Z", "the first thread has ended")

    def checksum(self, address: int, size: int) -> int:
        """Return a checksum of some of its memory, as itself sees it."""
        return int(self.do("checksum", address=address, size=size))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the child has ended"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


def state_of(pid: int) -> str:
    """Return the letter of its state."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1].decode()


@dataclass(frozen=True)
class Smap:
    """An entry of smaps: its bytes by field, and its flags."""

    start: int
    end: int
    perms: str
    name: str
    fields: dict[str, int] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    @property
    def rss(self) -> int:
        return self.fields["Rss"]

    @property
    def swap(self) -> int:
        return self.fields["Swap"]

    @property
    def referenced(self) -> int:
        return self.fields["Referenced"]

    @property
    def huge(self) -> int:
        return self.fields["AnonHugePages"]


def smaps(pid: int) -> dict[tuple[int, int], Smap]:
    """Read /proc/PID/smaps: nothing of memtui is used here."""
    found: dict[tuple[int, int], Smap] = {}
    entry: Smap | None = None
    for line in Path(f"/proc/{pid}/smaps").read_bytes().decode(errors="surrogateescape").split("\n"):
        first, _, rest = line.partition(" ")
        if first == "VmFlags:":
            assert entry is not None
            entry.flags.extend(rest.split())
        elif first.endswith(":"):
            assert entry is not None
            entry.fields[first[:-1]] = int(rest.split()[0]) * (1024 if rest.endswith(" kB") else 1)
        elif first:
            start, end = (int(part, 16) for part in first.split("-"))
            perms, _offset, _device, _inode, *name = rest.split(maxsplit=4)
            entry = found[start, end] = Smap(start, end, perms, name[0] if name else "")
    return found


def at(pid: int, address: int) -> Smap:
    """Return the entry that covers an address."""
    return next(entry for entry in smaps(pid).values() if entry.start <= address < entry.end)


def within(pid: int, start: int, end: int) -> list[Smap]:
    """Return the entries that lie in a stretch."""
    return [entry for entry in smaps(pid).values() if start <= entry.start and entry.end <= end]


def swapped_pages(pid: int, start: int, size: int) -> set[int]:
    """Return the pages of a range that are in swap, by their addresses, read from pagemap."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        data = os.pread(file.fileno(), size // PAGE * 8, start // PAGE * 8)
    entries = struct.unpack(f"={len(data) // 8}Q", data)
    return {start + index * PAGE for index, entry in enumerate(entries) if entry >> 62 & 1}


def span(address: int, size: int) -> str:
    """Return a range as ``--range`` takes it."""
    return f"{address:x}-{address + size:x}"


_SHOW = """
mount --bind "$1" /mnt && mount -t tmpfs -o mode=755 none "$2" && mkdir -p "$1" && mount --move /mnt "$1"
shift 2
exec "$@"
"""


def as_user(user: int, program: Sequence[str], capabilities: str | None = None) -> list[str]:
    """Return a command line that runs a program as another user, with ``capabilities`` if any.

    Where that user cannot reach our Python (it lies under /root, say), the program gets a view of the
    file system of its own in which it can; it ends with the program.
    """
    change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    if capabilities is not None:
        change += ["--inh-caps", capabilities, "--ambient-caps", capabilities]
    python = Path(sys.base_prefix).resolve()
    closed = [place for place in python.parents if not place.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return [*change, *program]
    if REPOSITORY.is_relative_to(closed[-1]):
        pytest.skip(f"user {user} cannot reach {REPOSITORY}")
    return [*own_mounts(), "sh", "-c", _SHOW, "sh", str(python), str(closed[-1]), *change, *program]


def command(*arguments: object) -> list[str]:
    """Return the command line of memtui."""
    return [sys.executable, "-m", "memtui", *map(str, arguments)]


def memtui(
    *arguments: object,
    state_dir: Path,
    user: int | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run memtui as a script would: no terminal, nothing on standard input."""
    program = command("--state-dir", state_dir, *arguments)
    return subprocess.run(
        program if user is None else as_user(user, program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        timeout=timeout_s,
        check=False,
    )


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the objects that ``--json`` printed: each one line of printable ASCII, with valid text only."""
    found = []
    for line in done.stdout.splitlines():
        assert line.isascii()
        assert line.isprintable()
        found.append(json.loads(line))
        # Strict parsers refuse half of a surrogate pair (RFC 8259, section 8.2); that cannot be encoded.
        json.dumps(found[-1], ensure_ascii=False).encode("utf-8")
    return found


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what stderr says, which must be one harmless line of memtui."""
    assert done.stderr.endswith("\n"), done.stderr
    lines = done.stderr[:-1].split("\n")
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("memtui: ")
    assert lines[0].isprintable()
    assert "Traceback" not in lines[0]
    return lines[0]


def harmless(text: str) -> None:
    """Assert that a terminal shows text and does not obey it."""
    for line in text.splitlines():
        assert line.isprintable(), repr(line)


def total(entries: Sequence[Smap], what: str) -> int:
    """Return the sum of a property of some entries."""
    return sum(int(getattr(entry, what)) for entry in entries)

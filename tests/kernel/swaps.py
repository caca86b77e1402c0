"""Swap areas of the machine: taken away, put back, made for a test. Nothing of memtui is used."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import need

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZRAM = Path("/sys/class/zram-control")


@dataclass(frozen=True)
class Area:
    """A line of /proc/swaps."""

    path: str
    priority: int

    @property
    def is_of_this_session(self) -> bool:
        """Whether it is the fixture ``swap_file`` of this very session."""
        return self.path.endswith(f"/memtui-test-swap-{os.getpid()}")


def areas() -> list[Area]:
    """Return the swap areas in use. Blanks in a path are octal there."""
    found = []
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        path, _kind, _size, _used, priority = line.split()
        found.append(Area(path.encode().decode("unicode_escape"), int(priority)))
    return found


def run(*command: str) -> None:
    """Run a program of the system's; fail with what it says."""
    program = shutil.which(command[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    need(program is not None, f"no {command[0]} on this machine")
    assert program is not None
    done = subprocess.run((program, *command[1:]), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def switch_on(area: Area) -> None:
    """Switch swap on, with its priority; one below 0 was the kernel's choice."""
    run("swapon", *(("--priority", str(area.priority)) if area.priority >= 0 else ()), area.path)


@contextmanager
def none_in_use() -> Iterator[None]:
    """Take all swap away, one session at a time, and put it back in the order of its priorities."""
    lock = os.open(Path(__file__).parent, os.O_RDONLY)
    taken: list[Area] = []
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for area in areas():
            run("swapoff", area.path)
            taken.append(area)
        yield
    finally:
        for area in sorted(taken, key=lambda area: -area.priority):
            switch_on(area)
        os.close(lock)


@contextmanager
def in_file(path: Path, size: int) -> Iterator[Path]:
    """Have swap in a file of a disk, of this size; gone at the end."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        run("mkswap", str(path))
        run("swapon", str(path))
        try:
            yield path
        finally:
            run("swapoff", str(path))
    finally:
        os.close(fd)
        path.unlink()


@contextmanager
def in_zram(size: int) -> Iterator[Path]:
    """Have swap on a zram device of our own, of this size; gone at the end."""
    need((_ZRAM / "hot_add").exists(), "this kernel has no zram (modprobe zram)")
    number = (_ZRAM / "hot_add").read_text().strip()
    device = Path(f"/dev/zram{number}")
    try:
        Path(f"/sys/block/zram{number}/disksize").write_text(str(size))
        run("mkswap", str(device))
        run("swapon", str(device))
        try:
            yield device
        finally:
            run("swapoff", str(device))
            Path(f"/sys/block/zram{number}/reset").write_text("1")
    finally:
        (_ZRAM / "hot_remove").write_text(number)

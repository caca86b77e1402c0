"""What all tests share: the gate of the real kernel, swap, and a look at what the session left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from memtui.practice.files import is_in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK = "MEMTUI_TEST_SESSION"
_SWAP_PREFIX = "memtui-test-swap-"
_SWAP_BYTES = 512 << 20
_SWAP_PLACES = (Path("/var/tmp"), Path(__file__).parent)


def need(ok: bool, reason: str) -> None:
    """Skip where the machine lacks something; fail where MEMTUI_REQUIRE_KERNEL=1 says it may not."""
    if not ok:
        if os.environ.get("MEMTUI_REQUIRE_KERNEL") == "1":
            pytest.fail(f"{reason} (MEMTUI_REQUIRE_KERNEL=1)", pytrace=False)
        pytest.skip(reason)


def _run_of_root(*command: str) -> subprocess.CompletedProcess[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    need(program is not None, f"no {command[0]} on this machine")
    assert program is not None
    return subprocess.run((program, *command[1:]), capture_output=True, text=True, check=False)


def pytest_configure() -> None:
    """Prepare for a busy machine, and for tests that were started with ``&``.

    Hypothesis has no deadline: how long an example takes says nothing of memtui. And Ctrl+C and its like end
    what the tests start: a shell without job control has what it puts in the background ignore SIGINT and
    SIGQUIT, and so would all that comes from there.
    """
    settings.register_profile("memtui", deadline=None)
    settings.load_profile("memtui")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


_ALONE = (
    *("faults/*.py", "terminal/test_keys.py"),
    *("kernel/test_freeze.py", "kernel/test_witness.py"),
)
"""Tests on processes of their own alone: they need no swap, and none of the machine's own folders."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what is alone with its processes run beside what changes the machine: one test of each."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            is_alone = any(item.path.match(pattern) for pattern in _ALONE)
            item.add_marker(pytest.mark.xdist_group("alone" if is_alone else "machine"))


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _remove_swap(path: Path) -> None:
    in_use = any(line.split(" ")[0] == str(path) for line in Path("/proc/swaps").read_text().split("\n"))
    if in_use:
        done = _run_of_root("swapoff", str(path))
        assert done.returncode == 0, done.stderr
    path.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def swap_file() -> Iterator[Path]:
    """512 MiB of swap in a file of our own, preferred over all other swap; gone at the end."""
    need(os.geteuid() == 0, "swap needs root")
    place = next((place for place in _SWAP_PLACES if place.is_dir() and not is_in_memory(place)), None)
    need(place is not None, "no directory on a disk for a swap file")
    assert place is not None
    for old in place.glob(f"{_SWAP_PREFIX}*"):
        if not _is_alive(int(old.name.removeprefix(_SWAP_PREFIX))):
            _remove_swap(old)
    path = place / f"{_SWAP_PREFIX}{os.getpid()}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, _SWAP_BYTES)
        made = _run_of_root("mkswap", str(path))
        assert made.returncode == 0, made.stderr
        switched_on = _run_of_root("swapon", "--priority", "32767", str(path))
        need(switched_on.returncode == 0, f"swap cannot be switched on here: {switched_on.stderr.strip()}")
        yield path
    finally:
        os.close(fd)
        _remove_swap(path)


def _left_behind(mark: str) -> dict[int, str]:
    """Return the processes, by pid, that this session started and that still run, orphans too."""
    found = {}
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(entry.name)] = command.strip()
        except OSError:
            # It ended while we looked, or is another user's.
            continue
    return found


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail the session if a process that it started outlives it."""
    mark = uuid.uuid4().hex
    os.environ[_MARK] = mark
    yield
    del os.environ[_MARK]
    deadline = time.monotonic() + 5
    while (left := _left_behind(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left behind, and now killed: {left}"

"""The tests on the real kernel: root on Linux, or they are skipped with the reason."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.freeze.client import Guard
from memtui.host.local import LocalHost
from tests.conftest import need
from tests.kernel import swaps
from tests.kernel.children import FreezeTarget
from tests.kernel.toolkit import NOBODY, Child, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session", autouse=True)
def kernel() -> None:
    """Let a test run only as root on Linux; with MEMTUI_REQUIRE_KERNEL=1 fail instead of skip."""
    need(sys.platform == "linux", "the kernel under test is Linux")
    need(os.geteuid() == 0, "the tests on the kernel need root")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, so that ``-m 'not kernel'`` leaves it out."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("kernel")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A running guard, which is gone when the test is over."""
    guard = Guard.start(tmp_path / "holds")
    yield guard
    guard.close()
    assert not Path(f"/proc/{guard.pid}").exists()
    assert not list((tmp_path / "holds").glob("*")), "no journal is left"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., FreezeTarget]]:
    """Starts targets, and ends them."""
    made: list[FreezeTarget] = []

    def start(mode: str = "idle", threads: int = 1) -> FreezeTarget:
        made.append(FreezeTarget(tmp_path, mode, threads))
        return made[-1]

    yield start
    for target in made:
        target.close()


@pytest.fixture
def no_swap() -> Iterator[None]:
    """No swap at all for one test. The machine's own goes only with MEMTUI_TEST_SWAPOFF=1, and comes back."""
    foreign = [area.path for area in swaps.areas() if not area.is_of_this_session]
    if foreign and os.environ.get("MEMTUI_TEST_SWAPOFF") != "1":
        pytest.skip(f"swap in use is not ours to take away without MEMTUI_TEST_SWAPOFF=1: {foreign}")
    with swaps.none_in_use():
        yield


@pytest.fixture
def child() -> Iterator[Child]:
    """A process that does what a test asks."""
    with Child() as started:
        yield started


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    """This machine, with a ledger of the test's own."""
    with LocalHost(tmp_path / "state", journal_dir=tmp_path / "holds") as opened:
        yield opened


@pytest.fixture
def nobodys_dir() -> Iterator[Path]:
    """A state directory of the user nobody."""
    with tempfile.TemporaryDirectory(prefix="memtui-test-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory cgroup of our own, of whichever version has the controller here."""
    top = Path("/sys/fs/cgroup/memory")
    if not top.is_dir():
        top = Path("/sys/fs/cgroup")
        enabled = (
            (top / "cgroup.subtree_control").read_text() if top.joinpath("cgroup.procs").exists() else ""
        )
        need("memory" in enabled.split(), "no memory cgroups on this machine")
    folder = top / f"memtui-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text(), "the group is empty")
    folder.rmdir()

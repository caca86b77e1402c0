"""The tests by fire: root on Linux, as for tests/kernel."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import need
from tests.kernel.toolkit import Child

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def kernel() -> None:
    """Let a test run only as root on Linux; with MEMTUI_REQUIRE_KERNEL=1 fail instead of skip."""
    need(sys.platform == "linux", "the kernel under test is Linux")
    need(os.geteuid() == 0, "holding other processes needs root")


@pytest.fixture
def child() -> Iterator[Child]:
    """A process that does what a test asks."""
    with Child() as started:
        yield started

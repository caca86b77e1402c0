"""The tests on the real kernel: root on Linux, or they are skipped with the reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import need


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

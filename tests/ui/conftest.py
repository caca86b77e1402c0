"""Fixtures of the UI tests: an app on a made-up host, whose readings the test pushes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memtui.ui.app import MemtuiApp
from memtui.ui.options import UiOptions
from tests.fakes import FakeHost

MakeApp = Callable[..., MemtuiApp]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_app() -> MakeApp:
    """Return a function that makes an app; keywords are UiOptions, ``host`` replaces the host."""

    def make(host: FakeHost | None = None, **options: object) -> MemtuiApp:
        return MemtuiApp(host or FakeHost(), UiOptions(**options), sampling=False)  # type: ignore[arg-type]

    return make

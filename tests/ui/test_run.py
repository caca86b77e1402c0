"""How the program starts, and what it says when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memtui.ui.app import run
from memtui.ui.options import UiOptions
from memtui.ui.styles import stylesheets
from tests.fakes import FakeHost


def test_a_theme_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run(FakeHost(), UiOptions(theme="\x1b[31m")) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("memtui: no theme '␛[31m'; there are: ")
    assert "ansi-dark" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("environment", "fps"), [({}, "None"), ({"SSH_CONNECTION": "x"}, "15"), ({"TEXTUAL_FPS": "30"}, "30")]
)
def test_textual_reads_its_settings_after_we_made_them(environment: dict[str, str], fps: str) -> None:
    code = (
        "import os, memtui.ui.app, textual.constants as c;"
        "print(os.environ.get('TEXTUAL_FPS'), c.TEXTUAL_ANIMATIONS, c.MAX_FPS)"
    )
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("TEXTUAL_", "SSH_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**plain, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [fps, "none", "60" if fps == "None" else fps]


def test_missing_stylesheets_are_named() -> None:
    assert all(os.path.isabs(path) for path in stylesheets("memtui.tcss"))
    with pytest.raises(FileNotFoundError, match=r"nothing\.tcss"):
        stylesheets("nothing.tcss")

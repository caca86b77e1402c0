"""The debug log: the tracebacks of errors that are shown as one line."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memtui import debug_log
from memtui.cli import main
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.ui.workers.sampler import words_of


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """End every log that a test has started."""
    logger = logging.getLogger("memtui")
    before = list(logger.handlers)
    yield
    for handler in [item for item in logger.handlers if item not in before]:
        logger.removeHandler(handler)
        assert isinstance(handler, logging.StreamHandler)
        handler.stream.close()


def fail_unforeseen() -> str:
    try:
        raise ValueError("[/x] unforeseen \udc80")
    except ValueError as error:
        return words_of(error)


def test_what_nobody_foresaw_is_written_with_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    debug_log.start(log)
    assert fail_unforeseen().startswith("ValueError: [/x] unforeseen")
    assert words_of(MemtuiError(Reason.EXITED)) == Reason.EXITED.text
    text = log.read_text(encoding="utf-8")
    assert "in fail_unforeseen" in text
    assert "ValueError: [/x] unforeseen \\udc80" in text
    assert Reason.EXITED.text not in text, "an error that was foreseen is told whole"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert capsys.readouterr() == ("", "")


def test_without_a_log_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_unforeseen().startswith("ValueError")
    assert capsys.readouterr() == ("", "")


def test_a_log_that_cannot_be_opened_is_told_in_a_line(tmp_path: Path) -> None:
    log = tmp_path / "no" / "log"
    done = subprocess.run(
        [sys.executable, "-m", "memtui", "--log", str(log), "history"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"memtui: No such file or directory ({log})\n"


def test_an_option_starts_it(tmp_path: Path) -> None:
    assert main(["--log", str(tmp_path / "log"), "--state-dir", str(tmp_path), "history"]) == 0
    fail_unforeseen()
    assert "in fail_unforeseen" in (tmp_path / "log").read_text(encoding="utf-8")

"""Which locales are of UTF-8, and what we were started with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from memtui.linux.startup_env import shows_utf8


@pytest.mark.parametrize(
    ("given", "utf8"),
    [
        ({}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LANG": "xx_XX.UTF-8@euro"}, True),
        ({"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_CTYPE": "UTF-8"}, True),
        ({"LANG": "C.UTF-8", "LC_CTYPE": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "ja_JP.eucJP"}, False),
        ({"LANG": "de_DE.nonsense"}, False),
        ({"LANG": "C.UTF-8", "LC_ALL": ""}, True),
    ],
)
def test_locales(given: dict[str, str], utf8: bool) -> None:
    assert shows_utf8(given) is utf8


@pytest.mark.parametrize(("lang", "utf8"), [("C", "False"), ("C.UTF-8", "True")])
def test_the_locale_that_python_sets_for_itself_does_not_count(lang: str, utf8: str) -> None:
    body = "from memtui.linux.startup_env import shows_utf8; print(shows_utf8())"
    done = subprocess.run(
        [sys.executable, "-c", body], env={"LANG": lang}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == utf8

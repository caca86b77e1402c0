"""The processes of our own: what lies beside memtui is not imported in a library's place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import memtui

# It loads memtui alone from a folder that is not on its path, so that only what it starts is seen.
_ENGINE = """
import importlib.util, pathlib, sys
home, state = sys.argv[1:]
spec = importlib.util.spec_from_file_location("memtui", home + "/memtui/__init__.py")
sys.modules["memtui"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["memtui"])
"""

_PROCESSES = {
    "guard": "from memtui.freeze.client import Guard\n"
    "guard = Guard.start()\n"
    "print(guard.is_alive())\n"
    "guard.close()\n",
    "practice": "from memtui.practice.link import PracticeLink\n"
    "sizes = dict.fromkeys(('cold_bytes', 'hot_bytes', 'file_bytes', 'shared_bytes'), 65536)\n"
    "with PracticeLink.start(pathlib.Path(state)) as practice:\n    print(practice.check() == [])\n",
}


@pytest.mark.parametrize("process", _PROCESSES)
def test_a_file_of_a_librarys_name_beside_memtui_is_not_imported(process: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    source = Path(memtui.__file__).parent
    shutil.copytree(source, home / "memtui", ignore=shutil.ignore_patterns("__pycache__"))
    marker = tmp_path / "imported"
    planted = ("socket", "json", "select", "argparse", "cffi", "sitecustomize", "dataclasses", "mmap")
    for name in planted:
        (home / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write({name!r})\nraise SystemExit(9)\n")
    # What memtui is made of is the copy's: a change of it must be seen in what is started.
    (home / "memtui/__init__.py").write_text(
        (source / "__init__.py").read_text() + f"open({str(tmp_path / 'loaded')!r}, 'a').write('x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ENGINE + _PROCESSES[process], home, tmp_path / "state"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert not marker.exists(), marker.read_text()
    assert (tmp_path / "loaded").read_text() == "xx", "by the engine, and by what it started"

"""The house: who imports whom, what starting up costs, and what is in the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, encoding="utf-8", cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_floors_of_the_house() -> None:
    lint = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run(
        [lint, "--no-cache"], capture_output=True, encoding="utf-8", cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["advise", "--help"], ["--version"], ["nosuch"]])
def test_help_imports_little(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from memtui.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'textual', 'rich', 'psutil', 'cffi', 'platformdirs'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
    )
    assert python("-c", script, *arguments).splitlines()[-1] == "[]"


def test_nothing_outside_ui_pulls_textual_in() -> None:
    modules = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in sorted((REPOSITORY / "memtui").rglob("*.py"))
        if "ui" not in path.relative_to(REPOSITORY).parts and path.name != "__main__.py"
    ]
    assert len(modules) > 40
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n    importlib.import_module(name.removesuffix('.__init__'))\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'textual', 'rich'}))\n"
    )
    assert python("-c", script, *modules) == "[]\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: building must leave nothing in the tree.
    source = folder / "source"
    leave = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests", "screenshots")
    shutil.copytree(REPOSITORY, source, ignore=leave)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_is_pure_and_holds_the_styles(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("memtui/styles/") and name.endswith(".tcss") for name in names)
    assert "memtui/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "styles/"))]


def test_the_wheel_runs_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "environment"
    venv.EnvBuilder(with_pip=False).create(place)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", f"--python={place / 'bin/python'}", "install", "--quiet"),
            *("--disable-pip-version-check", str(wheel)),
        ],
        check=True,
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    elsewhere = tmp_path / "elsewhere"
    # A folder of our name where one stands must not be taken for the program.
    (elsewhere / "memtui").mkdir(parents=True)
    (elsewhere / "memtui/__init__.py").write_text("raise SystemExit('the wrong memtui')\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [place / "bin/memtui", "--state-dir", tmp_path / "state", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            cwd=elsewhere,
            env=environment,
            check=False,
        )

    assert run("--version").stdout.startswith("memtui ")
    listed = run("ps", f"pid:{os.getpid()}", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f'"pid":{os.getpid()}' in listed.stdout
    assert run("history").returncode == 0

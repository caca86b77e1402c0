"""Old names that must not come back: each thing has the name that kernel and Textual people give it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "memtui"

OLD_MODULES = [
    "text",
    "model/select",
    "model/wire",
    "model/fate",
    "model/foretold",
    "model/methods",
    "model/holds",
    "model/spans",
    "linux/program",
    "linux/packed",
    "linux/live",
    "linux/maptable",
    "linux/mappers",
    "linux/machine",
    "linux/started",
    "linux/declarations",
    "linux/layouts",
    "freeze/lockout",
    "freeze/choices",
    "freeze/replay",
    "advise/study",
    "advise/survey",
    "advise/tally",
    "advise/wholes",
    "advise/remains",
    "advise/secondpass",
    "advise/garbage",
    "advise/outcome",
    "advise/watch",
    "host/acting",
    "host/opened",
    "host/aftermath",
    "ui/arranger",
    "ui/finder",
    "ui/operator",
    "ui/watcher",
    "ui/early",
    "ui/meant",
    "ui/in_order",
    "ui/lifeline",
    "ui/commands",
    "ui/dialogs",
    "ui/screens/deeds",
    "ui/screens/finding",
    "cli/signals",
]

OLD_NAMES = frozenset(
    [
        "Spans",
        "Piece",
        "Pieces",
        "Will",
        "WhyBytes",
        "Alike",
        "Standing",
        "Kind",
        "Back",
        "Stayed",
        "Aftermath",
        "Mapper",
        "Mappers",
        "PageSurvey",
        "Survey",
        "Study",
        "Tallies",
        "Wholes",
        "Remains",
        "Grain",
        "SwapPurse",
        "SecondPass",
        "Course",
        "Tools",
        "Grip",
        "CgroupGrip",
        "PtraceGrip",
        "SigstopGrip",
        "Acting",
        "Opened",
        "Shelf",
        "Operator",
        "Clerk",
        "Arranger",
        "Finder",
        "FindingPane",
        "DeedsScreen",
        "FindingScreen",
        "Early",
        "Lifeline",
        "uncollected",
        "look_back",
        "settle_all",
        "told_of",
        "LESSER",
        "Bottom",
    ]
)


def _defined() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "_ffi.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                yield str(path.relative_to(PACKAGE)), node.name


@pytest.mark.parametrize("module", OLD_MODULES)
def test_no_module_has_its_old_name(module: str) -> None:
    assert not (PACKAGE / f"{module}.py").exists()


def test_nothing_is_defined_by_its_old_name() -> None:
    defined = list(_defined())
    assert len(defined) > 1000, "it looks at all there is"
    assert [found for found in defined if found[1] in OLD_NAMES] == []

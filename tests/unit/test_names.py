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


MOST_OF_A_CLASS, MOST_OF_A_FUNCTION = 300, 60
"""Lines; of a class with all that it inherits from classes of ours."""


def _lines(node: ast.ClassDef | ast.FunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_class_and_no_function_is_two_things() -> None:
    classes: dict[str, ast.ClassDef] = {}
    too_long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
            elif isinstance(node, ast.FunctionDef) and _lines(node) > MOST_OF_A_FUNCTION:
                too_long.append((node.name, _lines(node)))

    def whole(name: str) -> int:
        node = classes.get(name)
        if node is None:
            return 0
        bases = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
        return _lines(node) + sum(whole(base.id) for base in bases if isinstance(base, ast.Name))

    too_long += [(name, whole(name)) for name in classes if whole(name) > MOST_OF_A_CLASS]
    assert len(classes) > 200, "it looks at all there is"
    assert too_long == []

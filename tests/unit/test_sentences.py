"""Where sentences are made: in render/, from values. Below it there are codes, and one table of words."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parents[2] / "memtui"
ROOMS = ("model", "linux", "freeze", "advise", "host")

TABLE = "model/reasons.py"
"""The table of codes, words and next steps."""

ALLOWED = {
    ("model/ranges.py", "pieces would be smaller than their alignment"): "for programmers: a ValueError",
    ("advise/pages_file.py", "not the id of a report"): "for programmers: a ValueError",
    ("linux/_ffi_build.py", "struct iovec"): "C, for cffi",
    ("linux/file_looker.py", "bcachefs binfmt_misc"): "names of file systems",
    ("host/local.py", "a target of another host"): "for programmers: a TypeError",
    ("host/remedies.py", "run memtui on the host"): "a remedy: what to do, as a value",
    ("host/remedies.py", "sh -c 'dd"): "a remedy: a command",
}

STILL_TO_DO = {
    "freeze/as_user.py": 4,
    "freeze/bystanders.py": 4,
    "freeze/cgroup.py": 14,
    "freeze/client.py": 19,
    "freeze/guard.py": 8,
    "freeze/journal.py": 3,
    "freeze/protected.py": 8,
    "freeze/parents.py": 6,
    "freeze/protocol.py": 1,
    "freeze/ptrace.py": 4,
    "freeze/recovery.py": 14,
    "freeze/sigstop.py": 7,
    "freeze/thawed_words.py": 8,
    "freeze/threads.py": 4,
}
"""How many sentences stand in modules that make their own still. It only shrinks."""

_WORD = re.compile(r"[(`']*[A-Za-z]+(?:'s|n't)?[`')]*[,;:.]?")


def sentences(module: ast.Module) -> Iterator[str]:
    """Yield literals outside docstrings with four words and more; of f-strings what is literal."""
    docstrings = {
        id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr) and _is_text(node.value)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            docstrings.update(map(id, node.values))
            text = "".join(part.value if _is_text(part) else "\N{BULLET}" for part in node.values)  # type: ignore[attr-defined]
        elif _is_text(node) and id(node) not in docstrings:
            text = node.value  # type: ignore[attr-defined]
        else:
            continue
        if sum(bool(_WORD.fullmatch(word)) for word in text.split()) >= 4:
            yield text


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_what_counts_as_a_sentence() -> None:
    found = sentences(
        ast.parse(
            '"""A docstring is no such sentence."""\n'
            'code = "no_swap"\n'
            'said = f"{count} of it were huge pages"\n'
            'print("no process was left frozen")\n'
        )
    )
    assert list(found) == ["\N{BULLET} of it were huge pages", "no process was left frozen"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_below_render_makes_sentences(room: str) -> None:
    used = set()
    made: Counter[str] = Counter()
    for path in sorted((PACKAGE / room).rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if name == TABLE:
            continue
        for text in sentences(ast.parse(path.read_text("utf-8"))):
            allowed = [key for key in ALLOWED if key[0] == name and text.lstrip().startswith(key[1])]
            used.update(allowed)
            if not allowed:
                made[name] += 1
                if name not in STILL_TO_DO:
                    pytest.fail(f"{name} makes a sentence; render/ does, or the table of reasons: {text!r}")
    assert made == {name: count for name, count in STILL_TO_DO.items() if name.startswith(f"{room}/")}
    assert used == {key for key in ALLOWED if key[0].startswith(f"{room}/")}, "what is allowed is there"

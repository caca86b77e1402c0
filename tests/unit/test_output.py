"""What the commands print."""

from __future__ import annotations

import pytest

from memtui.cli.output import print_table
from memtui.format import cells, safe
from memtui.render.table import short_name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", 5),
        ("", 0),
        ("caf\xe9", 4),
        ("cafe\u0301", 4),
        ("\u6f22\u5b57", 4),
        ("\uff21", 2),
        ("\uff71", 1),
        ("\ud55c\uae00", 4),
        ("\u1112\u1161\u11ab", 2),
        ("\U0001f600", 2),
        ("\u2400", 1),
        ("\ufffd", 1),
        ("\u2026", 1),
        ("\u0915\u093f", 2),
    ],
)
def test_cells(text: str, wanted: int) -> None:
    """As wcwidth(3) of glibc has it."""
    assert safe(text) == text
    assert cells(text) == wanted


def test_columns_stand_below_each_other_in_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        ("N", "NAME", "WHY"),
        [("1", "\u6f22\u5b57", "x"), ("10", "e\u0301", "y"), ("100", "abc", "z")],
        left=2,
    )
    assert capsys.readouterr().out.splitlines() == [
        "  N  NAME  WHY",
        "  1  \u6f22\u5b57  x",
        " 10  e\u0301     y",
        "100  abc   z",
    ]


@pytest.mark.parametrize("char", ["x", "\u6f22"])
def test_a_long_name_keeps_its_end_in_44_cells(char: str) -> None:
    shown = short_name("/" + char * 100 + "/end")
    assert shown.startswith("\u2026")
    assert shown.endswith(char + "/end")
    assert 43 <= cells(shown) <= 44
    assert short_name("x" * 44) == "x" * 44

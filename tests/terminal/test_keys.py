"""Every key of the table, on a real terminal, wide and narrow: what is pressed, and what must be seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from memtui.ui.bindings import APP_BINDINGS, MAIN_BINDINGS, TABLE_BINDINGS
from tests.terminal.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

Seen = str | Callable[[str], bool]

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
HOME, END, PAGE_UP, PAGE_DOWN, BACK_TAB = "\x1b[H", "\x1b[F", "\x1b[5~", "\x1b[6~", "\x1b[Z"
F1, F3, F4, F5, F6 = "\x1bOP", "\x1bOR", "\x1bOS", "\x1b[15~", "\x1b[17~"
F9, F10, F12 = "\x1b[20~", "\x1b[21~", "\x1b[24~"
ENTER, ESCAPE = "\r", "\x1b"
FIRST, SECOND, LAST = "55d000000000-55d000057000", "55d000057000-", "ffffffffff600000-"


def gone(words: str) -> Callable[[str], bool]:
    """Return a condition: words are no longer on the screen."""
    return lambda text: words not in text


def shown(words: str) -> Callable[[str], bool]:
    """Return a condition: words are on the screen."""
    return lambda text: words in text


def message(words: str) -> Callable[[str], bool]:
    """Return a condition: the line above the keys has words."""
    return lambda text: words in text.splitlines()[-2]


# Enter tells in the message line which VMA the cursor is on.
KEYS: list[tuple[str, Seen]] = [
    ("G" + ENTER, message(LAST)),
    ("g" + ENTER, message(FIRST)),
    ("j" + ENTER, message(SECOND)),
    ("k" + ENTER, message(FIRST)),
    (DOWN + ENTER, message(SECOND)),
    (UP + ENTER, message(FIRST)),
    (END + ENTER, message(LAST)),
    (HOME + ENTER, message(FIRST)),
    (PAGE_DOWN + ENTER, lambda text: not message(FIRST)(text)),
    (PAGE_UP + PAGE_UP + ENTER, message(FIRST)),
    ("\x04" + ENTER, lambda text: not message(FIRST)(text)),
    ("\x15\x15" + ENTER, message(FIRST)),
    (" ", "1 marked"),
    (" ", "nothing marked"),
    ("vjj", "RANGE"),
    (ESCAPE, gone("RANGE")),
    ("gvjj ", "3 VMAs marked"),
    ("U", "nothing marked"),
    ("*", "18 marked"),
    ("U", "nothing marked"),
    ("f", "hold target: ptrace"),
    ("ffff", "hold target: auto"),
    ("a", "[PAGEOUT]"),
    (ESCAPE, gone("[PAGEOUT]")),
    (F9, "[PAGEOUT]"),
    (ESCAPE, gone("[PAGEOUT]")),
    ("!", message("Release all: ")),
    ("j" + ENTER, gone("Release all: ")),
    (F12, message("Release all: ")),
    ("?", "This help"),
    (ESCAPE, gone("This help")),
    (F1, "This help"),
    (F1, gone("This help")),
    ("\x10", "Search for commands"),
    (ESCAPE, gone("Search for commands")),
    ("x", "What each advice would do"),
    (ESCAPE, gone("What each advice")),
    ("R", "no such action"),
    (ESCAPE, gone("no such action")),
    ("@", "nothing is recorded yet"),
    (ESCAPE, gone("nothing is recorded")),
    ("g" + ENTER, message(FIRST)),
    ("/", "search: "),
    ("perm:x", message("match 1 of 3")),
    (ENTER, gone("search: ")),
    ("n", message("match 2 of 3")),
    (F3, message("match 3 of 3")),
    ("N", message("match 2 of 3")),
    ("/nosuch" + ENTER, message("nothing matches")),
    ("\\kind:heap" + ENTER, "filter: kind:heap"),
    (ESCAPE, gone("filter:")),
    (F4 + "kind:stack" + ENTER, "filter: kind:stack"),
    ("\\" + " kinx:" + ENTER, message("^ kinx:: no such term")),
    (ESCAPE, "filter: kind:stack"),
    (ESCAPE, gone("filter:")),
    ("+label:cold" + ENTER, message("1 VMA marked")),
    ("-label:cold" + ENTER, message("1 VMA unmarked")),
    (">", message("sorted by name, upward")),
    ("<", message("sorted by address")),
    (F6 + F6, message("sorted by rss, downward")),
    ("I", message("sorted by rss, upward")),
    ("I", "RSS↓"),
    ("<<", message("sorted by address, upward")),
    ("t", message("below their parents")),
    (F5, message("in one list")),
    ("F", message("stays on its line")),
    ("F", message("follows its row")),
    ("z", shown("PAUSED")),
    ("z", gone("PAUSED")),
    ("Z", shown("PAUSED")),
    ("Z", gone("PAUSED")),
    (RIGHT, lambda text: True),
    (LEFT, "RSS"),
    ("g" + ENTER, message(FIRST)),
    ("G\t", "nothing was advised yet"),
    (BACK_TAB + ENTER, message(LAST)),
    ("g" + ENTER, message(FIRST)),
    (BACK_TAB, "postgres"),
    ("u", "user: "),
    ("u", gone("user: ")),
    ("\\user:redis" + ENTER, "1 of 16"),
    (ESCAPE, gone("1 of 16")),
    ("j" + ENTER, "Map of "),
]


@pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=["wide", "narrow"])
def test_every_key(tmp_path: Path, size: tuple[int, int]) -> None:
    with Terminal([sys.executable, "-m", "tests.ui.child", str(tmp_path / "log")], *size) as terminal:
        terminal.wait_for("cold region")
        for keys, seen in KEYS:
            terminal.send(keys)
            try:
                terminal.wait_for(seen, 10)
            except AssertionError as error:
                raise AssertionError(f"after {keys!r}: {error}") from None
        terminal.send(F10)
        assert terminal.wait_for_end() == 0
        terminal.assert_sane()


_NAMES = {
    **{ENTER: "enter", ESCAPE: "escape", "\t": "tab", BACK_TAB: "shift+tab", UP: "up", DOWN: "down"},
    **{RIGHT: "right", LEFT: "left", HOME: "home", END: "end", PAGE_UP: "pageup", PAGE_DOWN: "pagedown"},
    **{F1: "f1", F3: "f3", F4: "f4", F5: "f5", F6: "f6", F9: "f9", F10: "f10", F12: "f12"},
    **{" ": "space", "*": "asterisk", "!": "exclamation_mark", "?": "question_mark", "@": "at"},
    **{"/": "slash", "\\": "backslash", "+": "plus", "-": "minus", ">": "greater_than_sign"},
    **{"<": "less_than_sign", "\x04": "ctrl+d", "\x15": "ctrl+u"},
}


def test_the_list_leaves_out_no_key() -> None:
    pressed = {F10}
    for keys, _ in KEYS:
        rest = keys
        while rest:
            key = next(
                (item for item in sorted(_NAMES, key=len, reverse=True) if rest.startswith(item)), rest[0]
            )
            pressed.add(key)
            rest = rest[len(key) :]
    names = {_NAMES.get(key, key) for key in pressed}
    bindings = [*APP_BINDINGS, *MAIN_BINDINGS, *TABLE_BINDINGS]
    bound = {key for item in bindings for key in item.key.split(",")}
    # q and ctrl+z end it, and have tests of their own.
    assert bound - names == {"q", "ctrl+q", "ctrl+z"}


def test_a_locale_without_utf8_over_ssh_is_ascii_in_the_terminals_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    arguments = ["--read-only", "--state-dir", str(tmp_path), "--pid", str(os.getpid())]
    with Terminal([sys.executable, "-m", "memtui", *arguments]) as terminal:
        terminal.wait_for("r-xp")
        terminal.wait_for("##")
        terminal.send("?")
        terminal.wait_for("This help")
        assert terminal.output.isascii()
        assert b"38;2;" not in terminal.output, "truecolor"

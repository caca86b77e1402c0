"""The documents say what the program says."""

from __future__ import annotations

import argparse
import re

from memtui.cli.arguments import build_parser
from memtui.model.reasons import Reason
from tests.readme import README, REASONS, with_reasons


def test_the_reasons_are_those_of_the_table() -> None:
    text = REASONS.read_text("utf-8")
    assert with_reasons(text) == text, "make reasons"


def test_every_reason_has_words_that_a_table_can_hold() -> None:
    for reason in Reason:
        assert reason.text, reason
        assert "\n" not in reason.text + reason.next_step, reason
        assert "|" not in reason.text + reason.next_step, reason


def test_every_command_and_its_options_are_there() -> None:
    text = README.read_text("utf-8")
    (commands,) = (
        action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name in commands.choices:
        assert re.search(rf"^    memtui {name}\b", text, re.MULTILINE), name

"""The screens that lie over the main one, each imported when it is opened first: that one stands sooner."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.screen import ModalScreen, Screen

    from memtui.format import SafeText
    from memtui.host import Wanted
    from memtui.model.plan import Plan
    from memtui.model.restore import RestorePlan
    from memtui.model.result import Result
    from memtui.model.vma import MappedVma
    from memtui.ui.options import UiOptions
    from memtui.ui.screens.lines import ExplainScreen
    from memtui.ui.session import Session

T = TypeVar("T")


class Asks:
    """A screen that has asked for something, and takes what it knows of the answers that come."""

    def take(self, answer: object) -> None:
        """Take an answer, if it is one to this screen's question."""


def close(screen: Screen[T], answer: T | None) -> None:
    """Close a screen with its answer, once: a key, a click and the palette may all have come to close it."""
    if screen.app.screen is screen:
        screen.dismiss(answer)


def import_dialogs() -> None:
    """Import all of them, before memory is short, or another version of them lies on the disk."""
    for name in ("help", "ledger", "lines", "plan", "restore", "result"):
        import_module(f"memtui.ui.screens.{name}")
    import_module("memtui.model.filter")


def plan_screen(session: Session, wanted: Sequence[Wanted], words: SafeText) -> ModalScreen[Plan | None]:
    """Return the plan dialog."""
    from memtui.ui.screens.plan import PlanScreen

    return PlanScreen(session, wanted, words)


def restore_screen(
    session: Session, turn: int, action: str | None
) -> ModalScreen[tuple[RestorePlan, ...] | None]:
    """Return the restore dialog."""
    from memtui.ui.screens.restore import RestoreScreen

    return RestoreScreen(session, turn, action)


def result_screen(result: Result) -> Screen[None]:
    """Return a result, range by range."""
    from memtui.ui.screens.result import ResultScreen

    return ResultScreen(result)


def lines_screen(lines: Sequence[SafeText]) -> Screen[None]:
    """Return lines to read."""
    from memtui.ui.screens.lines import LinesScreen

    return LinesScreen(lines)


def explain_screen(turn: int, row: MappedVma, whose: SafeText) -> ExplainScreen:
    """Return the explanation of a VMA."""
    from memtui.ui.screens.lines import ExplainScreen

    return ExplainScreen(turn, row, whose)


def ledger_screen(session: Session) -> Screen[None]:
    """Return the ledger."""
    from memtui.ui.screens.ledger import LedgerScreen

    return LedgerScreen(session)


def help_screen(options: UiOptions) -> ModalScreen[None]:
    """Return the help."""
    from memtui.ui.screens.help import HelpScreen

    return HelpScreen(options)

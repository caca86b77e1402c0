"""The plan dialog: what would be done, on what, how held, and what is expected. It does nothing itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button

from memtui.model.advice import CATALOGUE, Advice
from memtui.text import SafeText, safe
from memtui.ui.commands import DIALOG_BINDINGS, PLAN_BINDINGS
from memtui.ui.dialogs import Asks, close
from memtui.ui.lists.sentences import (
    describe_choices,
    describe_forecast,
    describe_freeze,
    describe_thorough,
)
from memtui.ui.lists.verdicts import VerdictRows
from memtui.ui.lists.words import reasons_in_words
from memtui.ui.messages import Planned
from memtui.ui.rows import NoRows
from memtui.ui.session import FREEZE_CHOICES, Session
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.choices import ChoiceLine
from memtui.ui.widgets.header import TextLine
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.pane import Pane
from memtui.ui.widgets.status import freeze_word
from memtui.ui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from memtui.host import Wanted
    from memtui.model.plan import Plan
    from memtui.ui.widgets.table import VirtualTable

_ADVICES = tuple(Advice)
_TARGETS_TOLD = 3
_TURNS = itertools.count(1)
"""A number for each question, of whichever dialog: no answer is taken for another."""


class PlanScreen(Asks, ModalScreen["Plan | None"]):
    """Answers with the plan as it was shown, or with None."""

    CSS_PATH = stylesheets("dialogs.tcss")
    AUTO_FOCUS = "#cancel"
    BINDINGS: ClassVar[list[BindingType]] = [*PLAN_BINDINGS, *DIALOG_BINDINGS]

    def __init__(self, session: Session, wanted: Sequence[Wanted], what: SafeText) -> None:
        super().__init__(id="plan")
        self._session = session
        self._wanted = tuple(wanted)
        self._advice = Advice.PAGEOUT
        self._turn = 0
        self._thorough = False
        self._cancelled = threading.Event()
        self._plan: Plan | None = None
        self._what = TextLine(id="plan-what")
        self._what.set_reactive(TextLine.text, what)
        self._advices = ChoiceLine("advice", [advice.value.upper() for advice in _ADVICES], id="plan-advice")
        self._freezes = ChoiceLine("freeze", [freeze_word(item) for item in FREEZE_CHOICES], id="plan-freeze")
        self._methods = TextLines(id="plan-methods")
        self._does = TextLines(id="plan-does")
        self._targets = TextLines(id="plan-targets")
        self._again = ChoiceLine("thorough", ["off", "on"], id="plan-thorough")
        self._totals = TextLines(id="plan-totals")
        self._ranges = Pane("Verdicts", id="plan-ranges")
        self._why = TextLine(id="plan-why")

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(id="plan-box"):
            yield self._what
            yield self._advices
            yield self._does
            yield self._freezes
            yield self._methods
            yield self._again
            yield self._targets
            yield self._ranges
            yield self._why
            yield self._totals
            with Horizontal(id="plan-buttons"):
                yield Button("Cancel", id="cancel")
                yield Button("Apply (y)", id="apply", variant="warning", disabled=True)
        yield KeyLine()

    def on_mount(self) -> None:
        """Ask for the first plan."""
        self._ask()

    def on_unmount(self) -> None:
        """Nobody waits for the answer any more."""
        self._cancelled.set()

    def _ask(self) -> None:
        self._turn = next(_TURNS)
        self._plan = None
        self._cancelled.set()
        self._cancelled = threading.Event()
        self.query_one("#apply", Button).disabled = True
        facts = CATALOGUE[self._advice]
        self._advices.taken = _ADVICES.index(self._advice)
        self._does.lines = (
            safe(f"does    {facts.does}"),
            safe(f"skips   {facts.skips}"),
            safe(f"shows   {facts.shows}"),
        )
        freeze = self._session.freeze
        self._freezes.taken = FREEZE_CHOICES.index(freeze) if freeze in FREEZE_CHOICES else -1
        thorough = self._thorough and self._advice is Advice.PAGEOUT
        self._again.taken = int(thorough)
        self._again.remark = describe_thorough(self._advice)
        self.refresh_bindings()
        self._totals.lines = (SafeText("reckoning ..."),)
        self._session.ask_plan(
            self._turn, self._advice, self._wanted, freeze, thorough=thorough, cancelled=self._cancelled
        )

    def take(self, answer: object) -> None:
        """Show a plan."""
        if isinstance(answer, Planned):
            self.show_answer(answer)

    def show_answer(self, message: Planned) -> None:
        """Show a plan, if it answers the last question."""
        if message.turn != self._turn:
            return
        plan = self._plan = message.plan
        if plan is None:
            self._targets.lines = ()
            self._methods.lines = ()
            self._ranges.table.show(NoRows(), reset=True)
            self._tell_why()
            self._totals.lines = (safe(f"no plan: {message.words}"),)
            return
        told = [describe_freeze(target) for target in plan.targets]
        if len(told) > _TARGETS_TOLD:
            blocked = [words for words, target in zip(told, plan.targets, strict=True) if target.blocked]
            rest = SafeText(f"and {len(told) - _TARGETS_TOLD} processes more, {len(blocked)} blocked in all")
            told = [*(blocked or told)[:_TARGETS_TOLD], rest]
        self._targets.lines = tuple(told)
        all_of_them = not self.has_class("-narrow")
        self._methods.lines = describe_choices(message.choices, plan, all_of_them=all_of_them)
        rows = VerdictRows(plan)
        goes = sum(item.goes for _, item in rows.ranges)
        self._ranges.say(SafeText(f"Verdicts  {goes:,} of {len(rows):,} go to the kernel"))
        self._ranges.table.show_words(SafeText("nothing of it can be advised"))
        self._ranges.table.show(rows)
        self._tell_why()
        self._totals.lines = (describe_forecast(plan),)
        self.query_one("#apply", Button).disabled = goes == 0

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        """Say in full why the range under the cursor will not go, or not all of it."""
        self._tell_why()

    def _tell_why(self) -> None:
        rows = self._ranges.table.rows
        if isinstance(rows, VerdictRows) and len(rows):
            self._why.text = reasons_in_words(rows.ranges[self._ranges.table.cursor][1].verdict)
        else:
            self._why.text = SafeText("")

    def action_advice(self, step: int) -> None:
        """Plan the next advice, or the one before."""
        self._advice = _ADVICES[(_ADVICES.index(self._advice) + step) % len(_ADVICES)]
        self._ask()

    def action_choose(self, advice: str) -> None:
        """Plan an advice."""
        self._advice = Advice(advice)
        self._ask()

    def action_cycle_freeze(self) -> None:
        """Plan with the next freeze method, which stays chosen for the plans to come."""
        self._session.cycle_freeze()
        self._ask()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to be thorough for PAGEOUT only."""
        return action != "thorough" or self._advice is Advice.PAGEOUT

    def action_thorough(self) -> None:
        """Plan to ask again, or not to."""
        self._thorough = not self._thorough
        self._ask()

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Close the dialog; nothing is done."""
        close(self, None)

    @on(Button.Pressed, "#apply")
    def action_apply(self) -> None:
        """Have the plan carried out as it is shown, if there is one that would do anything."""
        if self._plan is not None and not self.query_one("#apply", Button).disabled:
            close(self, self._plan)

"""The plan dialog: what would be done, on what, how held, and what is expected. It does nothing itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import on
from textual.widgets import Button

from memtui.format import SafeText, safe
from memtui.model.advice import Advice
from memtui.render.advice import ADVICE_WORDS
from memtui.render.forecast import describe_forecast, describe_thorough
from memtui.render.freeze import describe_choices, describe_freeze
from memtui.render.reasons import reasons_in_words
from memtui.ui.bindings import CONFIRM_BINDINGS, DIALOG_BINDINGS, PLAN_BINDINGS
from memtui.ui.presentation.rows import NoRows
from memtui.ui.presentation.verdicts import VerdictRows
from memtui.ui.screens.closing import close
from memtui.ui.screens.confirm import ROOMY_ROWS, ConfirmScreen
from memtui.ui.session import FREEZE_CHOICES, Session
from memtui.ui.widgets.choices import ChoiceLine
from memtui.ui.widgets.header import TextLine
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.pane import Pane
from memtui.ui.widgets.status import freeze_word
from memtui.ui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from memtui.host import Selection
    from memtui.model.freeze import FreezeChoice
    from memtui.model.plan import Plan
    from memtui.ui.widgets.table import VirtualTable

_ADVICES = tuple(Advice)
_TARGETS_TOLD = 3


class PlanScreen(ConfirmScreen["Plan | None"]):
    """Answers with the plan as it was shown, or with None. ``planned`` is called with each plan shown."""

    BINDINGS: ClassVar[list[BindingType]] = [*PLAN_BINDINGS, *CONFIRM_BINDINGS, *DIALOG_BINDINGS]

    def __init__(
        self,
        session: Session,
        wanted: Sequence[Selection],
        what: SafeText,
        planned: Callable[[Plan], object],
    ) -> None:
        super().__init__(id="plan")
        self._session = session
        self._wanted = tuple(wanted)
        self._planned = planned
        self._advice = Advice.PAGEOUT
        self._thorough = False
        self._cancelled = threading.Event()
        self._plan: Plan | None = None
        self._shown: tuple[Plan, tuple[FreezeChoice, ...]] | None = None
        """What is explained: the last plan, until there is another."""
        self._what = TextLine(id="plan-what")
        self._what.set_reactive(TextLine.text, what)
        self._advices = ChoiceLine("advice", [advice.value.upper() for advice in _ADVICES], id="plan-advice")
        self._freezes = ChoiceLine("freeze", [freeze_word(item) for item in FREEZE_CHOICES], id="plan-freeze")
        self._methods = TextLines(id="plan-methods")
        self._does = TextLines(id="plan-does")
        self._targets = TextLines(id="plan-targets")
        self._again = ChoiceLine("thorough", ["off", "on"], id="plan-thorough")
        self._whole = TextLines(id="plan-forecast")
        self._ranges = Pane("Verdicts", id="plan-ranges")
        self._why = TextLine(id="plan-why")

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        yield from self.compose_dialog("Apply (y)")
        yield KeyLine()

    def compose_head(self) -> ComposeResult:
        """Say on what, and what is chosen."""
        yield self._what
        yield self._advices
        yield self._freezes
        yield self._again

    def compose_body(self) -> ComposeResult:
        """Say whom it concerns, what is expected of each range, and what the choices mean."""
        yield self._does
        yield self._methods
        yield self._targets
        yield self._ranges
        yield self._whole

    def compose_foot(self) -> ComposeResult:
        """Say why of the range under the cursor."""
        yield self._why

    def on_mount(self) -> None:
        """Ask for the first plan."""
        self._ask()

    def on_unmount(self) -> None:
        """Nobody waits for the answer any more."""
        self._cancelled.set()

    def _ask(self) -> None:
        self._plan = None
        self._cancelled.set()
        self.offer(SafeText("computing forecast ..."), acts=False)
        # What stands there is of the plan before.
        self._ranges.say(SafeText("Verdicts  computing forecast ..."))
        self._advices.taken = _ADVICES.index(self._advice)
        freeze = self._session.freeze
        self._freezes.taken = FREEZE_CHOICES.index(freeze) if freeze in FREEZE_CHOICES else -1
        thorough = self._thorough and self._advice is Advice.PAGEOUT
        self._again.taken = int(thorough)
        self._again.remark = describe_thorough(self._advice)
        self.refresh_bindings()
        self._explain()
        self._cancelled = self._session.ask_plan(
            self, self._advice, self._wanted, self._show_plan, self._show_failure, thorough=thorough
        )

    def _show_failure(self, words: str) -> None:
        self._shown = None
        self._ranges.display = False
        self._targets.lines = ()
        self._ranges.table.show(NoRows(), reset=True)
        self.offer(safe(f"no plan: {words}"), acts=False)
        self._tell_why()
        self._explain()

    def _show_plan(self, plan: Plan, choices: tuple[FreezeChoice, ...]) -> None:
        self._plan, self._shown = plan, (plan, choices)
        self._ranges.display = True
        self._targets.lines = _describe_targets(plan)
        rows = VerdictRows(plan)
        goes = sum(item.goes for _, item in rows.ranges)
        self._ranges.say(SafeText(f"Verdicts  {goes:,} of {len(rows):,} will be advised"))
        self._ranges.table.show_words(SafeText("nothing of it can be advised"))
        self._ranges.table.show(rows)
        self.offer(describe_forecast(plan), acts=goes > 0)
        self._planned(plan)
        self._tell_why()
        self._explain()

    def on_resize(self) -> None:
        """Explain as much as there is room for."""
        self._explain()

    def _explain(self) -> None:
        """Say what the advice and the freeze methods do, or only what the chosen ones do."""
        roomy = self.size.height >= ROOMY_ROWS and not self.has_class("-narrow")
        facts = ADVICE_WORDS[self._advice]
        does = [safe(f"does    {facts.does}")]
        if roomy:
            does += [safe(f"skips   {facts.skips}"), safe(f"shows   {facts.shows}")]
        self._does.lines = tuple(does)
        if self._shown is None:
            self._methods.lines = ()
        else:
            plan, choices = self._shown
            self._methods.lines = describe_choices(choices, plan, all_of_them=roomy)
        words = self.forecast.text
        self._whole.lines = (words,)
        self._whole.display = cell_len(words) > self.forecast.size.width

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
        if self._plan is not None and self.may_act():
            close(self, self._plan)


def _describe_targets(plan: Plan) -> tuple[SafeText, ...]:
    """Return who is advised and how held; of many those that are blocked, or else the first."""
    told = [describe_freeze(target) for target in plan.targets]
    if len(told) > _TARGETS_TOLD:
        blocked = [words for words, target in zip(told, plan.targets, strict=True) if target.blocked]
        rest = SafeText(f"and {len(told) - _TARGETS_TOLD} processes more, {len(blocked)} blocked in all")
        told = [*(blocked or told)[:_TARGETS_TOLD], rest]
    return tuple(told)

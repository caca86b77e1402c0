"""The restore dialog: what was moved, what is still out, what it takes. It does nothing itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.widgets import Button

from memtui.format import SafeText, safe
from memtui.render.restore import (
    describe_restore,
    describe_restore_forecast,
    describe_restore_needs,
    wanted_of,
)
from memtui.ui.bindings import CONFIRM_BINDINGS, DIALOG_BINDINGS, RESTORE_BINDINGS
from memtui.ui.screens.closing import close
from memtui.ui.screens.confirm import ConfirmScreen
from memtui.ui.widgets.header import TextLine
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from memtui.model.restore import RestorePlan
    from memtui.ui.session import Session


class RestoreScreen(ConfirmScreen["tuple[RestorePlan, ...] | None"]):
    """Answers with what is to be put back, as it was shown, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [*RESTORE_BINDINGS, *CONFIRM_BINDINGS, *DIALOG_BINDINGS]

    def __init__(self, session: Session, action: str | None) -> None:
        super().__init__(id="restore")
        self._session = session
        self._action = action
        self._cancelled = threading.Event()
        self._plans: tuple[RestorePlan, ...] = ()
        self._title = TextLine(id="restore-title")
        self._title.set_reactive(TextLine.text, SafeText("Restore: put back what an action moved"))
        self._targets = TextLines(id="restore-targets")
        self._needs = TextLines(id="restore-needs")

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        yield from self.compose_dialog("Restore (y)")
        yield KeyLine()

    def compose_head(self) -> ComposeResult:
        """Say what it is."""
        yield self._title

    def compose_body(self) -> ComposeResult:
        """Say what was moved from whom, and what it takes to put it back."""
        yield self._targets
        yield self._needs

    def on_mount(self) -> None:
        """Ask what could be put back."""
        self.offer(SafeText("checking which pages are still out ..."), acts=False)
        self._cancelled = self._session.ask_restore(self, self._action, self._show_plans, self._show_failure)

    def on_unmount(self) -> None:
        """Want no more answers."""
        self._cancelled.set()

    def _show_failure(self, words: str) -> None:
        self._targets.lines = (safe(f"nothing can be put back: {words}"),)
        self.offer(SafeText("nothing can be put back"), acts=False)

    def _show_plans(self, plans: tuple[RestorePlan, ...]) -> None:
        self._plans = plans
        self._targets.lines = tuple(line for plan in self._plans for line in describe_restore(plan))
        wanted = wanted_of(self._plans)
        self.offer(describe_restore_forecast(self._plans, self._session.machine), acts=bool(wanted))
        if wanted:
            self._needs.lines = describe_restore_needs(wanted, self._session.machine)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Close the dialog; nothing is done."""
        close(self, None)

    @on(Button.Pressed, "#apply")
    def action_apply(self) -> None:
        """Have it put back, if there is anything to put back."""
        if wanted_of(self._plans) and self.may_act():
            close(self, self._plans)

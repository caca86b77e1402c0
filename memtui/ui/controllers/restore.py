"""Restores from the main screen, and from the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memtui.model.restore import RestorePlan
    from memtui.ui.screens.main import MainScreen


class RestoreController:
    """Opens the restore dialog, and puts what it answers with into the queue."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._session = screen.session

    def restore_result(self) -> None:
        """Ask whether to put back the result under the cursor, or else the last action of this session."""
        screen = self._screen
        result = screen.results.under_cursor if screen.current is screen.results else None
        self.ask(None if result is None else result.id)

    def ask(self, action: str | None) -> None:
        """Ask whether to put back what an action, or one target of it, moved; None for the last one."""
        screen, session = self._screen, self._session
        if session.executor is None:
            return
        from memtui.ui.screens.restore import RestoreScreen

        def answered(plans: tuple[RestorePlan, ...] | None) -> None:
            if plans is not None:
                # Its progress, and the key that cancels it, are on the main screen.
                while screen.app.screen is not screen:
                    screen.app.pop_screen()
                session.submit_restore(plans)
                screen.status_bar.plan_waits()

        screen.app.push_screen(RestoreScreen(session, action), answered)

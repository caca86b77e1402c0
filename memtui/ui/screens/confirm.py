"""A dialog that acts: it does so only on a forecast that was on the screen, with its buttons below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.errors import NoWidget
from textual.screen import ModalScreen
from textual.widgets import Button

from memtui.format import SafeText
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.header import TextLine

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.strip import Strip

Answer = TypeVar("Answer")

ROOMY_ROWS = 32
"""From so many rows on there is room for explanations."""
_HEIGHTS = [(0, "-tiny"), (9, "-flat"), (20, "-low"), (ROOMY_ROWS, "-high")]


class ForecastLine(TextLine):
    """What would come of it, in one line. ``drawn`` is what of it was drawn last."""

    drawn: SafeText | None = None

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        if y == 0:
            self.drawn = self.text
        return super().render_line(y)


class ConfirmScreen(ModalScreen[Answer]):
    """What would be done above, which scrolls; the forecast and the buttons stay below it at every size."""

    CSS_PATH = stylesheets("dialogs.tcss")
    AUTO_FOCUS = "#cancel"
    # Its own: how much of it fits has nothing to do with how many panes the main screen shows.
    VERTICAL_BREAKPOINTS = _HEIGHTS

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.forecast = ForecastLine(id="forecast")
        self._too_small = TextLine(id="too-small")
        self._too_small.set_reactive(
            TextLine.text, SafeText("too small: enlarge the terminal, or Esc cancels")
        )
        self._body = VerticalScroll(classes="dialog-body", can_focus=False)

    def compose_dialog(self, label: str) -> ComposeResult:
        """Lay out the frame; ``label`` is the word on the button that acts."""
        yield self._too_small
        with Vertical(classes="dialog-box"):
            with Vertical(classes="dialog-head"):
                yield from self.compose_head()
            with self._body:
                yield from self.compose_body()
            with Vertical(classes="dialog-foot"):
                yield from self.compose_foot()
                yield self.forecast
                with Horizontal(classes="dialog-buttons"):
                    yield Button("Cancel", id="cancel")
                    yield Button(label, id="apply", variant="warning", disabled=True)

    def compose_head(self) -> ComposeResult:
        """Yield what always stands on top."""
        yield from ()

    def compose_body(self) -> ComposeResult:
        """Yield what scrolls."""
        yield from ()

    def compose_foot(self) -> ComposeResult:
        """Yield what stands over the forecast."""
        yield from ()

    def offer(self, forecast: SafeText, *, acts: bool) -> None:
        """Show a forecast; ``acts`` is whether there is anything to apply."""
        self.forecast.text = forecast
        self.query_one("#apply", Button).disabled = not acts

    def may_act(self) -> bool:
        """Whether there is something to apply, and its forecast and the buttons are on the screen now."""
        try:
            apply = self.query_one("#apply", Button)
            parts = [self.find_widget(item) for item in (self.forecast, self.query_one("#cancel"), apply)]
        except (NoMatches, NoWidget):
            # Not laid out: the terminal is too small, or the dialog is being taken down.
            return False
        return (
            not apply.disabled
            and self.forecast.drawn == self.forecast.text
            and all(part.visible_region == part.region for part in parts)
            and all(self.region.contains_region(part.region) for part in parts)
        )

    def action_body(self, rows: int) -> None:
        """Scroll what stands above the forecast."""
        self._body.scroll_relative(y=rows, animate=False)

    def action_body_page(self, pages: int) -> None:
        """Scroll it by a page."""
        self.action_body(pages * max(1, self._body.size.height - 1))

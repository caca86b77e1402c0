"""A line of choices, of which one is taken. Keys of the screen move it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from memtui.format import SafeText

if TYPE_CHECKING:
    from collections.abc import Sequence


class ChoiceLine(Widget):
    """``label  [one] two three  remark``: the taken one in brackets, so that no colour is needed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"choice--taken", "choice--remark"}

    taken: reactive[int] = reactive(0)
    """The index of the choice."""
    remark: reactive[SafeText] = reactive(SafeText(""))
    """What stands behind the choices."""

    def __init__(self, label: str, choices: Sequence[str], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._label = label
        self._choices = choices

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        base = self.rich_style
        if y > 0:
            return Strip.blank(self.size.width, base)
        taken = self.get_component_rich_style("choice--taken")
        remark = self.get_component_rich_style("choice--remark")
        segments = [Segment(f"{self._label:<9}", base)]
        for index, choice in enumerate(self._choices):
            here = index == self.taken
            segments.append(Segment(f"[{choice}]" if here else f" {choice} ", taken if here else base))
            segments.append(Segment(" ", base))
        segments.append(Segment(f"  {self.remark}", remark))
        return Strip(segments).crop_extend(0, self.size.width, base)

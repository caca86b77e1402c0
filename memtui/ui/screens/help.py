"""Help, made from the bindings, so that it cannot be wrong about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from memtui.format import safe
from memtui.ui.bindings import (
    APP_BINDINGS,
    CLOSE_BINDINGS,
    CONFIRM_BINDINGS,
    DIALOG_BINDINGS,
    HISTORY_BINDINGS,
    MAIN_BINDINGS,
    PLAN_BINDINGS,
    PROMPT_BINDINGS,
    RESTORE_BINDINGS,
    TABLE_BINDINGS,
    is_acting,
)
from memtui.ui.screens.closing import close
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.keys import KeyLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult

    from memtui.ui.options import UiOptions

_GLYPHS = (
    ("*", "marked; ~ a part of it is; ! a mark lies here, but its VMA was replaced; > would be marked"),
    ("+ ~ = x", "of a verdict: will work, in part, will do nothing, is refused and stays out"),
    (
        "+ ~ = ? x ! /",
        "of an outcome: done, partial, no_effect, unverified, refused, changed or lost, cancelled",
    ),
    ("█ ▒ ·", "in the bar of a VMA: in RAM, in swap, neither; a part of a cell counts as a cell"),
    ("h s a f m g d v", "in the address bar over the map, where a kind begins: heap, stack, anon, file,"),
    ("", "shmem, hugetlb, device, vdso and its like; a capital: at least half of it is in RAM"),
    ("▁ to █, ▒, ·", "behind it: how much of the cell is in RAM, more in swap, nothing; ▲ is the cursor"),
    ("?", "not permitted to know, or not seen"),
    ("-", "does not apply"),
    ("0", "a real zero"),
)

_NUMBERS = (
    ("requested", "what was asked for: the size of the ranges"),
    ("forecast", "what is expected to come of it"),
    ("advised", "the kernel's word: bytes that it walked. It can be full with no effect"),
    ("moved", "what was seen: PAGEOUT left RSS, COLLAPSE became huge; - for COLD and WILLNEED"),
    ("back", "what is resident again at the same place: from half on, the advice was wrong"),
    ("rss, swap", "of the ranges, before and after, as seen in the page tables"),
    ("", "of a process swap is that of private memory; that of shared memory stands in its map alone"),
)


_LESSON = (
    ("1", "In the map, mark `cold` and `file` with Space"),
    ("2", "a opens the plan: read what is expected of each, and why"),
    ("3", "y applies it; the result says what the kernel said and what really left"),
    ("4", "Do it again: no_effect, though the kernel says the same as before"),
    ("5", "The back column counts what comes back; R puts back what was moved, x explains it"),
)


class HelpScreen(ModalScreen[None]):
    """All keys, glyphs and numbers."""

    CSS_PATH = stylesheets("dialogs.tcss")
    AUTO_FOCUS = "#help-text"
    BINDINGS: ClassVar[list[BindingType]] = [
        *CLOSE_BINDINGS,
        *(item for item in DIALOG_BINDINGS if item.id != "help"),
        Binding("question_mark,f1", "close", "Back", show=False),
    ]

    def __init__(self, options: UiOptions) -> None:
        super().__init__(id="help")
        self._note = options.note
        self._read_only = options.read_only
        self._demo = options.demo and not options.read_only

    def compose(self) -> ComposeResult:
        """Lay the help out."""
        with VerticalScroll(id="help-text"):
            yield Static(self._text())
        yield KeyLine()

    def _text(self) -> Content:
        parts: list[Content] = []
        if self._note:
            parts += [Content(safe(self._note)), Content("")]
        if self._demo:
            parts += [*self._rows("The demo, for a start", _LESSON)]
        for title, bindings in self._groups():
            parts += [*self._rows(title, [(self._keys(item), item.tooltip or "") for item in bindings])]
        parts += [*self._rows("Glyphs", _GLYPHS), *self._rows("The numbers of a result", _NUMBERS)]
        return Content("\n").join(parts)

    def _groups(self) -> Iterable[tuple[str, list[Binding]]]:
        groups = [
            ("Everywhere", APP_BINDINGS),
            ("Main screen", MAIN_BINDINGS),
            ("Lists", TABLE_BINDINGS),
            ("While a filter or a search is typed", PROMPT_BINDINGS),
        ]
        if not self._read_only:
            groups.append(("Plan dialog", [*PLAN_BINDINGS, *CONFIRM_BINDINGS]))
            groups.append(("Restore dialog", [*RESTORE_BINDINGS, *CONFIRM_BINDINGS]))
            groups.append(("History", HISTORY_BINDINGS))
        for title, bindings in groups:
            yield (
                title,
                [item for item in bindings if not (self._read_only and _is_acting(item))],
            )

    def _keys(self, binding: Binding) -> str:
        whole = Binding(binding.key, binding.action)
        return " ".join(self.app.get_key_display(item) for item in Binding.make_bindings([whole]))

    @staticmethod
    def _rows(title: str, rows: Sequence[tuple[str, str]]) -> list[Content]:
        lines = [Content.styled(title, "bold underline")]
        lines += [Content.assemble((f"  {left:<15}", "bold"), right) for left, right in rows]
        return [*lines, Content("")]

    def action_close(self) -> None:
        """Go back."""
        close(self, None)


def _is_acting(binding: Binding) -> bool:
    return is_acting(binding.action.removeprefix("app."))

"""A screen of lines to read, and the explanations that are shown on one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.screen import Screen

from memtui.model.vma import MappedVma, VmaKind
from memtui.render.forecast import explain_verdicts
from memtui.render.history import describe_entry
from memtui.render.vma import explain_flags, explain_mappers, explain_vma
from memtui.ui import messages as told
from memtui.ui.bindings import CLOSE_BINDINGS, HISTORY_BINDINGS
from memtui.ui.screens.closing import close
from memtui.ui.styles import stylesheets
from memtui.ui.widgets.keys import KeyLine
from memtui.ui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from memtui.format import SafeText
    from memtui.host import HistoryEntry
    from memtui.model.advice import Advice
    from memtui.model.restore import Sharers
    from memtui.model.verdict import Verdict
    from memtui.ui.session import Session

_WITH_FILE = frozenset({VmaKind.FILE, VmaKind.SHMEM})


class LinesScreen(Screen[None]):
    """Lines of text, to scroll through."""

    CSS_PATH = stylesheets("dialogs.tcss")
    AUTO_FOCUS = "#lines-box"
    BINDINGS: ClassVar[list[BindingType]] = [*CLOSE_BINDINGS]

    def __init__(self, lines: Sequence[SafeText] = ()) -> None:
        super().__init__(id="lines")
        self._lines = tuple(lines)
        self._text = TextLines(id="lines-text")

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with VerticalScroll(id="lines-box"):
            yield self._text
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the lines."""
        self.show_lines(self._lines)

    def show_lines(self, lines: Sequence[SafeText]) -> None:
        """Show other lines, or more of them; they may come before the screen is there to show them."""
        self._lines = tuple(lines)
        if self._text.is_mounted:
            self._text.lines = self._lines

    def action_close(self) -> None:
        """Go back."""
        close(self, None)


class ExplainScreen(LinesScreen):
    """A VMA: what it is at once; what each advice would do, and who else maps it, when that is known."""

    def __init__(self, row: MappedVma, whose: SafeText) -> None:
        self._about = [whose, *explain_vma(row)]
        self._flags = explain_flags(row)
        self.has_file = row.kind in _WITH_FILE
        self._asked: list[threading.Event] = []
        self._verdicts = explain_verdicts(None)
        self._mappers = explain_mappers(None, "looking ...") if self.has_file else []
        super().__init__(self._all())

    def await_answer(self, cancelled: threading.Event) -> None:
        """Cancel a question, by its event, when the screen is closed."""
        self._asked.append(cancelled)

    def on_unmount(self) -> None:
        """Want no more answers."""
        for cancelled in self._asked:
            cancelled.set()

    def _all(self) -> list[SafeText]:
        # What takes long to find stands last, so that nothing moves away under the reader.
        return [*self._about, *self._verdicts, *self._flags, *self._mappers]

    def show_verdicts(self, verdicts: tuple[tuple[Advice, Verdict], ...]) -> None:
        """Show what each advice would do."""
        self._verdicts = explain_verdicts(verdicts)
        self.show_lines(self._all())

    def show_mappers(self, mappers: Sharers) -> None:
        """Show who else maps it."""
        self._mappers = explain_mappers(mappers, "")
        self.show_lines(self._all())

    def show_failure(self, words: str) -> None:
        """Show why that is not known."""
        self._mappers = explain_mappers(None, f"not known: {words}")
        self.show_lines(self._all())


class EntryScreen(LinesScreen):
    """One entry of the history, whole."""

    BINDINGS: ClassVar[list[BindingType]] = [*HISTORY_BINDINGS]

    def __init__(self, session: Session, entry: HistoryEntry) -> None:
        super().__init__(describe_entry(entry))
        self._session = session
        self._entry = entry

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what leads to a change where the session only reads."""
        return not (self._session.options.read_only and action == "restore")

    def action_restore(self) -> None:
        """Ask whether to put back what it moved."""
        self._session.post(told.RestoreAsked(self._entry.id))

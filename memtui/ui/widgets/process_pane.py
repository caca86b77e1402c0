"""The pane of the process list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size
from memtui.ui.presentation.order import Sorting, as_tree, next_of, sorted_processes
from memtui.ui.presentation.processes import ProcessRows
from memtui.ui.widgets.searchable_pane import SearchablePane

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memtui.model.errors import FilterDomain
    from memtui.model.process import Process, ProcessId


class ProcessPane(SearchablePane):
    """The process list."""

    subject: FilterDomain = "process"

    def __init__(self) -> None:
        super().__init__("Processes", Sorting("rss"), id="processes")
        self._processes: Sequence[Process] = ()
        self._rows: Sequence[tuple[Process, str]] = ()
        self._marked: Mapping[ProcessId, int] = {}
        self._is_tree = False
        self._users: frozenset[str | None] = frozenset()
        self.table.show_words(SafeText("reading ..."))

    def show(self, processes: Sequence[Process], marked: Mapping[ProcessId, int]) -> None:
        """Show a new reading."""
        self._processes, self._marked = processes, marked
        self.rearrange()

    def show_marked(self, marked: Mapping[ProcessId, int]) -> None:
        """Show which processes have marks."""
        self._marked = marked
        self.table.show(ProcessRows(self._rows, marked))

    def rearrange(self) -> None:
        """Show the list as it is to be sorted and filtered now."""
        if not self._processes:
            return
        shown = [process for process in self._processes if self._takes(process)]
        ordered = sorted_processes(shown, self.sorting)
        if self._is_tree:
            self._rows = as_tree(ordered, self._processes)
        else:
            self._rows = [(process, "") for process in ordered]
        self.table.show_words(SafeText("no process matches; Esc shows all of them"))
        self.table.show(ProcessRows(self._rows, self._marked))
        self._tell(shown)

    def _takes(self, process: Process) -> bool:
        if self._users and process.user not in self._users:
            return False
        return self.wanted is None or self.wanted.matches_process(process)

    def _tell(self, shown: Sequence[Process]) -> None:
        number, of = len(shown), len(self._processes)
        words = "Processes" + "".join(f"  user: {user or '?'}" for user in self._users) + self.filter_words
        words += f"  {number:,}" if number == of else f"  {number:,} of {of:,}"
        words += f"  rss {_sum(process.rss_bytes for process in shown)}"
        words += f"  swap {_sum(process.swap_bytes for process in shown if not process.is_kernel_thread)}"
        self.say(safe(words))

    def toggle_tree(self) -> bool:
        """Show processes below their parents, or not; return which."""
        self._is_tree = not self._is_tree
        self.rearrange()
        return self._is_tree

    def toggle_user(self) -> bool:
        """Show only the processes of the user under the cursor, or of all; return whether there is one."""
        process = self.under_cursor
        if self._users:
            self._users = frozenset()
        elif process is not None:
            self._users = frozenset({process.user})
        self.rearrange()
        return process is not None

    def clear(self) -> bool:
        """Show everything; return whether that is any change."""
        had_user, self._users = bool(self._users), frozenset()
        if super().clear():
            return True
        if had_user:
            self.rearrange()
        return had_user

    def seek(self, origin: int, step: int) -> None:
        """Look for what is searched; ends with a Found."""
        wanted, rows = self.searched, self._rows
        if wanted is None:
            return
        found = [row for row, (process, _) in enumerate(rows) if wanted.matches_process(process)]
        at = next_of(found, origin, step) if found else -1
        if found:
            self.table.go_to(rows[found[at]][0].id)
        self.found(at + 1, len(found))

    @property
    def under_cursor(self) -> Process | None:
        """The process under the cursor."""
        rows = self.table.rows
        if not isinstance(rows, ProcessRows) or not len(rows):
            return None
        return rows.processes[self.table.cursor]


def _sum(numbers: Iterable[int | None]) -> str:
    """Return a sum in words, with a ``?`` where parts of it are not known."""
    listed = list(numbers)
    known = sum(number for number in listed if number is not None)
    return size(known) + ("+?" if None in listed else "")

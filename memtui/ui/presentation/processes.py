"""The process list as the table shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, safe, size_or_dash
from memtui.model.process import Process, ProcessId
from memtui.ui.presentation.rows import Cell, Column, Line

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

_COLUMNS = (
    Column("PID", 7, right=True, sort="pid"),
    Column("RSS", 6, right=True, sort="rss"),
    Column("SWAP", 6, right=True, sort="swap"),
    Column("USER", 8, from_width=44, sort="user"),
    Column("S", 1, sort="state"),
    Column("NAME", 15, from_width=60, sort="name"),
    Column("COMMAND", 20, from_width=60, sort="command"),
    Column("NAME", 20, below_width=60, sort="name"),
)

_STATE_ROLES = {"R": "good", "D": "bad", "Z": "warn", "T": "warn", "t": "warn"}
_NO_MARK, _MARK = SafeText(" "), SafeText("*")


class ProcessRows:
    """Processes in their order, each with the branches that are drawn before it.

    ``marked`` has the number of marks by process.
    """

    columns: Sequence[Column] = _COLUMNS

    def __init__(self, rows: Sequence[tuple[Process, str]], marked: Mapping[ProcessId, int]) -> None:
        self.processes = [process for process, _ in rows]
        self._branches = [branch for _, branch in rows]
        self._marked = marked
        self._index = {process.id: index for index, process in enumerate(self.processes)}

    def __len__(self) -> int:
        return len(self.processes)

    def key(self, index: int) -> Hashable:
        """Return who the process is."""
        return self.processes[index].id

    def find(self, key: Hashable) -> int | None:
        """Return the row of a ProcessId."""
        return self._index.get(key) if isinstance(key, ProcessId) else None

    def line(self, index: int) -> Line:
        """Return a process as it is shown."""
        process, branch = self.processes[index], self._branches[index]
        name = safe(process.name)
        command = name if not process.command else safe(process.command)
        marked = process.id in self._marked
        cells = (
            Cell(SafeText(str(process.pid))),
            Cell(size_or_dash(process.rss_bytes, process.has_memory)),
            Cell(size_or_dash(process.swap_bytes, process.has_memory)),
            Cell(SafeText("?") if process.user is None else safe(process.user), "dim"),
            Cell(safe(process.state), _STATE_ROLES.get(process.state, "dim")),
            Cell(name),
            Cell(SafeText(branch + command), "dim"),
            Cell(SafeText(branch + name)),
        )
        return Line(_MARK if marked else _NO_MARK, "marked" if marked else "", cells)

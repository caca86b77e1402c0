"""What a plan is for when the operator asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count, safe, size
from memtui.host import Wanted
from memtui.model.plan import Mark
from memtui.render.vma import describe_vma

if TYPE_CHECKING:
    from memtui.model.process import Process
    from memtui.ui.marks import MarkBook
    from memtui.ui.widgets.map_pane import MapPane


def what_is_meant(marks: MarkBook, shown: MapPane, process: Process | None) -> tuple[list[Wanted], SafeText]:
    """Return what a plan is for, and the words for it; nothing where there is nothing to take.

    All marks, of every process. Without marks, what is under the cursor: the whole of ``process``,
    where the cursor is in the process list and the map is that process's, else one VMA.
    """
    wanted = marks.wanted()
    if wanted:
        number = sum(len(item.marks or ()) for item in wanted)
        return wanted, safe(
            f"On {count(number, 'marked range')} of {count(len(wanted), 'process', 'processes')}, "
            f"{size(marks.count_bytes)}"
        )
    view, row = shown.view, shown.cursor_row
    if view is None or row is None:
        return [], SafeText("")
    who = f"{view.target.process.pid} {view.target.name}"
    if process is not None:
        if process.id != view.target.process:
            return [], SafeText("")
        return [Wanted(view.target)], safe(f"Nothing is marked, so: all of {who}")
    mark = Mark(row.vma.range, row.vma.identity)
    return [Wanted(view.target, (mark,))], safe(
        f"Nothing is marked, so of {who} the VMA under the cursor: {describe_vma(row)}"
    )

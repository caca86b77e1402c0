"""memtui on one process, with an advice that takes long, so that a hold lasts until it is ended.

Run as ``holding.py STATE_DIR PID METHOD``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.advise.engine import Subject
from memtui.host.local import LocalHost
from memtui.model.freeze import Freeze
from memtui.model.plan import TargetPlan
from memtui.ui.app import run
from memtui.ui.options import UiOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG_S = 1.8


class SlowHost(LocalHost):
    """This machine. Its calls take as long as a call may, short of the guard's own deadline."""

    def _subject(self, planned: TargetPlan) -> Subject:
        subject = super()._subject(planned)

        def slowly(elements: Sequence[tuple[int, int]], _advice: int) -> int:
            time.sleep(LONG_S)
            return sum(end - start for start, end in elements)

        return Subject(subject.handle, subject.smaps_is_cheap, slowly)


if __name__ == "__main__":
    state_dir = Path(sys.argv[1])
    with SlowHost(state_dir, journal_dir=state_dir / "holds") as host:
        sys.exit(run(host, UiOptions(pid=int(sys.argv[2]), read_only=False, freeze=Freeze(sys.argv[3]))))

"""What a crash left held on this machine: found in the journals of the guards, and released."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.linux.namespaces import ProcView, proc_view

if TYPE_CHECKING:
    from pwd import struct_passwd

    from memtui.freeze.recovery import Replayed
    from memtui.model.freeze import Thawed

ROOTS_JOURNAL_DIR = Path("/run/memtui")


def default_journal_dir(state_dir: Path) -> Path:
    """Return where the guards' journals lie: /run/memtui for root, else in the state directory."""
    return ROOTS_JOURNAL_DIR if os.geteuid() == 0 else state_dir / "holds"


def journal_dir_of(user: struct_passwd, state_dir: Path | None) -> Path:
    """Return where the journals of another user's guards lie, XDG_STATE_HOME apart, which only they know."""
    return (state_dir or Path(user.pw_dir) / ".local/state/memtui") / "holds"


class LeftHeld:
    """Reads the journals in ``journal_dir``. What living guards hold is not touched.

    ``given_state_dir`` is where another user's journals lie, too, where the operator has named it.

    Attributes:
        remarks: what the last call found of journals that could not be read.
    """

    def __init__(self, journal_dir: Path, given_state_dir: Path | None) -> None:
        self.remarks: tuple[str, ...] = ()
        self._journal_dir = journal_dir
        self._given_state_dir = given_state_dir

    def thaw(self) -> list[Thawed]:
        """Release what a crash left held, and return what came of each.

        Raises:
            MemtuiError: FREEZE_NO_JOURNAL where it cannot be known.
        """
        if not self._is_any():
            return []
        from memtui.freeze.recovery import replay

        return self._keep_remarks(replay(self._journal_dir))

    def thaw_of(self, user: struct_passwd) -> list[Thawed]:
        """Release what a crash of another user's memtui left held, with that user's rights. Needs root.

        Raises:
            MemtuiError: FREEZE_NO_JOURNAL; FAILED where the user's rights cannot be taken on.
        """
        from memtui.freeze.as_user import replay_as

        return self._keep_remarks(replay_as(user, journal_dir_of(user, self._given_state_dir)))

    def look(self) -> list[Thawed]:
        """Return what a crash left held, and touch nothing.

        Raises:
            MemtuiError: FREEZE_NO_JOURNAL.
        """
        if not self._is_any():
            return []
        from memtui.freeze.recovery import left_held

        return self._keep_remarks(left_held(self._journal_dir))

    def _is_any(self) -> bool:
        """Whether there is anything to be read, so that most starts do without the code that reads it."""
        self.remarks = ()
        return _may_hold_files(self._journal_dir) or proc_view() is ProcView.MISSING

    def _keep_remarks(self, replayed: Replayed) -> list[Thawed]:
        self.remarks = replayed.remarks
        return [*replayed.thawed]


def _may_hold_files(folder: Path) -> bool:
    """Whether there is anything in a folder, as far as we may know."""
    try:
        with os.scandir(folder) as found:
            return any(found)
    except FileNotFoundError:
        return False
    except OSError:
        # Who reads it says what is wrong with it.
        return True

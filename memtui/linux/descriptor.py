"""An open file by its number, which is -1 from the moment it is closed.

The kernel gives a closed file's number to the next one that anybody opens: a number that was kept would
then act on another process, and say nothing. On -1 every call fails with EBADF.
"""

from __future__ import annotations

import os


class Descriptor:
    """Owns an open file. ``fileno`` is asked for each call anew, and kept by nobody."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """Return the number; -1 once it is closed."""
        return self._number

    def close(self) -> None:
        """Close it. May be called again."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

"""The debug log (``--log FILE``): tracebacks of errors that nobody foresaw.

The screen and the commands show an error as one line; whoever reports a bug needs the rest.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

_LOGGER = logging.getLogger("memtui")
_LOGGER.propagate = False
# Without this the logging module writes to standard error, which is the screen's.
_LOGGER.addHandler(logging.NullHandler())


def start(path: Path) -> None:
    """Append to a log from now on. A new file is readable by its owner alone.

    Raises:
        OSError: the file cannot be opened.
    """
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    handler = logging.StreamHandler(os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(threadName)s %(message)s"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.DEBUG)


def record(error: BaseException) -> None:
    """Write an error with its traceback, if there is a log."""
    _LOGGER.error("%s", type(error).__name__, exc_info=error)

"""The program: ``python -m memtui``, and the command ``memtui``.

A signal may come while most of it is still to be imported. Until then nothing was done: it ends at once.
"""

import os
import signal
import sys

_CANCELLED = 5


def _end(*_: object) -> None:
    os._exit(_CANCELLED)


for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    # Whoever started us with nohup wants no end by SIGHUP, and a script's background job none by SIGINT.
    if signal.getsignal(_number) is not signal.SIG_IGN:
        signal.signal(_number, _end)


def main() -> int:
    """Run memtui with the arguments of the command line; return its exit code."""
    from memtui.shutdown import end_at_once

    end_at_once(_CANCELLED)
    from memtui.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())

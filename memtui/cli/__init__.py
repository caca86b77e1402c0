"""The commands. Each is a module of its own, imported only when it is called.

``memtui --help`` imports neither Textual nor psutil nor cffi.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from memtui.cli.arguments import build_parser, load
from memtui.cli.output import complain, drop_output
from memtui.model.errors import FilterError, MemtuiError
from memtui.shutdown import drop_dead_streams

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run memtui; return its exit code: see ``exitcode``."""
    has_output = _has_streams()
    _let_any_terminal_show()
    try:
        return _run(argv, has_output)
    finally:
        drop_dead_streams()


def _run(argv: Sequence[str] | None, has_output: bool) -> int:
    try:
        arguments = _parse(argv)
        if not has_output and arguments.command != "thaw":
            # To let processes go is worth it without a word.
            return complain("standard output is closed, so that nothing can be told: nothing was done", 2)
        if not sys.platform.startswith("linux"):
            return complain("this is not Linux, and memtui works on Linux only", 1)
        if arguments.log is not None:
            from memtui import debug_log

            debug_log.start(arguments.log)
        code = load(arguments.command)(arguments)
        sys.stdout.flush()
        return code
    except FilterError as error:
        from memtui.render.filter import describe_filter_error

        return complain(f"filter: {describe_filter_error(error)}", 2)
    except MemtuiError as error:
        from memtui.cli.exitcode import of_error

        return complain(str(error), of_error(error))
    except BrokenPipeError:
        # The reader went away (`memtui maps PID | head`): nothing is left to say to it.
        drop_output()
        return 0
    except OSError as error:
        # A full disk behind standard output, say. What was not written would fail once more at exit.
        drop_output()
        where = f" ({error.filename})" if error.filename else ""
        return complain(f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        return 5


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    try:
        return build_parser().parse_args(argv)
    except SystemExit:
        # After --help: what cannot be written is told as of every command.
        sys.stdout.flush()
        raise


def _has_streams() -> bool:
    """Return whether there is a standard output; see that no file of ours takes the place of a closed one."""
    was_open = sys.stdout is not None
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is given out first.
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
    return was_open


def _let_any_terminal_show() -> None:
    """Write what the terminal's encoding lacks as an escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

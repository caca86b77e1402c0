"""The command line: what there is to say, and how it is read."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from memtui import __version__
from memtui.cli.output import complain
from memtui.model.advice import Advice
from memtui.model.freeze import DEFAULT_HOLD_MS, Freeze
from memtui.model.ranges import PAGE_BYTES, Range, is_aligned

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import SupportsWrite

_MODULES = {
    "ps": "memtui.cli.ps",
    "maps": "memtui.cli.maps",
    "plan": "memtui.cli.plan",
    "advise": "memtui.cli.advise",
    "restore": "memtui.cli.restore",
    "thaw": "memtui.cli.thaw",
    "history": "memtui.cli.history",
    "doctor": "memtui.cli.doctor",
    "demo": "memtui.cli.demo",
    None: "memtui.cli.tui",
}

_LAST_ENTRIES = 1000

_EXITS = (
    "exit codes: 0 the kernel took everything asked for; 1 part of it not; 2 wrong usage;\n"
    "3 nothing advised for want of permission; 4 all targets gone; 5 cancelled"
)


def load(command: str | None) -> Callable[[argparse.Namespace], int]:
    """Return the function that runs a command, importing it now."""
    run: Callable[[argparse.Namespace], int] = import_module(_MODULES[command]).run
    return run


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(complain(f"{message}; see `{self.prog} --help`", 2))

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own says nothing of what could not be written.
        print(message, end="", file=file or sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="memtui",
        description="See where a Linux machine's memory lies, give the kernel advice about it,\n"
        "and see what really came of it. Without a command, the full-screen program.",
        epilog="examples:\n  memtui --pid 1234\n  memtui demo\n"
        "  memtui advise pageout 1234 --select kind:heap",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"memtui {__version__}")
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="where the ledger lies (default: /var/lib/memtui for root, else the user's state directory)",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append tracebacks of unforeseen errors to this file"
    )
    parser.add_argument("--pid", type=_pid, metavar="PID", help="open with this process chosen")
    _add_screen_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_looking(commands)
    _add_acting(commands)
    _add_restore(commands)
    _add_thaw(commands)
    return parser


def _add_screen_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--read-only", action="store_true", help="no key acts on any process")
    _add_freeze(parser)
    parser.add_argument(
        "--interval",
        type=_interval,
        default=1.0,
        metavar="S",
        help="seconds between two looks at the map (default 1)",
    )
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--theme", metavar="T", help="colours, such as ansi-dark or textual-light")


def _add_looking(commands: argparse._SubParsersAction[_Parser]) -> None:
    ps = _command(commands, "ps", "processes with RSS, swap and faults", "memtui ps 'rss>100M user:www'")
    ps.add_argument("filter", nargs="*", metavar="FILTER", help="such as rss>100M user:www name:*d")
    ps.add_argument(
        "--sort",
        choices=["rss", "swap", "pid", "name", "faults", "user"],
        default="rss",
        metavar="KEY",
        help="rss (default), swap, pid, name, faults or user",
    )
    _add_json(ps)
    maps = _command(
        commands, "maps", "VMAs with live RSS and swap", "memtui maps 1234 'kind:anon,heap rss>1M'"
    )
    maps.add_argument("pid", type=_pid, metavar="PID")
    maps.add_argument(
        "filter", nargs="*", metavar="FILTER", help="such as kind:anon,heap rss>1M will:pageout"
    )
    _add_json(maps)
    history = _command(commands, "history", "what was done, on whom, and what came of it", "memtui history")
    shown = history.add_mutually_exclusive_group()
    shown.add_argument(
        "--last",
        type=_count,
        default=_LAST_ENTRIES,
        metavar="N",
        help=f"the last N entries (default {_LAST_ENTRIES:,})",
    )
    shown.add_argument("--all", action="store_true", help="all of them, however many")
    _add_json(history)
    doctor = _command(
        commands, "doctor", "what works here, what does not, and how to fix it", "memtui doctor 1234"
    )
    doctor.add_argument("pid", type=_pid, nargs="?", metavar="PID")
    _add_json(doctor)
    demo = _command(commands, "demo", "the screen on a practice process; needs no root", "memtui demo")
    _add_screen_options(demo)


def _add_acting(commands: argparse._SubParsersAction[_Parser]) -> None:
    plan = _command(commands, "plan", "what an advice would do; touches nothing", "memtui plan pageout 1234")
    advise = _command(
        commands,
        "advise",
        "apply a madvise hint and report its effect",
        "memtui advise pageout 1234 --select 'kind:anon rss>1M' --freeze ptrace",
        _EXITS,
    )
    for command in (plan, advise):
        command.add_argument(
            "advice",
            choices=[advice.value for advice in Advice],
            metavar="ADVICE",
            help="cold, pageout, willneed or collapse",
        )
        command.add_argument("pids", type=_pid, nargs="+", metavar="PID")
        command.add_argument("--select", metavar="FILTER", help="take the VMAs that match")
        command.add_argument(
            "--range",
            dest="ranges",
            action="append",
            type=_range,
            metavar="A-B",
            help="take these addresses, in hex as in /proc/PID/maps; may be given again; one PID only",
        )
        _add_freeze(command)
        _add_json(command)
    advise.add_argument(
        "--hold-ms",
        type=_hold_ms,
        default=DEFAULT_HOLD_MS,
        metavar="N",
        help=f"hold a target at most so long in one go (default {DEFAULT_HOLD_MS})",
    )
    advise.add_argument(
        "--thorough",
        "--drain-lru",
        action="store_true",
        help="pageout: ask again on every CPU for pages just touched, which the first time passes over",
    )
    advise.add_argument(
        "--watch",
        type=_watch_s,
        metavar="S",
        help="look after 1, 10 and 60 s, up to S, how much of what left RAM is resident again",
    )
    advise.add_argument("--require-effect", action="store_true", help="exit 1 if nothing moved")
    advise.add_argument(
        "--allow-protected",
        action="store_true",
        help="hold processes that are protected by their name, too (sshd, tmux, systemd and such)",
    )
    # The name that it had before.
    advise.add_argument(
        "--override-lockout", dest="allow_protected", action="store_true", help=argparse.SUPPRESS
    )


def _add_restore(commands: argparse._SubParsersAction[_Parser]) -> None:
    restore = _command(
        commands,
        "restore",
        "puts back what an action moved out of RAM",
        "memtui restore --pid 1234 --dry-run",
        "Without ID, --last and --pid: your own last action that moved something, in this login session\n"
        "or, where that is not known, on this terminal.\n\n"
        "exit codes: 0 all of it is back; 1 part of it not; 2 no such action, or none named without a\n"
        "terminal; 5 cancelled",
    )
    which = restore.add_mutually_exclusive_group()
    which.add_argument("id", nargs="?", metavar="ID", help="of an action, or of one target: see history")
    which.add_argument(
        "--last", action="store_true", help="the last action that moved something, whoever it was by"
    )
    restore.add_argument(
        "--pid",
        type=_pid,
        dest="of_pid",
        metavar="PID",
        help="the last action on this process, whoever it was by",
    )
    restore.add_argument("--dry-run", action="store_true", help="say what would be put back; touch nothing")
    _add_json(restore)


def _add_thaw(commands: argparse._SubParsersAction[_Parser]) -> None:
    thaw = _command(commands, "thaw", "releases whatever a crash left frozen", "memtui thaw")
    thaw.add_argument(
        "--user",
        metavar="U",
        help="also what this user's memtui left (root only; under sudo that of who called it)",
    )
    _add_json(thaw)


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, words: str, example: str, more: str = ""
) -> _Parser:
    return commands.add_parser(
        name,
        help=words,
        description=words[0].upper() + words[1:] + ".",
        epilog=f"example:\n  {example}" + (f"\n\n{more}" if more else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _add_freeze(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--freeze",
        type=_freeze,
        metavar="METHOD",
        help="hold targets still: off, ptrace, sigstop or cgroup (default: ptrace where permitted)",
    )


def _freeze(text: str) -> Freeze:
    try:
        return Freeze(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not off, ptrace, sigstop or cgroup") from None


def _interval(text: str) -> float:
    return _seconds(text, 0.1, 3600)


def _watch_s(text: str) -> float:
    return _seconds(text, 1, 60)


def _seconds(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not between {least:g} and {most:g} seconds")
    return value


def _pid(text: str) -> int:
    return _whole(text, (1 << 31) - 1, "a pid")


def _count(text: str) -> int:
    return _whole(text, 10**9, "a number from 1")


def _hold_ms(text: str) -> int:
    return _whole(text, 1500, "between 1 and 1500 ms (the guard lets go at 2000)")


def _whole(text: str, most: int, words: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
    return int(text)


def _range(text: str) -> Range:
    first, dash, last = text.partition("-")
    try:
        start, end = int(first, 16), int(last, 16)
    except ValueError:
        start = end = 0
        dash = ""
    if not dash or "_" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not START-END in hex")
    try:
        item = Range(start, end)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is empty, reversed or too large") from None
    if not is_aligned(item):
        low = start // PAGE_BYTES * PAGE_BYTES
        high = -(-end // PAGE_BYTES) * PAGE_BYTES
        raise argparse.ArgumentTypeError(
            f"{text!r} is not page-aligned: whole pages would be {low:x}-{high:x}"
        )
    return item

"""``memtui ps``: processes with RSS, swap and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memtui.cli.output import complain, print_json, print_table
from memtui.cli.starting import state_dir_to_read, tell_left_held
from memtui.format import safe, size_or_dash
from memtui.host.local import LocalHost
from memtui.linux.proc_mount import hidepid
from memtui.model.filter import parse
from memtui.model.reasons import Reason
from memtui.render import json_schema

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from memtui.model.process import Process

_KEYS: dict[str, Callable[[Process], Any]] = {
    "rss": lambda process: -(process.rss_bytes or 0),
    "swap": lambda process: -(process.swap_bytes or 0),
    "faults": lambda process: -(process.major_faults or 0),
    "pid": lambda process: process.pid,
    "name": lambda process: process.name.casefold(),
    "user": lambda process: process.user or "",
}

_SWAP_NOTE = (
    "SWAP: of private memory; the kernel counts shared memory in swap for no process: see `memtui maps PID`"
)


def run(arguments: argparse.Namespace) -> int:
    """List the processes that the filter takes."""
    wanted = parse(" ".join(arguments.filter), of="process")
    with LocalHost(state_dir_to_read(arguments)) as host:
        tell_left_held(host)
        processes = [process for process in host.processes() if wanted.matches_process(process)]
        has_swap = host.machine().swap_total_bytes != 0
    processes.sort(key=_KEYS[arguments.sort])
    if arguments.json:
        print_json(json_schema.process_row(process) for process in processes)
    else:
        rows = (
            (
                str(process.pid),
                size_or_dash(process.rss_bytes, process.has_memory),
                size_or_dash(process.swap_bytes, process.has_memory),
                "?" if process.major_faults is None else str(process.major_faults),
                process.state,
                safe(process.user or "?"),
                safe(process.command or f"[{process.name}]"),
            )
            for process in processes
        )
        print_table(("PID", "RSS", "SWAP", "MAJFLT", "S", "USER", "COMMAND"), rows, left=3)
        if has_swap:
            print(_SWAP_NOTE)
    if hidepid() is not None:
        complain(f"not listed: {Reason.HIDDEN.text}; {Reason.HIDDEN.next_step}")
    return 0

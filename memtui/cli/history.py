"""``memtui history``: the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli.output import complain, print_json, print_table
from memtui.format import count, safe, size, size_or_dash
from memtui.host.local import LocalHost
from memtui.render import json_schema
from memtui.render.history import target_of

if TYPE_CHECKING:
    import argparse

    from memtui.host import HistoryEntry


def run(arguments: argparse.Namespace) -> int:
    """Print what was done, oldest first; the last of it, unless all is asked for."""
    with LocalHost(arguments.state_dir) as host:
        if arguments.all and arguments.json:
            print_json(map(json_schema.history_entry, host.stream_history(_complain_of_torn)))
            return 0
        history = host.history(None if arguments.all else arguments.last)
    if arguments.json:
        print_json(map(json_schema.history_entry, history.entries))
    else:
        print_table(_HEADINGS, map(_row, history.entries), left=5)
    if not history.is_whole:
        complain(f"older entries are not shown: these are the last {len(history.entries)}; --all shows all")
    _complain_of_torn(history.torn_lines)
    return 0


def _complain_of_torn(torn_lines: int) -> None:
    if torn_lines:
        were = "was" if torn_lines == 1 else "were"
        complain(f"{count(torn_lines, 'line')} of the ledger could not be read and {were} skipped")


_HEADINGS = (
    *("REQUESTED", "FORECAST", "ADVISED", "MOVED", "BACK", "RESTORED"),
    *("TIME", "ADVICE", "TARGET", "OUTCOME", "ID"),
)


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    return (
        size(entry.requested_bytes),
        size(entry.forecast_bytes),
        size(entry.advised_bytes),
        size_or_dash(entry.moved_bytes, entry.can_have_moved),
        size_or_dash(entry.last_back_bytes, bool(entry.back)),
        size_or_dash(entry.restored_bytes, entry.restored_bytes is not None),
        safe(entry.time),
        safe(entry.advice),
        safe(target_of(entry)),
        safe(entry.outcome),
        safe(entry.id),
    )

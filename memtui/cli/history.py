"""``memtui history``: the ledger."""

from __future__ import annotations

import argparse

from memtui.cli.output import complain, print_json, print_table
from memtui.format import count, safe, size, size_or_dash
from memtui.host import HistoryEntry
from memtui.host.local import LocalHost
from memtui.model.wire import Json, schema

_KEYS = HistoryEntry._fields


def run(arguments: argparse.Namespace) -> int:
    """Print what was done, oldest first; the last of it, unless all is asked for."""
    with LocalHost(arguments.state_dir) as host:
        if arguments.all and arguments.json:
            print_json(map(_json, host.stream_history(_complain_of_torn)))
            return 0
        history = host.history(None if arguments.all else arguments.last)
    if arguments.json:
        print_json(map(_json, history.entries))
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


def _json(entry: HistoryEntry) -> Json:
    return {"schema": schema("history"), **{key: getattr(entry, key) for key in _KEYS}}


_HEADINGS = (
    *("REQUESTED", "FORECAST", "ADVISED", "MOVED", "BACK", "RESTORED"),
    *("TIME", "ADVICE", "TARGET", "OUTCOME", "ID"),
)


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    target = f"{entry.target.get('pid', '?')} {entry.target.get('name', '?')}"
    return (
        size(entry.requested_bytes),
        size(entry.forecast_bytes),
        size(entry.advised_bytes),
        size_or_dash(entry.moved_bytes, entry.can_have_moved),
        size_or_dash(entry.last_back_bytes, bool(entry.back)),
        size_or_dash(entry.restored_bytes, entry.restored_bytes is not None),
        safe(entry.time),
        safe(entry.advice),
        safe(target),
        safe(entry.outcome),
        safe(entry.id),
    )

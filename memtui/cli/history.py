"""``memtui history``: the ledger."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from memtui.cli.output import complain, print_json, print_table
from memtui.host import HistoryEntry
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.wire import Json, schema
from memtui.text import count, safe, size, size_or_dash


def run(arguments: argparse.Namespace) -> int:
    """Print what was done, oldest first."""
    with LocalHost(arguments.state_dir) as host:
        history = host.history()
    if arguments.json:
        print_json(_json(entry) for entry in history.entries)
    else:
        headings = ("REQUESTED", "FORECAST", "ADVISED", "MOVED", "TIME", "ADVICE", "TARGET", "OUTCOME", "ID")
        print_table(headings, (_row(entry) for entry in history.entries), left=5)
    if history.torn_lines:
        complain(f"{count(history.torn_lines, 'line')} of the ledger could not be read and was skipped")
    return 0


def _json(entry: HistoryEntry) -> Json:
    return {"schema": schema("history"), **asdict(entry)}


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    target = f"{entry.target.get('pid', '?')} {entry.target.get('name', '?')}"
    return (
        size(entry.requested_bytes),
        size(entry.forecast_bytes),
        size(entry.advised_bytes),
        _moved_cell(entry),
        safe(entry.time),
        safe(entry.advice),
        safe(target),
        safe(entry.outcome),
        safe(entry.id),
    )


def _moved_cell(entry: HistoryEntry) -> str:
    advices = {advice.value: advice for advice in Advice}
    advice = advices.get(entry.advice)
    applies = advice is None or advice.can_have_moved(entry.advised_bytes, entry.moved_bytes)
    return size_or_dash(entry.moved_bytes, applies)

"""``python -m tests.bench.programs [NAME]...``: seven real programs at work, advised in every way.

Each serves a client that checks every byte, while all of its processes are given every advice with every
freeze method. Then, with the client paused, PAGEOUT's forecast is held against smaps. Prints a table in
Markdown. Needs root and 4 GiB of disk in /var/tmp; a program that is not installed is named.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from memtui.freeze.client import Guard, Hold, Released
from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.freeze import DEFAULT_HOLD_MS, Freeze
from memtui.model.report import Outcome, TargetReport
from tests.bench.bench_hold import swap
from tests.bench.servers import PROGRAMS, Client, Missing, Server, serving
from tests.bench.table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOLDS = 200
MOST_ROUNDS = 100
FORECASTS = 5
SLACK_MS = 20
GOAL_SHARE = 0.95
GOAL_OFF = 0.02
SWAP_BYTES = 4 << 30

_WRONG = frozenset({Outcome.FAILED, Outcome.FREEZE_LOST})


@dataclass(slots=True)
class Row:
    """What a program went through."""

    requests: int = 0
    errors: int = 0
    slowest_ms: float = 0.0
    actions: int = 0
    holds_ms: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    forecast_bytes: int = 0
    left_bytes: int = 0

    def heard(self, tally: dict[str, object]) -> None:
        """Add what the client says."""
        self.requests += int(str(tally["requests"]))
        self.errors += int(str(tally["errors"]))
        self.slowest_ms = max(self.slowest_ms, float(str(tally["longest_ms"])))
        if tally["first_error"]:
            self.troubles.append(f"client: {tally['first_error']}")

    def in_time(self) -> float:
        """Return which share of the holds kept to their time."""
        kept = sum(ms <= DEFAULT_HOLD_MS + SLACK_MS for ms in self.holds_ms)
        return kept / len(self.holds_ms) if self.holds_ms else 0.0


@contextmanager
def timed_holds(row: Row) -> Iterator[None]:
    """Note how long each hold lasts."""
    real = Guard.release

    def release(guard: Guard, hold: Hold) -> Released:
        released = real(guard, hold)
        row.holds_ms.append(released.held_ms)
        return released

    with mock.patch.object(Guard, "release", release):
        yield


def advise(
    host: LocalHost, server: Server, advice: Advice, method: Freeze, row: Row
) -> Sequence[TargetReport]:
    """Give one advice to all processes of a program; note what went wrong."""
    wanted = []
    for pid in server.pids():
        try:
            wanted.append(Selection(host.open(pid)))
        except MemtuiError:  # one of its helpers has ended
            continue
    try:
        reports = host.apply(host.plan(advice, wanted, method))
    finally:
        for item in wanted:
            item.target.release()
    row.actions += len(reports)
    for report in reports:
        if report.outcome in _WRONG:
            row.troubles.append(
                f"{advice.value} {method.value}: {report.outcome.value}: {report.reason_text}"
            )
    return reports


def rss_of(server: Server) -> int:
    """Return the RSS of all processes as smaps_rollup has it, in bytes."""
    total = 0
    for pid in server.pids():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) << 10
    return total


def forecast_once(host: LocalHost, server: Server, client: Client, row: Row) -> None:
    """Page out a program that has just answered with all it holds; note how far off the forecast was."""
    row.heard(client.tell("all"))
    before = rss_of(server)
    reports = advise(host, server, Advice.PAGEOUT, Freeze.PTRACE, row)
    left = before - rss_of(server)
    forecast = sum(report.planned.forecast_bytes or 0 for report in reports)
    row.off.append(abs(forecast - left) / max(before, 1))
    row.forecast_bytes, row.left_bytes = forecast, left


def try_program(name: str, host: LocalHost) -> Row:
    """Run one program through everything.

    Raises:
        Missing: it is not installed.
    """
    row = Row()
    with tempfile.TemporaryDirectory(prefix="memtui-bench-", dir="/var/tmp") as place:
        os.chmod(place, 0o755)
        with serving(name, Path(place)) as server, timed_holds(row):
            client = Client(name, server.port)
            try:
                for _ in range(FORECASTS):
                    forecast_once(host, server, client, row)
                row.holds_ms.clear()
                row.heard(client.tell("go"))
                for _ in range(MOST_ROUNDS):
                    for advice in Advice:
                        for method in Freeze:
                            advise(host, server, advice, method, row)
                    if len(row.holds_ms) >= HOLDS:
                        break
                row.heard(client.tell("pause"))
            finally:
                client.end()
    return row


def cells(name: str, row: Row) -> tuple[str, ...]:
    """Return the row of the table."""
    holds = sorted(row.holds_ms)
    off = sorted(row.off)[len(row.off) // 2]
    return (
        name,
        f"{row.requests:,}",
        str(row.errors),
        f"{row.slowest_ms:.0f}",
        str(row.actions),
        str(len(holds)),
        f"{holds[len(holds) // 2]:.0f}",
        f"{holds[int(len(holds) * GOAL_SHARE)]:.0f}",
        f"{holds[-1]:.0f}",
        f"{row.forecast_bytes >> 20}M",
        f"{row.left_bytes >> 20}M",
        f"{off:.1%}",
    )


def main(names: Sequence[str]) -> int:
    """Print the table, and what went wrong; return 1 if anything did."""
    if os.geteuid() != 0:
        print("programs: needs root")
        return 2
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        print(f"programs: no {', '.join(unknown)}; there are: {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    # What was started is ended, and the swap taken away, also where we are told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    table, wrong = [], []
    with tempfile.TemporaryDirectory() as folder, swap(SWAP_BYTES):
        place = Path(folder)
        with LocalHost(place, journal_dir=place / "holds") as host:
            for name in names or PROGRAMS:
                try:
                    row = try_program(name, host)
                except Missing as error:
                    wrong.append(f"{name}: {error} is not installed (Debian: {PROGRAMS[name].package})")
                    continue
                table.append(cells(name, row))
                wrong += [f"{name}: {line}" for line in dict.fromkeys(row.troubles)]
                if row.in_time() < GOAL_SHARE:
                    wrong.append(f"{name}: only {row.in_time():.1%} of the holds kept to their time")
                if sorted(row.off)[len(row.off) // 2] > GOAL_OFF:
                    wrong.append(f"{name}: forecasts off by {', '.join(f'{off:.1%}' for off in row.off)}")
    print(f"hold-ms {DEFAULT_HOLD_MS}; times in ms; forecast, left RSS (smaps): of the last of {FORECASTS}")
    heads = ("program", "requests", "errors", "slowest", "actions", "holds", "median", "95 %", "longest")
    print_table((*heads, "forecast", "left RSS", "off by (median)"), table)
    for line in wrong:
        print(line)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

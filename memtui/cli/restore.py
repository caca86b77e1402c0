"""``memtui restore``: puts back what an action moved, and says what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtui.cli import exitcode
from memtui.cli.output import complain, print_json, reader_may_leave
from memtui.cli.signals import Signals
from memtui.cli.starting import before_acting
from memtui.host.local import LocalHost
from memtui.model import wire
from memtui.model.errors import MemtuiError, with_step
from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from memtui.text import safe, size

if TYPE_CHECKING:
    from memtui.model.restore import RestoreReport


def run(arguments: argparse.Namespace) -> int:
    """Restore, print, and return the exit code."""
    with LocalHost(arguments.state_dir) as host, Signals(host) as signals:
        for line in before_acting(host):
            complain(line)
        try:
            plans = host.plan_restore(arguments.id, cancelled=signals.cancelled)
        except MemtuiError as error:
            if error.reason is Reason.CANCELLED:
                return complain("cancelled: nothing was read back", exitcode.CANCELLED)
            return complain(str(error), _code_of_error(error, arguments.id))
        if signals.came:
            return complain("cancelled: nothing was read back", exitcode.CANCELLED)
        reports = host.restore(plans, signals.cancel_again)
    with reader_may_leave():
        if arguments.json:
            print_json(map(wire.restore_report, reports))
        else:
            for report in reports:
                if not _is_error(report):
                    _print(report)
    for report in filter(_is_error, reports):
        reason = report.reason or Reason.FAILED
        words = with_step(report.reason_text or reason.text, reason)
        complain(f"restore of {report.planned.id}: process {report.planned.process.pid}: {words}")
    for warning in dict.fromkeys(report.warning for report in reports if report.warning):
        complain(warning)
    return _code_of(reports)


def _code_of_error(error: MemtuiError, wanted: str | None) -> int:
    # Without an ID nothing wrong was said: there is nothing to restore.
    wrong = error.reason is Reason.NO_SUCH_ACTION and wanted is not None
    return exitcode.USAGE if wrong else exitcode.PART


def _code(report: RestoreReport) -> int:
    if report.outcome is Outcome.CANCELLED:
        return exitcode.CANCELLED
    all_back = report.reason is Reason.ALL_BACK
    return exitcode.ALL if report.outcome is Outcome.DONE or all_back else exitcode.PART


def _is_error(report: RestoreReport) -> bool:
    """Whether nothing could be tried."""
    return report.planned.blocked is not None and _code(report) == exitcode.PART


def _code_of(reports: Sequence[RestoreReport]) -> int:
    return exitcode.of_all([_code(report) for report in reports])


def _print(report: RestoreReport) -> None:
    planned = report.planned
    print(f"restore of {safe(planned.id)} ({safe(planned.advice)} on {planned.process.pid}", end="")
    print(f" {safe(planned.name)}, {safe(planned.time)}): {report.outcome.value}")
    print(f"  wanted {size(report.wanted_bytes)}, restored {size(report.restored_bytes)}", end="")
    print(f", came along {size(report.also_back_bytes)}, still out {size(report.still_out_bytes)}")
    for line in report.told:
        print(f"  {safe(line)}")
    words = report.reason_text
    if words and not any(words in line for line in report.told):
        print(f"  {safe(words)}")

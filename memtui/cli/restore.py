"""``memtui restore``: puts back what an action moved, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli import exitcode
from memtui.cli.output import complain, has_terminal, print_json, reader_may_leave
from memtui.cli.starting import before_acting, before_looking
from memtui.host.local import LocalHost
from memtui.model.errors import MemtuiError, with_step
from memtui.model.reasons import Reason
from memtui.model.report import Outcome
from memtui.model.restore import Whose
from memtui.render import json_schema
from memtui.render.restore import describe_action, restore_lines, restore_plan_lines
from memtui.shutdown import CommandSignals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from memtui.model.restore import RestorePlan, RestoreReport


_WHICH = (
    "which action? without a terminal name its ID (see `memtui history`), --pid PID, or --last for anybody's"
)


def run(arguments: argparse.Namespace) -> int:
    """Restore, print, and return the exit code."""
    if arguments.id is not None and arguments.of_pid is not None:
        return complain("an ID and --pid do not go together", exitcode.USAGE)
    is_named = arguments.id is not None or arguments.last or arguments.of_pid is not None
    if not is_named and not has_terminal():
        return complain(_WHICH, exitcode.USAGE)
    whose = Whose.ANYBODY if is_named else Whose.OPERATOR
    with LocalHost(arguments.state_dir) as host, CommandSignals(host.release) as signals:
        for line in before_looking(host) if arguments.dry_run else before_acting(host):
            complain(line)
        try:
            plans = host.plan_restore(
                arguments.id, whose=whose, pid=arguments.of_pid, cancelled=signals.cancelled
            )
            if arguments.dry_run:
                return _show(plans, as_json=arguments.json)
            if signals.came:
                raise MemtuiError(Reason.CANCELLED)
        except MemtuiError as error:
            return _fail(error, arguments.id)
        if arguments.id is None and not arguments.json:
            # Before anything is done: whose it is, and on whom.
            with reader_may_leave():
                print(f"the last action: {describe_action(plans[0])}")
        reports = host.restore(plans, cancelled=signals.cancelled)
    _print_all(reports, as_json=arguments.json)
    return _code_of(reports)


def _print_all(reports: Sequence[RestoreReport], *, as_json: bool) -> None:
    with reader_may_leave():
        if as_json:
            print_json(map(json_schema.restore_report, reports))
        else:
            for report in reports:
                if not _is_error(report):
                    for line in restore_lines(report):
                        print(line)
    for report in filter(_is_error, reports):
        _complain_of(report.planned, report.reason or Reason.FAILED, report.reason_text)
    for warning in dict.fromkeys(report.warning for report in reports if report.warning):
        complain(warning)


def _complain_of(planned: RestorePlan, reason: Reason, text: str | None) -> None:
    words = with_step(text or reason.text, reason)
    complain(f"restore of {planned.id}: process {planned.process.pid}: {words}")


def _show(plans: Sequence[RestorePlan], *, as_json: bool) -> int:
    """Say what would be put back; return the exit code."""
    with reader_may_leave():
        if as_json:
            print_json(map(json_schema.restore_plan, plans))
        for planned in () if as_json else plans:
            for line in restore_plan_lines(planned):
                print(line)
    blocked = [item for item in plans if item.blocked is not None]
    for planned in blocked:
        _complain_of(planned, planned.blocked or Reason.FAILED, planned.blocked_text)
    return exitcode.ALL if all(item.blocked is Reason.ALL_BACK for item in blocked) else exitcode.PART


def _fail(error: MemtuiError, wanted: str | None) -> int:
    """Say why nothing could be tried; return the exit code."""
    if error.reason is Reason.CANCELLED:
        return complain("cancelled: nothing was read back", exitcode.CANCELLED)
    # Without an ID nothing wrong was said: there is nothing to restore.
    wrong = error.reason is Reason.NO_SUCH_ACTION and wanted is not None
    return complain(str(error), exitcode.USAGE if wrong else exitcode.PART)


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

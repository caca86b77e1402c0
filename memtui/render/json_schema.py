"""The shape of what ``--json`` prints. Keys are stable.

Bytes are integers, addresses hexadecimal strings, what cannot be known is null. Text of the system is raw:
``json_line`` escapes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.advise.ledger_fields import reason_fields, report_totals, restore_totals, target_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memtui.host import Finding, HistoryEntry
    from memtui.json_line import Json
    from memtui.model.advice import Advice
    from memtui.model.freeze import Thawed
    from memtui.model.plan import Plan, PlannedRange, TargetPlan
    from memtui.model.process import Process
    from memtui.model.report import RangeReport, TargetReport
    from memtui.model.restore import RestorePlan, RestoreReport
    from memtui.model.verdict import Verdict
    from memtui.model.vma import MappedVma

SCHEMA_VERSION = 1


def schema(kind: str) -> str:
    """Return the name of a kind of object, with its version."""
    return f"memtui.{kind}/{SCHEMA_VERSION}"


def _hex(address: int) -> str:
    return f"{address:x}"


def process_row(process: Process) -> Json:
    """Return an object of ``memtui ps``."""
    return {
        "schema": schema("ps"),
        "pid": process.pid,
        "start_time": process.id.start_time,
        "name": process.name,
        "user": process.user,
        "state": process.state,
        "rss_bytes": process.rss_bytes,
        "swap_bytes": process.swap_bytes,
        "anon_bytes": process.anon_bytes,
        "file_bytes": process.file_bytes,
        "shmem_bytes": process.shmem_bytes,
        "hugetlb_bytes": process.hugetlb_bytes,
        "major_faults": process.major_faults,
        "cgroup": process.cgroup,
        "unit": process.unit,
        "command": process.command,
    }


def vma_row(row: MappedVma, verdicts: Mapping[Advice, Verdict]) -> Json:
    """Return an object of ``memtui maps``."""
    vma = row.vma
    return {
        "schema": schema("maps"),
        "start": _hex(vma.start),
        "end": _hex(vma.end),
        "size_bytes": vma.size_bytes,
        "rss_bytes": row.rss_bytes,
        "swap_bytes": row.swap_bytes,
        "hugetlb_bytes": None if row.details is None else row.details.hugetlb_bytes,
        "perms": vma.perms,
        "offset": vma.offset,
        "device": vma.device,
        "inode": vma.inode,
        "name": vma.name,
        "kind": row.kind.value,
        "flags": None if row.flags is None else list(row.flags),
        "label": row.label,
        "verdict": {
            advice.value: {"will": verdict.will.value, **reason_fields(verdict.main_reason)}
            for advice, verdict in verdicts.items()
        },
    }


def planned_range(item: PlannedRange) -> Json:
    """Return a range of a plan."""
    return {
        "start": _hex(item.range.start),
        "end": _hex(item.range.end),
        "name": item.name,
        "requested_bytes": item.requested_bytes,
        "forecast_bytes": item.verdict.forecast_bytes,
        "will": item.verdict.will.value,
        "reasons": [{**reason_fields(why.reason), "bytes": why.count_bytes} for why in item.verdict.reasons],
    }


def target_plan(plan: Plan, item: TargetPlan) -> Json:
    """Return an object of ``memtui plan``."""
    return {
        "schema": schema("plan"),
        "target": target_fields(item.process, item.name),
        "advice": plan.advice.value,
        "freeze": item.freeze.value,
        "requested_bytes": item.requested_bytes,
        "forecast_bytes": 0 if item.blocked else item.forecast_bytes,
        **reason_fields(item.blocked, item.blocked_text),
        "ranges": [planned_range(part) for part in item.ranges],
    }


def range_report(item: RangeReport) -> Json:
    """Return a range of a report."""
    return {
        **planned_range(item.planned),
        "advised_bytes": item.advised_bytes,
        "moved_bytes": item.moved_bytes,
        "rss_before_bytes": item.rss_before_bytes,
        "rss_after_bytes": item.rss_after_bytes,
        "swap_before_bytes": item.swap_before_bytes,
        "swap_after_bytes": item.swap_after_bytes,
        "outcome": item.outcome.value,
        "errno": item.errno,
        **reason_fields(item.reason, item.reason_text),
    }


def target_report(report: TargetReport, advice: Advice) -> Json:
    """Return an object of ``memtui advise``."""
    return {
        "schema": schema("advise"),
        **report_totals(report, advice),
        **reason_fields(report.reason, report.reason_text),
        "ranges": [range_report(item) for item in report.ranges],
    }


def restore_report(report: RestoreReport) -> Json:
    """Return an object of ``memtui restore``."""
    planned = report.planned
    return {
        "schema": schema("restore"),
        "id": planned.id,
        "time": report.time,
        "target": target_fields(planned.process, planned.name),
        "operator": dict(planned.operator),
        **restore_totals(report),
    }


def restore_plan(planned: RestorePlan) -> Json:
    """Return an object of ``memtui restore --dry-run``: that of a restore that brought nothing back yet."""
    return {
        "schema": schema("restore"),
        "id": planned.id,
        "time": planned.time,
        "target": target_fields(planned.process, planned.name),
        "operator": dict(planned.operator),
        "wanted_bytes": planned.wanted_bytes,
        "restored_bytes": 0,
        "also_back_bytes": 0,
        "still_out_bytes": planned.wanted_bytes,
        "outcome": None,
        **reason_fields(planned.blocked, planned.blocked_text),
        "dry_run": True,
    }


def history_entry(entry: HistoryEntry) -> Json:
    """Return an object of ``memtui history``."""
    return {"schema": schema("history"), **entry._asdict()}


def finding(item: Finding) -> Json:
    """Return an object of ``memtui doctor``."""
    from memtui.render.doctor import describe_finding

    words = describe_finding(item)
    return {
        "schema": schema("doctor"),
        "check": item.check,
        "ok": item.ok,
        "finding": words.finding,
        "consequence": words.consequence,
        "remedy": item.remedy,
    }


def thawed(item: Thawed) -> Json:
    """Return an object of ``memtui thaw``."""
    return {
        "schema": schema("thaw"),
        "pid": item.pid,
        "start_time": item.start_time,
        "method": item.method.value,
        "outcome": item.outcome.value,
    }

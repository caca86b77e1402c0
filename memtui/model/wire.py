"""The JSON shape of things: what ``--json`` prints and the ledger keeps. Keys are stable.

Bytes are integers, addresses hexadecimal strings, what cannot be known is null. Text of the system
is raw; the writer escapes all but ASCII. A byte that is not UTF-8 is no text, and strict parsers refuse
what Python makes of it: it is written as U+FFFD, and the raw bytes stand beside it, in hexadecimal, under
the key with ``_hex`` behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from memtui.model.report import RangeReport, RefaultSample, TargetReport, score_of

if TYPE_CHECKING:
    from memtui.model.advice import Advice
    from memtui.model.freeze import Thawed
    from memtui.model.plan import Plan, PlannedRange, TargetPlan
    from memtui.model.process import Process, ProcessId
    from memtui.model.reasons import Reason
    from memtui.model.restore import RestorePlan, RestoreReport
    from memtui.model.verdict import Verdict
    from memtui.model.vma import MappedVma

Json = dict[str, object]

SCHEMA_VERSION = 1

_SURROGATE = re.compile("[\ud800-\udfff]")


def line(value: Mapping[str, object]) -> str:
    """Return one JSON object as one line of ASCII, without the newline."""
    written = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    if "\\ud" in written:
        # Half of a pair, or a whole one.
        written = json.dumps(_valid(value), ensure_ascii=True, separators=(",", ":"))
    return written


def _valid(value: object) -> object:
    """Return what is written with no surrogate in it."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, (list, tuple)):
        return [_valid(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    valid: Json = {}
    for key, item in value.items():
        valid[key] = _valid(item)
        if isinstance(item, str) and item != valid[key]:
            valid[f"{key}_hex"] = _raw_hex(item)
    return valid


def _raw_hex(text: str) -> str | None:
    """Return the bytes of text of the system; None of text that never was bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").hex()
    except UnicodeEncodeError:
        return None


def schema(kind: str) -> str:
    """Return the name of a kind of object, with its version."""
    return f"memtui.{kind}/{SCHEMA_VERSION}"


def _hex(address: int) -> str:
    return f"{address:x}"


def _why(reason: Reason | None, text: str | None = None) -> Json:
    return {
        "reason": reason.value if reason else None,
        "reason_text": text or (reason.text if reason else None),
    }


def target(process: ProcessId, name: str) -> Json:
    """Return who an object is about."""
    return {"pid": process.pid, "start_time": process.start_time, "name": name}


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
            advice.value: {"will": verdict.will.value, **_why(verdict.main_reason)}
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
        "reasons": [{**_why(why.reason), "bytes": why.count_bytes} for why in item.verdict.reasons],
    }


def target_plan(plan: Plan, item: TargetPlan) -> Json:
    """Return an object of ``memtui plan``."""
    return {
        "schema": schema("plan"),
        "target": target(item.process, item.name),
        "advice": plan.advice.value,
        "freeze": item.freeze.value,
        "requested_bytes": item.requested_bytes,
        "forecast_bytes": 0 if item.blocked else item.forecast_bytes,
        **_why(item.blocked, item.blocked_text),
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
        **_why(item.reason, item.reason_text),
    }


def report_totals(report: TargetReport, advice: Advice) -> Json:
    """Return a report without its ranges."""
    effect = report.effect
    return {
        "id": report.id,
        "action_id": report.action_id,
        "time": report.time,
        "target": target(report.planned.process, report.planned.name),
        "advice": advice.value,
        "freeze": report.freeze.value,
        "requested_bytes": report.requested_bytes,
        "forecast_bytes": 0 if report.planned.blocked else report.planned.forecast_bytes,
        "advised_bytes": report.advised_bytes,
        "moved_bytes": report.moved_bytes,
        "calls": report.calls,
        "holds": report.holds,
        "elapsed_ms": round(report.elapsed_ms, 3),
        "held_ms": round(report.held_ms, 3),
        "longest_held_ms": round(report.longest_held_ms, 3),
        "bystanders": report.bystanders or None,
        "outcome": report.outcome.value,
        "effect": {
            "rss_delta_bytes": effect.rss_delta_bytes,
            "swap_delta_bytes": effect.swap_delta_bytes,
            "referenced_delta_bytes": effect.referenced_delta_bytes,
            "mem_free_delta_bytes": effect.mem_free_delta_bytes,
            "swap_cached_delta_bytes": effect.swap_cached_delta_bytes,
            "oom_kills": effect.oom_kills,
            "zswapped_delta_bytes": effect.zswapped_delta_bytes,
        },
        "back": [back(item) for item in report.back],
    }


def back(item: RefaultSample) -> Json:
    """Return one look at what came back."""
    return {"after_s": item.after_s, "back_bytes": item.back_bytes, "major_faults": item.major_faults}


def ledger_entry(report: TargetReport, advice: Advice) -> Json:
    """Return what the ledger keeps of a report: also how good its forecast was."""
    score = score_of(report, advice)
    return {
        **report_totals(report, advice),
        **_why(report.reason, report.reason_text),
        "score": {
            "forecast_bytes": score.forecast_bytes,
            "effect_bytes": score.effect_bytes,
            "off_by_bytes": score.off_by_bytes,
            "judged_ranges": score.judged_ranges,
            "wrong_ranges": score.wrong_ranges,
        },
    }


def target_report(report: TargetReport, advice: Advice) -> Json:
    """Return an object of ``memtui advise``."""
    return {
        "schema": schema("advise"),
        **report_totals(report, advice),
        **_why(report.reason, report.reason_text),
        "ranges": [range_report(item) for item in report.ranges],
    }


def restore_totals(report: RestoreReport) -> Json:
    """Return what came of a restore, without whose it was."""
    return {
        "wanted_bytes": report.wanted_bytes,
        "restored_bytes": report.restored_bytes,
        "also_back_bytes": report.also_back_bytes,
        "still_out_bytes": report.still_out_bytes,
        "outcome": report.outcome.value,
        **_why(report.reason, report.reason_text),
    }


def restore_report(report: RestoreReport) -> Json:
    """Return an object of ``memtui restore``."""
    planned = report.planned
    return {
        "schema": schema("restore"),
        "id": planned.id,
        "time": report.time,
        "target": target(planned.process, planned.name),
        "operator": dict(planned.operator),
        **restore_totals(report),
    }


def restore_plan(planned: RestorePlan) -> Json:
    """Return an object of ``memtui restore --dry-run``: that of a restore that brought nothing back yet."""
    return {
        "schema": schema("restore"),
        "id": planned.id,
        "time": planned.time,
        "target": target(planned.process, planned.name),
        "operator": dict(planned.operator),
        "wanted_bytes": planned.wanted_bytes,
        "restored_bytes": 0,
        "also_back_bytes": 0,
        "still_out_bytes": planned.wanted_bytes,
        "outcome": None,
        **_why(planned.blocked, planned.blocked_text),
        "dry_run": True,
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

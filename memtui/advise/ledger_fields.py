"""The fields that the ledger keeps of a report, a look back and a restore. Their names are stable.

Bytes are integers, what cannot be known is null. ``--json`` prints the same totals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.model.report import RefaultSample, TargetReport, score_of

if TYPE_CHECKING:
    from memtui.json_line import Json
    from memtui.model.advice import Advice
    from memtui.model.process import ProcessId
    from memtui.model.reasons import Reason
    from memtui.model.restore import RestoreReport


def reason_fields(reason: Reason | None, text: str | None = None) -> Json:
    """Return a reason's code and its words, or the words it has here."""
    return {
        "reason": reason.value if reason else None,
        "reason_text": text or (reason.text if reason else None),
    }


def target_fields(process: ProcessId, name: str) -> Json:
    """Return who an object is about."""
    return {"pid": process.pid, "start_time": process.start_time, "name": name}


def report_totals(report: TargetReport, advice: Advice) -> Json:
    """Return a report without its ranges."""
    effect = report.effect
    return {
        "id": report.id,
        "action_id": report.action_id,
        "time": report.time,
        "target": target_fields(report.planned.process, report.planned.name),
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
        "back": [back_fields(item) for item in report.back],
    }


def back_fields(item: RefaultSample) -> Json:
    """Return one look at what came back."""
    return {"after_s": item.after_s, "back_bytes": item.back_bytes, "major_faults": item.major_faults}


def ledger_entry(report: TargetReport, advice: Advice) -> Json:
    """Return what the ledger keeps of a report: also how good its forecast was."""
    score = score_of(report, advice)
    return {
        **report_totals(report, advice),
        **reason_fields(report.reason, report.reason_text),
        "score": {
            "forecast_bytes": score.forecast_bytes,
            "effect_bytes": score.effect_bytes,
            "off_by_bytes": score.off_by_bytes,
            "judged_ranges": score.judged_ranges,
            "wrong_ranges": score.wrong_ranges,
        },
    }


def restore_totals(report: RestoreReport) -> Json:
    """Return what came of a restore, without whose it was."""
    return {
        "wanted_bytes": report.wanted_bytes,
        "restored_bytes": report.restored_bytes,
        "also_back_bytes": report.also_back_bytes,
        "still_out_bytes": report.still_out_bytes,
        "outcome": report.outcome.value,
        **reason_fields(report.reason, report.reason_text),
    }

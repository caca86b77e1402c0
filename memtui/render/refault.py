"""What of the bytes that left RAM is resident again, in words."""

from __future__ import annotations

from memtui.format import SafeText, count, safe, size
from memtui.model.process import Liveness
from memtui.model.reasons import Reason
from memtui.model.report import RefaultSample, RefaultVerdict, TargetReport, refault_verdict

_VERDICTS_ON_REFAULT = {
    RefaultVerdict.SO_FAR: "out so far",
    RefaultVerdict.OUT: "stayed out",
    RefaultVerdict.PARTLY: "partly resident again",
    RefaultVerdict.BACK: "resident again: the advice was wrong, or new memory took its place",
}

_GONE_WORDS = {
    Liveness.EXITED: Reason.EXITED.text,
    Liveness.ZOMBIE: Reason.EXITED.text,
    Liveness.EXECED: Reason.EXECED.text,
}


def describe_back(moved_bytes: int | None, back: RefaultSample) -> SafeText:
    """Return a look back in one line."""
    faults = "?" if back.major_faults is None else f"{back.major_faults:,}"
    words = f"{size(back.back_bytes)} after {back.after_s:.0f} s, {faults} major faults"
    if back.psi_some_avg10 is not None:
        words += f", psi {back.psi_some_avg10:.1f}%"
    how = refault_verdict(moved_bytes, back)
    return safe(f"{words}: {_VERDICTS_ON_REFAULT[how]}" if how is not None else words)


def describe_refault(report: TargetReport, back: RefaultSample, standing: Liveness | None) -> SafeText:
    """Return a look back with its target in one line; ``standing`` is what became of that, where known."""
    return safe(f"{report.planned.process.pid} {report.planned.name} {_seen(report, back, standing)}")


def _seen(report: TargetReport, back: RefaultSample, standing: Liveness | None) -> str:
    after = f"after {back.after_s:.0f} s:"
    if back.back_bytes is None:
        gone = None if standing is None else _GONE_WORDS.get(standing)
        return f"{after} not known: {gone or 'its pages cannot be looked at'}"
    said = refault_verdict(report.moved_bytes, back)
    parts = [f"{size(back.back_bytes)} of {size(report.moved_bytes)} resident again"]
    if said is not None:
        parts.append(_VERDICTS_ON_REFAULT[said])
    if back.major_faults is not None:
        parts.append(count(back.major_faults, "major fault"))
    if back.psi_some_avg10 is not None:
        parts.append(f"memory pressure of the whole machine {back.psi_some_avg10:.1f} %")
    return f"{after} {'; '.join(parts)}"

"""The lines that say how things stand, made of values; each is sent again only when it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count, duration, safe, size

if TYPE_CHECKING:
    from memtui.host import MachineState
    from memtui.model.freeze import Freeze
    from memtui.model.report import Progress

_BAR_CELLS = 16


def freeze_word(freeze: Freeze | None) -> str:
    """Return the freeze method of the next plan; ``auto`` where the host chooses."""
    return "auto" if freeze is None else freeze.value


def hold_words(freeze: Freeze | None) -> str:
    """Return how the next plan would hold its targets: ``auto`` means ptrace where that is permitted."""
    return "auto (ptrace)" if freeze is None else freeze.value


def coarse(cost_ms: float) -> str:
    """Return what something cost, to one digit: a number that trembles would be sent again each time."""
    if cost_ms < 1:
        return "<1ms"
    step = 10 ** (len(str(int(cost_ms))) - 1)
    return duration(round(cost_ms / step) * step).replace(".0", "")


def system_words(
    state: MachineState | None, map_cost_ms: float | None, list_cost_ms: float | None, period_s: float
) -> SafeText:
    """Return the system line: memory, swap, pressure, and what looking costs."""
    if state is None:
        return SafeText(" reading ...")
    total, available = state.mem_total_bytes, state.mem_available_bytes
    used = None if total is None or available is None else total - available
    swap_total, swap_free = state.swap_total_bytes, state.swap_free_bytes
    swap_used = None if swap_total is None or swap_free is None else swap_total - swap_free
    swap = "none" if swap_total == 0 else f"{size(swap_used)}/{size(swap_total)}"
    psi = "?" if state.psi_some_avg10 is None else f"{state.psi_some_avg10:.1f}%"
    parts = [
        f"mem {size(used)}/{size(total)}",
        f"avail {size(available)}",
        f"swap {swap}",
        f"swap cache {size(state.swap_cached_bytes)}",
        f"psi {psi}",
    ]
    if map_cost_ms is not None:
        parts.append(f"map {coarse(map_cost_ms)}/{period_s:.1g}s")
    if list_cost_ms is not None:
        parts.append(f"list {coarse(list_cost_ms)}")
    return SafeText(" " + "  ".join(parts))


def marks_words(
    marks: int, stale: int, processes: int, count_bytes: int, forecast: str, *, ranging: bool
) -> SafeText:
    """Return what is marked, and what was forecast of it."""
    if not marks:
        words = "nothing marked"
    else:
        words = f"{marks:,} marked, {size(count_bytes)}"
        if processes > 1:
            words += f" in {count(processes, 'process', 'processes')}"
        if stale:
            words += f" ({stale:,} stale)"
        if forecast:
            words += f", {forecast}"
    return safe(words + ("  RANGE: move, then Space" if ranging else ""))


def progress_words(
    what: str, progress: Progress | None, held_s: float | None, waiting: int, is_cancelling: bool = False
) -> SafeText:
    """Return how far the running plan or restore has come, and how long its target is held now."""
    words = f"{what.upper()} "
    if progress is None:
        words += "begins"
    else:
        share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 0.0
        full = round(min(1.0, share) * _BAR_CELLS)
        words += (
            f"{'█' * full}{'░' * (_BAR_CELLS - full)} {size(progress.done_bytes)} of "
            f"{size(progress.total_bytes)}"
        )
        if progress.calls:
            words += f"  {count(progress.calls, 'call')}"
        if held_s is not None:
            words += f"  HELD {held_s:.1f}s"
        words += f"  {progress.target}"
    if waiting:
        words += f"  {count(waiting, 'plan waits', 'plans wait')}"
    return safe(words + ("  cancelling at its call's edge ..." if is_cancelling else "  (Esc cancels)"))

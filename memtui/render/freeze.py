"""Holding a target still, in words: how it is held, what each method would do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, count, safe
from memtui.model.errors import with_step
from memtui.model.freeze import Freeze, FreezeChoice
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memtui.model.plan import Plan, TargetPlan

FREEZE_NOTE = (
    "After a hold by any method epoll_wait and a few other calls of the target return EINTR (signal(7))."
)
"""What no method can hide from the target."""

_OUTLASTS = "; if memtui's own cgroup is frozen (docker pause), it lasts until that is thawed"
_STAYS = "after a crash it stays so until `memtui thaw`, or the next screen, advise or restore"


def describe_freeze(target: TargetPlan) -> SafeText:
    """Return who is advised and how it is held, and why not otherwise."""
    who = f"{target.process.pid} {target.name}"
    if target.blocked is not None:
        words = with_step(target.blocked_text or target.blocked.text, target.blocked)
        return safe(f"{who}: BLOCKED, {words}")
    if target.self_advised:
        return safe(f"{who}: it advises itself (you may not advise it from outside); not held")
    held = "not held" if target.freeze is Freeze.OFF else f"held still with {target.freeze.value}"
    reason = f" ({target.freeze_reason})" if target.freeze_reason else ""
    chosen = " (default)" if target.freeze_is_ours else ""
    return safe(f"{who}: {held}{chosen}{reason}, {count(len(target.ranges), 'range')}")


def describe_choices(
    choices: Sequence[FreezeChoice], plan: Plan, *, all_of_them: bool
) -> tuple[SafeText, ...]:
    """Return what each freeze method would do to the first target, or only the one that is chosen."""
    if not plan.targets:
        return ()
    chosen = plan.targets[0].freeze
    lines = [
        safe(f"{'>' if item.method is chosen else ' '} {item.method.value:<8}{describe_choice(item)}")
        for item in choices
        if all_of_them or item.method is chosen
    ]
    lines.append(safe(FREEZE_NOTE))
    if all_of_them and len(plan.targets) > 1:
        first = plan.targets[0]
        lines.insert(0, safe(f"To {first.process.pid} {first.name}, the first of them:"))
    return tuple(lines)


def describe_choice(choice: FreezeChoice) -> str:
    """Return in one line, raw, whom a method stops, who notices and what a crash leaves; or why it cannot."""
    if choice.refusal is Reason.SELF_ADVISED:
        return "not available: it advises itself, and could not while it stands"
    if choice.refusal is not None:
        return f"not available: {choice.detail or choice.refusal.text}"
    return _does(choice) + (_OUTLASTS if choice.outlasts else "")


def _does(choice: FreezeChoice) -> str:
    if choice.threads is None:
        return "it has exited"
    whom = count(choice.threads, "thread")
    if choice.method is Freeze.OFF:
        return f"no stop: its {whom} may change the map during the call, which is reported as raced"
    if choice.method is Freeze.PTRACE:
        return f"stops its {whom}; its parent is not told; after a crash the kernel lets it run on by itself"
    if choice.method is Freeze.CGROUP:
        return f"freezes its {whom} in a cgroup of their own; nobody is told; {_STAYS}"
    if choice.is_stopped:
        return f"it is stopped already, and is left so: nothing is sent to its {whom}"
    then = "and is continued if it stops itself then"
    return f"stops its {whom}; its parent, {choice.parent or 'nobody'}, is told (SIGCHLD), {then}; {_STAYS}"

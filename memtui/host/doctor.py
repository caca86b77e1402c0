"""The doctor: what works here and what does not, why, and the one command that mends it."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, Protocol

from memtui.freeze.client import Guard
from memtui.freeze.protected import refuse_reason
from memtui.freeze.ptrace import yama_level
from memtui.freeze.recovery import left_held
from memtui.host.api import Finding, Target
from memtui.host.remedies import ON_THE_HOST, Remedies, is_read_only
from memtui.linux import sysinfo
from memtui.linux.capabilities import (
    CAP_DAC_READ_SEARCH,
    CAP_KILL,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
    has_capability,
    probe,
    probe_call,
)
from memtui.linux.cgroup import mounts
from memtui.linux.namespaces import ProcView, proc_view
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.proc_mount import hidepid
from memtui.linux.process_handle import ProcessHandle
from memtui.linux.procfs import parse_colon_lines, read_process_file
from memtui.linux.user_namespace import in_user_namespace
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.finding import FindingCode
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOUNT_PROC = 'unshare --mount-proc "$(command -v memtui)"'
"""With the /proc of our own pid namespace, for memtui alone."""


class _Opener(Protocol):
    def open(self, pid: int) -> Target:
        """Choose a process."""


def examine(host: _Opener, ledger_path: Path, journal_dir: Path, pid: int | None) -> list[Finding]:
    """Return the findings, the most basic first; with ``pid`` also those about this process."""
    remedies = Remedies.for_us()
    findings = [
        *_system(),
        *_privilege(remedies),
        *_hidepid(remedies),
        _swap(remedies),
        *_reading(),
        _freeze(remedies),
        _cgroups(),
        _journal(journal_dir),
        *_left_held(journal_dir),
        _huge_pages(),
        _ledger(ledger_path, remedies),
    ]
    if pid is not None:
        findings.extend(_process(host, pid, remedies))
    return findings


def _system() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        yield Finding("system", False, FindingCode.NOT_LINUX, {"system": platform.system()})
        return
    if proc_view() is ProcView.FOREIGN:
        yield Finding("proc", False, FindingCode.FOREIGN_PROC, remedy=MOUNT_PROC)
    here = {"release": platform.release(), "machine": platform.machine()}
    yield Finding("system", True, FindingCode.LINUX, here)
    reason = probe_call()
    if reason is None:
        yield Finding("process_madvise", True, FindingCode.CALL_THERE)
    else:
        yield Finding("process_madvise", False, FindingCode.CALL_MISSING, {"reason": reason})


_CAPABILITIES = (
    (CAP_SYS_NICE, "CAP_SYS_NICE"),
    (CAP_SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (CAP_KILL, "CAP_KILL"),
)


def _privilege(remedies: Remedies) -> Iterator[Finding]:
    inside = in_user_namespace()
    for number, name in _CAPABILITIES:
        held = has_capability(number)
        if held and number == CAP_SYS_NICE and inside:
            # capable() asks the first user namespace, where we hold nothing.
            yield Finding(name, False, FindingCode.RIGHT_INSIDE_ONLY, {"name": name}, ON_THE_HOST)
        elif held:
            yield Finding(name, True, FindingCode.RIGHT_THERE, {"name": name})
        else:
            why = remedies.why_no_rights(number)
            # sigstop is one of three methods: without it nothing is amiss.
            ok = None if number == CAP_KILL else False
            remedy = "" if why else remedies.rights()
            yield Finding(name, ok, FindingCode.RIGHT_MISSING, {"name": name, "why": why}, remedy)


def _hidepid(remedies: Remedies) -> Iterator[Finding]:
    level = hidepid()
    if level is not None:
        yield Finding("hidepid", False, FindingCode.HIDEPID, {"level": level}, remedies.rights())


def _swap(remedies: Remedies) -> Finding:
    areas = sysinfo.swaps()
    if areas is None:
        return Finding("swap", None, FindingCode.SWAP_UNREADABLE)
    free = sum(area.size_bytes - area.used_bytes for area in areas)
    if not areas:
        return Finding("swap", False, FindingCode.NO_SWAP, remedy=remedies.add_swap())
    kinds = ", ".join(sorted({_kind_of(area) for area in areas}))
    total = sum(area.size_bytes for area in areas)
    values = {"free_bytes": free, "total_bytes": total, "kinds": kinds}
    if free == 0:
        return Finding("swap", False, FindingCode.SWAP_FULL, values, remedies.add_swap())
    code = FindingCode.SWAP_ON_DISK
    if kinds == "zram":
        code = FindingCode.SWAP_ON_ZRAM
    elif sysinfo.zswap_is_on():
        code = FindingCode.SWAP_WITH_ZSWAP
    return Finding("swap", True, code, values)


def _kind_of(area: sysinfo.Swap) -> str:
    return "zram" if "/zram" in area.path else area.kind


def _reading() -> Iterator[Finding]:
    try:
        # As /proc numbers us, which may be that of another pid namespace.
        with ProcessHandle(int(os.readlink("/proc/self"))) as ourselves:
            source = PageReader(ourselves).source
    except OSError as error:
        words = f"{error.strerror} ({error.filename})"
        yield Finding("pagemap", False, FindingCode.PAGEMAP_UNREADABLE, {"words": words})
    except MemtuiError as error:
        yield Finding("pagemap", False, FindingCode.PAGEMAP_UNREADABLE, {"words": error.words})
    else:
        yield _pagemap(source)
    if sysinfo.pressure_some_avg10() is None:
        yield Finding("psi", None, FindingCode.PSI_MISSING)
    else:
        yield Finding("psi", True, FindingCode.PSI_THERE)


def _pagemap(source: Source) -> Finding:
    if source is Source.SCAN:
        return Finding("pagemap", True, FindingCode.PAGEMAP_SCAN)
    return Finding("pagemap", None, FindingCode.PAGEMAP_SLOW, {"source": source.value})


def _freeze(remedies: Remedies) -> Finding:
    level = yama_level()
    try:
        guard = Guard.start()
    except MemtuiError as error:
        # Without the error's own next step, which is to come here.
        return Finding("freeze", False, FindingCode.GUARD_FAILS, {"words": error.words})
    guard.close()
    if level is not None and (level > 2 or (level > 0 and not has_capability(CAP_SYS_PTRACE))):
        # From 3 on it is for good, for root too.
        remedy = remedies.rights() if level < 3 else ""
        return Finding("freeze", False, FindingCode.YAMA_FORBIDS, {"level": level}, remedy)
    return Finding("freeze", True, FindingCode.GUARD_STARTS)


def _journal(folder: Path) -> Finding:
    place = _standing(folder)
    if os.access(place, os.W_OK, effective_ids=True):
        return Finding("journal", True, FindingCode.JOURNAL_WRITABLE, {"path": folder})
    return Finding("journal", False, FindingCode.JOURNAL_UNWRITABLE, _unwritable(folder, place))


def _standing(path: Path) -> Path:
    """Return a path, or what of it is there."""
    # os.path.exists, since Path.exists raises where a folder on the way may not be entered.
    while not os.path.exists(path):
        path = path.parent
    return path


def _unwritable(path: Path, place: Path) -> dict[str, object]:
    return {"path": path, "read_only": place if is_read_only(place) else None}


def _left_held(folder: Path) -> Iterator[Finding]:
    try:
        found = left_held(folder)
    except MemtuiError as error:
        yield Finding("held", None, FindingCode.HELD_UNKNOWN, {"words": error.words})
        return
    for item in found.thawed:
        yield Finding("held", False, FindingCode.LEFT_HELD, {"thawed": item}, "memtui thaw")


def _cgroups() -> Finding:
    if mounts():
        return Finding("cgroup v2", True, FindingCode.CGROUP_V2)
    return Finding("cgroup v2", None, FindingCode.NO_CGROUP_V2)


def _huge_pages() -> Finding:
    found = sysinfo.huge_page_bytes()
    if found is None:
        return Finding("huge pages", None, FindingCode.NO_HUGE_PAGES)
    return Finding("huge pages", True, FindingCode.HUGE_PAGES, {"page_bytes": found})


def _ledger(path: Path, remedies: Remedies) -> Finding:
    place = _standing(path)
    if os.access(place, os.W_OK, effective_ids=True):
        return Finding("ledger", True, FindingCode.LEDGER_WRITABLE, {"path": path})
    remedy = remedies.record_elsewhere(place)
    return Finding("ledger", False, FindingCode.LEDGER_UNWRITABLE, _unwritable(path, place), remedy)


def _process(host: _Opener, pid: int, remedies: Remedies) -> Iterator[Finding]:
    try:
        target = host.open(pid)
    except MemtuiError as error:
        remedy = _remedy_for(error.reason, remedies)
        words = f"process {pid}: {error.words}"
        yield Finding("process", False, FindingCode.PROCESS_REFUSED, {"words": words}, remedy)
        return
    try:
        yield Finding("process", True, FindingCode.PROCESS, {"pid": pid, "name": target.name})
        with ProcessHandle(pid) as handle:
            for advice in Advice:
                yield _advice(handle, advice, remedies)
        refused = refuse_reason(target.process)
        if refused is None:
            yield Finding("freeze of it", True, FindingCode.MAY_BE_HELD)
        else:
            yield Finding("freeze of it", False, FindingCode.NEVER_HELD, {"words": refused})
        yield _tracer(pid)
    except MemtuiError as error:
        yield Finding("process", False, FindingCode.PROCESS_REFUSED, {"words": str(error)})
    finally:
        target.release()


def _advice(handle: ProcessHandle, advice: Advice, remedies: Remedies) -> Finding:
    reason = probe(handle, advice)
    if reason is None:
        return Finding(advice.name, True, FindingCode.ADVICE_TAKEN, {"advice": advice})
    values = {"advice": advice, "reason": reason}
    return Finding(advice.name, False, FindingCode.ADVICE_REFUSED, values, _remedy_for(reason, remedies))


_WANTS_RIGHTS = frozenset(
    {
        Reason.NO_SYS_NICE,
        Reason.NO_PTRACE_ACCESS,
        Reason.NOT_READABLE,
        Reason.HIDDEN,
    }
)
"""What more rights mend, where they can be had."""


def _remedy_for(reason: Reason, remedies: Remedies) -> str:
    if reason is Reason.USER_NAMESPACE:
        return ON_THE_HOST
    return remedies.rights() if reason in _WANTS_RIGHTS else ""


def _tracer(pid: int) -> Finding:
    status = parse_colon_lines(read_process_file(pid, "status"))
    tracer = status.get("TracerPid", "0")
    if tracer == "0":
        return Finding("tracer", True, FindingCode.NOT_TRACED)
    return Finding("tracer", False, FindingCode.TRACED, {"tracer": tracer})

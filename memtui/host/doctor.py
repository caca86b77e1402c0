"""The doctor: what works here and what does not, why, and the one command that mends it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from memtui.format import size
from memtui.freeze.client import Guard
from memtui.freeze.lockout import refuse_reason
from memtui.freeze.ptrace import yama_level
from memtui.freeze.replay import left_held
from memtui.host.api import Finding, Target
from memtui.host.remedies import ON_THE_HOST, Remedies, is_read_only
from memtui.linux import machine
from memtui.linux.capability import (
    CAP_DAC_READ_SEARCH,
    CAP_KILL,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
    has_capability,
    probe,
    probe_call,
)
from memtui.linux.cgroups import mounts
from memtui.linux.handle import ProcessHandle
from memtui.linux.namespaces import ProcView, proc_view
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.proc_mount import hidepid
from memtui.linux.procfs import parse_colon_lines, read_process_file
from memtui.linux.user_namespace import in_user_namespace
from memtui.model.advice import CATALOGUE, Advice
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

MOUNT_PROC = 'unshare --mount-proc "$(command -v memtui)"'
"""With the /proc of our own pid namespace, for memtui alone."""

_NO_LOOK = "no process can be looked at closely"


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
    release = platform.release()
    if not sys.platform.startswith("linux"):
        yield Finding("system", False, f"this is {platform.system()}", "memtui works on Linux only", "")
        return
    if proc_view() is ProcView.FOREIGN:
        consequence = "processes can be looked at, and none be advised, held or restored"
        yield Finding("proc", False, Reason.FOREIGN_PROC.text, consequence, MOUNT_PROC)
    yield Finding("system", True, f"Linux {release} on {platform.machine()}", "", "")
    reason = probe_call()
    if reason is None:
        yield Finding("process_madvise", True, "the system call is there", "", "")
    else:
        step = f": {reason.next_step}" if reason.next_step else ""
        yield Finding("process_madvise", False, reason.text, f"nothing can be advised{step}", "")


_CAPABILITIES = (
    (CAP_SYS_NICE, "CAP_SYS_NICE", "no process but this one can be advised"),
    (CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "only your own processes can be read, advised and held"),
    (CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "page states only of your own processes"),
    (CAP_KILL, "CAP_KILL", "--freeze sigstop holds only your own processes"),
)


def _privilege(remedies: Remedies) -> Iterator[Finding]:
    inside = in_user_namespace()
    for number, name, consequence in _CAPABILITIES:
        held = has_capability(number)
        if held and number == CAP_SYS_NICE and inside:
            # capable() asks the first user namespace, where we hold nothing.
            words = f"{name} counts only in this container's user namespace"
            yield Finding(name, False, words, consequence, ON_THE_HOST)
        elif held:
            yield Finding(name, True, f"{name} is there", "", "")
        else:
            why = remedies.why_no_rights(number)
            so = f"{consequence}; {why}" if why else consequence
            # sigstop is one of three methods: without it nothing is amiss.
            ok = None if number == CAP_KILL else False
            yield Finding(name, ok, f"{name} is missing", so, "" if why else remedies.rights())


def _hidepid(remedies: Remedies) -> Iterator[Finding]:
    level = hidepid()
    if level is not None:
        words = f"/proc is mounted with hidepid={level}"
        yield Finding("hidepid", False, words, "the processes of others are not listed", remedies.rights())


def _swap(remedies: Remedies) -> Finding:
    areas = machine.swaps()
    if areas is None:
        consequence = "whether PAGEOUT can move anonymous memory is not known"
        return Finding("swap", None, "/proc/swaps cannot be read", consequence, "")
    free = sum(area.size_bytes - area.used_bytes for area in areas)
    if not areas:
        consequence = "PAGEOUT moves pages of files only; anonymous memory has nowhere to go"
        return Finding("swap", False, "there is no swap", consequence, remedies.add_swap())
    kinds = ", ".join(sorted({_kind_of(area) for area in areas}))
    words = f"{size(free)} free of {size(sum(area.size_bytes for area in areas))} ({kinds})"
    if free == 0:
        return Finding("swap", False, words, "PAGEOUT moves no anonymous memory", remedies.add_swap())
    note = "what is paged out stays in the swap cache until reclaim takes it"
    if kinds == "zram":
        note = ""
    elif machine.zswap_is_on():
        note = "zswap is on: what it takes is compressed and freed at once, the rest stays in the swap cache"
    return Finding("swap", True, words, note, "")


def _kind_of(area: machine.Swap) -> str:
    return "zram" if "/zram" in area.path else area.kind


def _reading() -> Iterator[Finding]:
    try:
        # As /proc numbers us, which may be that of another pid namespace.
        with ProcessHandle(int(os.readlink("/proc/self"))) as ourselves:
            source = PageReader(ourselves).source
    except OSError as error:
        yield Finding("pagemap", False, f"{error.strerror} ({error.filename})", _NO_LOOK, "")
    except MemtuiError as error:
        yield Finding("pagemap", False, error.words, _NO_LOOK, "")
    else:
        yield _pagemap(source)
    pressure = machine.pressure_some_avg10()
    words = "memory pressure (PSI) is " + ("there" if pressure is not None else "not there")
    note = "" if pressure is not None else "the system line shows no pressure"
    yield Finding("psi", pressure is not None or None, words, note, "")


def _pagemap(source: Source) -> Finding:
    if source is Source.SCAN:
        return Finding("pagemap", True, "PAGEMAP_SCAN works", "", "")
    words = f"PAGEMAP_SCAN (Linux 6.7) does not work; RSS comes from {source.value}"
    return Finding("pagemap", None, words, "reading is slower", "")


def _freeze(remedies: Remedies) -> Finding:
    level = yama_level()
    try:
        guard = Guard.start()
    except MemtuiError as error:
        # Without the error's own next step, which is to come here.
        return Finding("freeze", False, error.words, "targets run on while they are advised", "")
    guard.close()
    if level is not None and (level > 2 or (level > 0 and not has_capability(CAP_SYS_PTRACE))):
        who = {1: "only descendants can be traced", 2: "it takes CAP_SYS_PTRACE to trace"}
        words = f"Yama's ptrace_scope is {level}: {who.get(level, 'nobody can be traced')}"
        # From 3 on it is for good, for root too.
        remedy = remedies.rights() if level in who else ""
        return Finding("freeze", False, words, "targets run on while they are advised", remedy)
    return Finding("freeze", True, "the guard starts; ptrace holds targets still", "", "")


def _journal(folder: Path) -> Finding:
    place = _standing(folder)
    if os.access(place, os.W_OK, effective_ids=True):
        return Finding("journal", True, f"what sigstop and cgroup hold is noted in {folder}", "", "")
    return Finding("journal", False, _unwritable(folder, place), "only ptrace can hold targets still", "")


def _standing(path: Path) -> Path:
    """Return a path, or what of it is there."""
    # os.path.exists, since Path.exists raises where a folder on the way may not be entered.
    while not os.path.exists(path):
        path = path.parent
    return path


def _unwritable(path: Path, place: Path) -> str:
    why = f"{place} lies on a file system that is mounted read-only" if is_read_only(place) else ""
    return f"{path} cannot be written{f': {why}' if why else ''}"


def _left_held(folder: Path) -> Iterator[Finding]:
    try:
        found = left_held(folder)
    except MemtuiError as error:
        yield Finding("held", None, error.words, "what a crash left held is not known", "")
        return
    for item in found.thawed:
        yield Finding("held", False, str(item), "it may stand still", "memtui thaw")


def _cgroups() -> Finding:
    if mounts():
        return Finding("cgroup v2", True, "a cgroup v2 hierarchy is mounted", "", "")
    words = "no cgroup v2 hierarchy is mounted"
    return Finding("cgroup v2", None, words, "--freeze cgroup does not work", "")


def _huge_pages() -> Finding:
    found = machine.huge_page_bytes()
    if found is None:
        return Finding("huge pages", None, "no transparent huge pages", "COLLAPSE does nothing", "")
    return Finding("huge pages", True, f"huge pages of {size(found)}", "", "")


def _ledger(path: Path, remedies: Remedies) -> Finding:
    place = _standing(path)
    if os.access(place, os.W_OK, effective_ids=True):
        return Finding("ledger", True, f"actions are recorded in {path}", "", "")
    words, so = _unwritable(path, place), "actions are not recorded, and cannot be restored"
    return Finding("ledger", False, words, so, remedies.record_elsewhere(place))


def _process(host: _Opener, pid: int, remedies: Remedies) -> Iterator[Finding]:
    try:
        target = host.open(pid)
    except MemtuiError as error:
        remedy = _remedy_for(error.reason, remedies)
        words = f"process {pid}: {error.words}"
        yield Finding("process", False, words, "it cannot be advised", remedy)
        return
    try:
        yield Finding("process", True, f"process {pid} is {target.name}", "", "")
        with ProcessHandle(pid) as handle:
            for advice in Advice:
                yield _advice(handle, advice, remedies)
        refused = refuse_reason(target.process)
        yield Finding(
            "freeze of it",
            refused is None,
            refused or "it may be held still",
            "" if refused is None else "it runs on while it is advised",
            "",
        )
        yield _tracer(pid)
    except MemtuiError as error:
        yield Finding("process", False, str(error), "it cannot be advised", "")
    finally:
        target.release()


def _advice(handle: ProcessHandle, advice: Advice, remedies: Remedies) -> Finding:
    name = advice.name
    reason = probe(handle, advice)
    if reason is None:
        return Finding(name, True, f"{name} can be given", CATALOGUE[advice].shows, "")
    remedy = _remedy_for(reason, remedies)
    return Finding(name, False, reason.text, f"{name} cannot be given", remedy)


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
        return Finding("tracer", True, "nobody traces it", "", "")
    return Finding("tracer", False, f"process {tracer} traces it", "ptrace cannot hold it", "")

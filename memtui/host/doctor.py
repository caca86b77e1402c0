"""The doctor: what works here and what does not, why, and the one command that mends it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from memtui.freeze.client import Guard
from memtui.freeze.lockout import refuse_reason
from memtui.freeze.ptrace import yama_level
from memtui.host import Finding, Target
from memtui.linux import machine
from memtui.linux.capability import (
    CAP_DAC_READ_SEARCH,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
    has_capability,
    probe,
)
from memtui.linux.cgroups import mounts
from memtui.linux.handle import ProcessHandle
from memtui.linux.pagemap import PageReader, Source
from memtui.linux.procfs import parse_colon_lines, read_process_file
from memtui.model.advice import CATALOGUE, Advice
from memtui.model.errors import MemtuiError
from memtui.text import size

SUDO = 'sudo "$(command -v memtui)"'
"""As root: the simplest way to every right there is."""

AMBIENT = (
    'sudo env HOME="$HOME" setpriv --reuid "$(id -u)" --regid "$(id -g)" --init-groups'
    " --inh-caps +sys_nice,+sys_ptrace,+dac_read_search"
    ' --ambient-caps +sys_nice,+sys_ptrace,+dac_read_search "$(command -v memtui)"'
)
"""As oneself, with just the rights it takes."""

ADD_SWAP = (
    "sudo sh -c 'dd if=/dev/zero of=/swapfile bs=1M count=1024 && chmod 600 /swapfile"
    " && mkswap /swapfile && swapon /swapfile'"
)
"""A swap file of 1 GiB."""


class _Opener(Protocol):
    def open(self, pid: int) -> Target:
        """Choose a process."""


def examine(host: _Opener, ledger_path: Path, journal_dir: Path, pid: int | None) -> list[Finding]:
    """Return the findings, the most basic first; with ``pid`` also those about this process."""
    findings = [
        *_system(),
        *_privilege(),
        _swap(),
        *_reading(),
        _freeze(),
        _cgroups(),
        _journal(journal_dir),
        _huge_pages(),
    ]
    findings.append(_ledger(ledger_path))
    if pid is not None:
        findings.extend(_process(host, pid))
    return findings


def _system() -> Iterator[Finding]:
    release = platform.release()
    if not sys.platform.startswith("linux"):
        yield Finding("system", False, f"this is {platform.system()}", "memtui works on Linux only", "")
        return
    yield Finding("system", True, f"Linux {release} on {platform.machine()}", "", "")
    missing = []
    with ProcessHandle(os.getpid()) as ourselves:
        # On ourselves permission is not asked, so that what fails here is missing for everyone.
        reason = probe(ourselves, Advice.COLD)
    if reason is None:
        yield Finding("process_madvise", True, "the system call is there", "", "")
    else:
        missing.append(reason.text)
        yield Finding("process_madvise", False, reason.text, "nothing can be advised", "")


def _privilege() -> Iterator[Finding]:
    wanted = (
        (CAP_SYS_NICE, "CAP_SYS_NICE", "no process but this one can be advised"),
        (CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "only your own processes can be read, advised and held"),
        (CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "page states only of your own processes"),
    )
    inside = _in_user_namespace()
    for number, name, consequence in wanted:
        held = has_capability(number)
        if held and number == CAP_SYS_NICE and inside:
            # capable() asks the first user namespace, where we hold nothing.
            words = f"{name} counts only in this container's user namespace"
            yield Finding(name, False, words, consequence, "run memtui on the host")
        else:
            finding = f"{name} is {'there' if held else 'missing'}"
            yield Finding(name, held, finding, "" if held else consequence, "" if held else SUDO)


def _in_user_namespace() -> bool:
    try:
        mapping = Path("/proc/self/uid_map").read_text("ascii").split()
    except OSError:
        return False
    return mapping != ["0", "0", "4294967295"]


def _swap() -> Finding:
    areas = machine.swaps()
    if areas is None:
        consequence = "whether PAGEOUT can move anonymous memory is not known"
        return Finding("swap", None, "/proc/swaps cannot be read", consequence, "")
    free = sum(area.size_bytes - area.used_bytes for area in areas)
    if not areas:
        consequence = "PAGEOUT moves pages of files only; anonymous memory has nowhere to go"
        return Finding("swap", False, "there is no swap", consequence, ADD_SWAP)
    kinds = ", ".join(sorted({_kind_of(area) for area in areas}))
    words = f"{size(free)} free of {size(sum(area.size_bytes for area in areas))} ({kinds})"
    if free == 0:
        return Finding("swap", False, words, "PAGEOUT moves no anonymous memory", ADD_SWAP)
    note = "what is paged out stays in the swap cache until reclaim takes it"
    if kinds == "zram":
        note = ""
    elif machine.zswap_is_on():
        note = "zswap is on: what it takes is compressed and freed at once, the rest stays in the swap cache"
    return Finding("swap", True, words, note, "")


def _kind_of(area: machine.Swap) -> str:
    return "zram" if "/zram" in area.path else area.kind


def _reading() -> Iterator[Finding]:
    with ProcessHandle(os.getpid()) as ourselves:
        source = PageReader(ourselves).source
    if source is Source.SCAN:
        yield Finding("pagemap", True, "PAGEMAP_SCAN works", "", "")
    else:
        words = f"PAGEMAP_SCAN (Linux 6.7) does not work; RSS comes from {source.value}"
        yield Finding("pagemap", None, words, "reading is slower", "")
    pressure = machine.pressure_some_avg10()
    words = "memory pressure (PSI) is " + ("there" if pressure is not None else "not there")
    note = "" if pressure is not None else "the system line shows no pressure"
    yield Finding("psi", pressure is not None or None, words, note, "")


def _freeze() -> Finding:
    level = yama_level()
    try:
        guard = Guard.start()
    except MemtuiError as error:
        # Without the error's own next step, which is to come here.
        return Finding("freeze", False, error.words, "targets run on while they are advised", "")
    guard.close()
    if level is not None and level > 0 and not has_capability(CAP_SYS_PTRACE):
        words = f"Yama's ptrace_scope is {level}: only descendants, or nobody, can be traced"
        return Finding("freeze", False, words, "targets run on while they are advised", SUDO)
    return Finding("freeze", True, "the guard starts; ptrace holds targets still", "", "")


def _journal(folder: Path) -> Finding:
    place = folder
    while not os.path.exists(place):
        place = place.parent
    if os.access(place, os.W_OK, effective_ids=True):
        return Finding("journal", True, f"what sigstop and cgroup hold is noted in {folder}", "", "")
    return Finding("journal", False, f"{folder} cannot be written", "only ptrace can hold targets still", "")


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


def _ledger(path: Path) -> Finding:
    place = path
    # os.path.exists, since Path.exists raises where a folder on the way may not be entered.
    while not os.path.exists(place):
        place = place.parent
    if os.access(place, os.W_OK, effective_ids=True):
        return Finding("ledger", True, f"actions are recorded in {path}", "", "")
    return Finding("ledger", False, f"{path} cannot be written", "actions are not recorded", SUDO)


def _process(host: _Opener, pid: int) -> Iterator[Finding]:
    try:
        target = host.open(pid)
    except MemtuiError as error:
        yield Finding("process", False, str(error), "it cannot be advised", "")
        return
    try:
        yield Finding("process", True, f"process {pid} is {target.name}", "", "")
        with ProcessHandle(pid) as handle:
            for advice in Advice:
                yield _advice(handle, advice)
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
        target.close()


def _advice(handle: ProcessHandle, advice: Advice) -> Finding:
    name = advice.name
    reason = probe(handle, advice)
    if reason is None:
        return Finding(name, True, f"{name} can be given", CATALOGUE[advice].shows, "")
    remedy = SUDO if "privilege" in reason.value or reason.value.startswith("no_") else ""
    return Finding(name, False, reason.text, f"{name} cannot be given", remedy)


def _tracer(pid: int) -> Finding:
    status = parse_colon_lines(read_process_file(pid, "status"))
    tracer = status.get("TracerPid", "0")
    if tracer == "0":
        return Finding("tracer", True, "nobody traces it", "", "")
    return Finding("tracer", False, f"process {tracer} traces it", "ptrace cannot hold it", "")

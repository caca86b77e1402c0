"""What the doctor found, in words: the finding, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memtui.format import size
from memtui.freeze.thawed_words import describe_thawed
from memtui.model.advice import Advice
from memtui.model.finding import FindingCode, NoRights
from memtui.model.freeze import Thawed
from memtui.model.reasons import Reason
from memtui.render.advice import ADVICE_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memtui.host import Finding


class FindingWords(NamedTuple):
    """A finding, and what follows from it; empty where nothing does. Raw."""

    finding: str
    consequence: str = ""


_NO_RIGHT_SO = {
    "CAP_SYS_NICE": "no process but this one can be advised",
    "CAP_SYS_PTRACE": "only your own processes can be read, advised and held",
    "CAP_DAC_READ_SEARCH": "page states only of your own processes",
    "CAP_KILL": "--freeze sigstop holds only your own processes",
}

_NO_RIGHTS = {
    NoRights.NOT_GRANTED: "whoever starts this container or shell must grant it (docker run --cap-add)",
    NoRights.GIVEN_UP: "this shell has given it up: start another one",
    NoRights.NO_NEW_PRIVILEGES: "no_new_privs is set here, so that sudo gains nothing: use another shell",
    NoRights.NO_SUDO: "there is no sudo here: ask who administers this machine",
}

_YAMA = {1: "only descendants can be traced", 2: "it takes CAP_SYS_PTRACE to trace"}

_SWAP = "{free_bytes} free of {total_bytes} ({kinds})"

_WORDS: dict[FindingCode, FindingWords] = {
    FindingCode.NOT_LINUX: FindingWords("this is {system}", "memtui works on Linux only"),
    FindingCode.FOREIGN_PROC: FindingWords(
        Reason.FOREIGN_PROC.text, "processes can be looked at, and none be advised, held or restored"
    ),
    FindingCode.LINUX: FindingWords("Linux {release} on {machine}"),
    FindingCode.CALL_THERE: FindingWords("the system call is there"),
    FindingCode.CALL_MISSING: FindingWords("{reason}", "nothing can be advised{step}"),
    FindingCode.RIGHT_THERE: FindingWords("{name} is there"),
    FindingCode.RIGHT_INSIDE_ONLY: FindingWords(
        "{name} counts only in this container's user namespace", "{right_so}"
    ),
    FindingCode.RIGHT_MISSING: FindingWords("{name} is missing", "{right_so}"),
    FindingCode.HIDEPID: FindingWords(
        "/proc is mounted with hidepid={level}", "the processes of others are not listed"
    ),
    FindingCode.SWAP_UNREADABLE: FindingWords(
        "/proc/swaps cannot be read", "whether PAGEOUT can move anonymous memory is not known"
    ),
    FindingCode.NO_SWAP: FindingWords(
        "there is no swap", "PAGEOUT moves pages of files only; anonymous memory has nowhere to go"
    ),
    FindingCode.SWAP_FULL: FindingWords(_SWAP, "PAGEOUT moves no anonymous memory"),
    FindingCode.SWAP_ON_DISK: FindingWords(
        _SWAP, "what is paged out stays in the swap cache until reclaim takes it"
    ),
    FindingCode.SWAP_WITH_ZSWAP: FindingWords(
        _SWAP, "zswap is on: what it takes is compressed and freed at once, the rest stays in the swap cache"
    ),
    FindingCode.SWAP_ON_ZRAM: FindingWords(_SWAP),
    FindingCode.PAGEMAP_UNREADABLE: FindingWords("{words}", "no process can be looked at closely"),
    FindingCode.PAGEMAP_SCAN: FindingWords("PAGEMAP_SCAN works"),
    FindingCode.PAGEMAP_SLOW: FindingWords(
        "PAGEMAP_SCAN (Linux 6.7) does not work; RSS comes from {source}", "reading is slower"
    ),
    FindingCode.PSI_THERE: FindingWords("memory pressure (PSI) is there"),
    FindingCode.PSI_MISSING: FindingWords(
        "memory pressure (PSI) is not there", "the system line shows no pressure"
    ),
    FindingCode.GUARD_FAILS: FindingWords("{words}", "targets run on while they are advised"),
    FindingCode.YAMA_FORBIDS: FindingWords(
        "Yama's ptrace_scope is {level}: {yama}", "targets run on while they are advised"
    ),
    FindingCode.GUARD_STARTS: FindingWords("the guard starts; ptrace holds targets still"),
    FindingCode.CGROUP_V2: FindingWords("a cgroup v2 hierarchy is mounted"),
    FindingCode.NO_CGROUP_V2: FindingWords(
        "no cgroup v2 hierarchy is mounted", "--freeze cgroup does not work"
    ),
    FindingCode.JOURNAL_WRITABLE: FindingWords("what sigstop and cgroup hold is noted in {path}"),
    FindingCode.JOURNAL_UNWRITABLE: FindingWords(
        "{path} cannot be written{read_only}", "only ptrace can hold targets still"
    ),
    FindingCode.HELD_UNKNOWN: FindingWords("{words}", "what a crash left held is not known"),
    FindingCode.LEFT_HELD: FindingWords("{thawed}", "it may stand still"),
    FindingCode.HUGE_PAGES: FindingWords("huge pages of {page_bytes}"),
    FindingCode.NO_HUGE_PAGES: FindingWords("no transparent huge pages", "COLLAPSE does nothing"),
    FindingCode.LEDGER_WRITABLE: FindingWords("actions are recorded in {path}"),
    FindingCode.LEDGER_UNWRITABLE: FindingWords(
        "{path} cannot be written{read_only}", "actions are not recorded, and cannot be restored"
    ),
    FindingCode.PROCESS: FindingWords("process {pid} is {name}"),
    FindingCode.PROCESS_REFUSED: FindingWords("{words}", "it cannot be advised"),
    FindingCode.ADVICE_TAKEN: FindingWords("{advice} can be given", "{shows}"),
    FindingCode.ADVICE_REFUSED: FindingWords("{reason}", "{advice} cannot be given"),
    FindingCode.MAY_BE_HELD: FindingWords("it may be held still"),
    FindingCode.NEVER_HELD: FindingWords("{words}", "it runs on while it is advised"),
    FindingCode.NOT_TRACED: FindingWords("nobody traces it"),
    FindingCode.TRACED: FindingWords("process {tracer} traces it", "ptrace cannot hold it"),
}


def describe_finding(finding: Finding) -> FindingWords:
    """Return a finding in words."""
    words = _WORDS[finding.code]
    values = _in_words(finding.values)
    return FindingWords(words.finding.format(**values), words.consequence.format(**values))


def _in_words(values: Mapping[str, object]) -> dict[str, object]:
    """Return values as they stand in a sentence, and what is said because of them."""
    words: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Reason):
            words[name] = value.text
            words["step"] = f": {value.next_step}" if value.next_step else ""
        elif isinstance(value, Advice):
            words[name], words["shows"] = value.name, ADVICE_WORDS[value].shows
        elif isinstance(value, Thawed):
            words[name] = describe_thawed(value)
        elif name.endswith("_bytes") and isinstance(value, int):
            words[name] = size(value)
        else:
            words[name] = value
    if values.get("name") in _NO_RIGHT_SO:
        why = values.get("why")
        more = f"; {_NO_RIGHTS[why]}" if isinstance(why, NoRights) else ""
        words["right_so"] = f"{_NO_RIGHT_SO[str(values['name'])]}{more}"
    if "level" in values:
        words["yama"] = next(
            (who for level, who in _YAMA.items() if level == values["level"]), "nobody can be traced"
        )
    if "read_only" in values:
        place = values["read_only"]
        said = f": {place} lies on a file system that is mounted read-only"
        words["read_only"] = "" if place is None else said
    return words

"""What is wrong with a filter, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.model.advice import Advice
from memtui.model.errors import FilterMistake
from memtui.model.filter import STATES
from memtui.model.vma import VmaKind

if TYPE_CHECKING:
    from memtui.model.errors import FilterDomain, FilterError

_TERMS: dict[FilterDomain, str] = {
    "vma": "kind: perm: name: flag: rss> swap> size> addr: will: label: and bare words",
    "process": "name: user: pid: state: cgroup: rss> swap> and bare words",
}

_OTHERS: dict[FilterDomain, str] = {"vma": "processes", "process": "VMAs"}

_EXAMPLES: dict[str, str] = {
    "name": "*libc*",
    "kind": "anon",
    "perm": "rw",
    "flag": "lo",
    "addr": "7f00dead1000",
    "will": "pageout",
    "label": "cold",
    "user": "root",
    "pid": "1",
    "state": "S",
    "cgroup": "system.slice",
}

_MISTAKES: dict[FilterMistake, str] = {
    FilterMistake.OPEN_QUOTE: "its quote is not closed",
    FilterMistake.NOTHING_NEGATED: "nothing stands after the !",
    FilterMistake.BLANK_IN_TERM: "a term has no blanks in it, as in rss>10M",
    FilterMistake.NO_SUCH_KEY: "no such term; there are {terms} (quote a word that holds a colon)",
    FilterMistake.FOR_OTHERS: "only for {others}; here there are {terms}",
    FilterMistake.NOT_COMPARED: "{key} is compared with > >= < <= or =, and negated as in !{key}=0",
    FilterMistake.NO_COLON: "{key} takes a colon, as in {key}:{example}",
    FilterMistake.NO_VALUE: "a value is missing",
    FilterMistake.NOT_A_SIZE: "a size is a number with k, M, G or T, as in 64k",
    FilterMistake.NO_SUCH_KIND: f"no such kind; there are {' '.join(kind.value for kind in VmaKind)}",
    FilterMistake.NOT_PERMISSIONS: (
        "permissions are letters of rwxsp, or a part as maps writes it, as in r-xp"
    ),
    FilterMistake.NOT_A_FLAG: "a flag is two letters of VmFlags, as in lo",
    FilterMistake.NOT_AN_ADDRESS: "an address is hexadecimal, with at most 16 digits",
    FilterMistake.NO_SUCH_ADVICE: f"no such advice; there are {' '.join(advice.value for advice in Advice)}",
    FilterMistake.NOT_A_PID: "a pid is a number",
    FilterMistake.NOT_A_STATE: f"a state is one letter of {STATES}",
}


def describe_filter_error(error: FilterError) -> str:
    """Return which term is wrong, in what way, and where; raw."""
    what = _MISTAKES[error.mistake].format(
        key=error.key,
        example=_EXAMPLES.get(error.key, ""),
        terms=_TERMS[error.of],
        others=_OTHERS[error.of],
    )
    return f"{error.term}: {what} (column {error.column})"

"""The filter language of the search box, of ``--select`` and of ``ps``.

Terms side by side must all hold; ``!`` negates one; a comma lists alternatives; double quotes hold
blanks and commas, and in them ``\\"`` and ``\\\\`` stand for ``"`` and ``\\``. A term is ``key:value``,
``key>size`` (also ``>= < <= =``) or a bare word, which matches the name: in the screen's boxes
also the label and the kind, and digits a pid or an address. Of a glob only ``*`` and ``?`` are special: so
``name:[heap]`` means what it says; a pattern with neither matches any part. ``""`` is the empty name.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from memtui.model.advice import Advice
from memtui.model.errors import FilterDomain, FilterError, FilterMistake
from memtui.model.process import Process
from memtui.model.verdict import Expectation, Verdict
from memtui.model.vma import MappedVma, VmaKind

Judge = Callable[[Advice], Verdict]
"""The verdict of one VMA for an advice."""

_VmaTest = Callable[[MappedVma, "Judge | None"], bool]
_ProcessTest = Callable[[Process], bool]
_Matcher = Callable[["str | None"], bool]
_Tests = tuple["_VmaTest | None", "_ProcessTest | None"]


class _Term(NamedTuple):
    key: str
    negated: bool
    vma: _VmaTest | None
    process: _ProcessTest | None


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. ``text`` is what it was parsed from. What is unknown (None) matches no term."""

    text: str
    _terms: tuple[_Term, ...]

    @property
    def is_empty(self) -> bool:
        """Whether it has no term, and so takes everything."""
        return not self._terms

    @property
    def keys(self) -> frozenset[str]:
        """The keys of its terms (``name`` for bare words): ``flag`` and ``will`` need smaps."""
        return frozenset(term.key for term in self._terms)

    def matches_vma(self, row: MappedVma, judge: Judge | None = None) -> bool:
        """Whether it takes a VMA. Without ``judge`` no verdict is known, so that no ``will:`` matches.

        Raises:
            ValueError: if it was parsed for processes and holds a term that is only for those.
        """
        for term in self._terms:
            if term.vma is None:
                raise ValueError(f"{term.key}: not for VMAs")
            if term.vma(row, judge) is term.negated:
                return False
        return True

    def matches_process(self, process: Process) -> bool:
        """Whether it takes a process.

        Raises:
            ValueError: if it was parsed for VMAs and holds a term that is only for those.
        """
        for term in self._terms:
            if term.process is None:
                raise ValueError(f"{term.key}: not for processes")
            if term.process(process) is term.negated:
                return False
        return True


def parse(text: str, of: FilterDomain = "vma", *, in_box: bool = False) -> Filter:
    """Return the filter that ``text`` says.

    ``in_box`` is for what is typed on the screen, where its effect is seen at once: a bare word then
    matches more than the name. What acts unseen (``--select``) names its keys.

    Raises:
        FilterError: for the first wrong term: the term, what is wrong, and its column.
    """
    return Filter(text, tuple(_term(token, of, in_box) for token in _tokens(text)))


class _Token(NamedTuple):
    """A term's text, from ``column``; ``chars`` are its characters with whether they were quoted."""

    column: int
    source: str
    chars: tuple[tuple[str, bool], ...]

    def error(self, mistake: FilterMistake, of: FilterDomain = "vma", key: str = "") -> FilterError:
        return FilterError(mistake, self.source, self.column, of, key)

    def without(self, count: int) -> _Token:
        return _Token(self.column, self.source, self.chars[count:])


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        start = at
        at, chars, closed = _token_end(text, at)
        token = _Token(start + 1, text[start:at], tuple(chars))
        if not closed:
            raise token.error(FilterMistake.OPEN_QUOTE)
        yield token


def _token_end(text: str, at: int) -> tuple[int, list[tuple[str, bool]], bool]:
    chars: list[tuple[str, bool]] = []
    inside = False
    while at < len(text) and (inside or not text[at].isspace()):
        char = text[at]
        if char == '"':
            inside = not inside
            # An empty pair of quotes is a value too: it leaves a mark that holds no character.
            chars.append(("", True))
        elif inside and char == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
            at += 1
            chars.append((text[at], True))
        else:
            chars.append((char, inside))
        at += 1
    return at, chars, not inside


_HEAD = re.compile(r"([A-Za-z]+)(:|>=|<=|!=|>|<|=)")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}


def _term(token: _Token, of: FilterDomain, in_box: bool) -> _Term:
    negations = 0
    while negations < len(token.chars) and token.chars[negations] == ("!", False):
        negations += 1
    body = token.without(negations)
    if not body.chars:
        raise token.error(FilterMistake.NOTHING_NEGATED)
    plain = _plain_head(body)
    head = _HEAD.match(plain)
    if head is None:
        if plain[:1] in (">", "<", "=", ":"):
            raise token.error(FilterMistake.BLANK_IN_TERM)
        vma, process = _word_in_box(body) if in_box else _word(body)
        return _Term("name", negations % 2 == 1, vma, process)
    key, mark = head[1].lower(), head[2]
    vma, process = _tests(body.without(head.end()), key, mark, of)
    return _Term(key, negations % 2 == 1, vma, process)


def _plain_head(token: _Token) -> str:
    head = []
    for char, is_quoted in token.chars:
        if is_quoted:
            break
        head.append(char)
    return "".join(head)


def _tests(token: _Token, key: str, mark: str, of: FilterDomain) -> _Tests:
    subjects = _SUBJECTS.get(key)
    if subjects is None:
        raise token.error(FilterMistake.NO_SUCH_KEY, of)
    if of not in subjects:
        raise token.error(FilterMistake.FOR_OTHERS, of)
    numeric = _NUMBERS.get(key)
    if numeric is not None:
        if mark not in _COMPARISONS:
            raise token.error(FilterMistake.NOT_COMPARED, of, key)
        return numeric(_any_number(token, mark))
    if mark != ":":
        raise token.error(FilterMistake.NO_COLON, of, key)
    return _BUILDERS[key](token)


def _values(token: _Token) -> list[str]:
    """Return the alternatives of a term.

    Raises:
        FilterError: if one is empty and not so by quotes.
    """
    parts: list[list[tuple[str, bool]]] = [[]]
    for char in token.chars:
        if char == (",", False):
            parts.append([])
        else:
            parts[-1].append(char)
    if not all(parts):
        raise token.error(FilterMistake.NO_VALUE)
    return ["".join(char for char, _ in part) for part in parts]


_PID = re.compile("[0-9]{1,10}")
_ADDRESS = re.compile("(?:0[xX])?[0-9a-fA-F]{1,16}")
_SIZE = re.compile(r"([0-9]{1,19})(\.[0-9]{1,9})?([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _size(token: _Token, word: str) -> float:
    found = _SIZE.fullmatch(word)
    if found is None:
        raise token.error(FilterMistake.NOT_A_SIZE)
    unit = _UNITS[found[3].lower()]
    # Whole numbers stay integers: a float does not hold all addresses' worth of bytes.
    return float(found[1] + found[2]) * unit if found[2] else int(found[1]) * unit


def _any_number(token: _Token, mark: str) -> Callable[[int | None], bool]:
    compare = _COMPARISONS[mark]
    limits = [_size(token, word) for word in _values(token)]
    return lambda value: value is not None and any(compare(value, limit) for limit in limits)


def _any_text(token: _Token) -> _Matcher:
    """Return the test of names: case folded, a glob of the whole or else any part."""
    folded = [word.casefold() for word in _values(token)]
    parts = [word for word in folded if word and not _is_glob(word)]
    # Only * and ? are special: a bracket stands for itself.
    globs = [re.compile(fnmatch.translate(word.replace("[", "[[]"))) for word in folded if _is_glob(word)]
    takes_empty = "" in folded

    def matches(value: str | None) -> bool:
        if value is None:
            return False
        name = value.casefold()
        if not name and takes_empty:
            return True
        return any(part in name for part in parts) or any(glob.match(name) for glob in globs)

    return matches


def _is_glob(word: str) -> bool:
    return "*" in word or "?" in word


def _name(token: _Token) -> _Tests:
    matches = _any_text(token)
    return lambda row, judge: matches(row.vma.name), lambda process: matches(process.name)


def _word(token: _Token) -> _Tests:
    matches = _any_text(token)
    return (
        lambda row, judge: matches(row.vma.name),
        lambda process: matches(process.name) or matches(process.command),
    )


def _word_in_box(token: _Token) -> _Tests:
    """Return the test of whatever a list shows of a row: what stands in its NAME may be its label."""
    matches = _any_text(token)
    words = _values(token)
    pids = {int(word) for word in words if _PID.fullmatch(word)}
    addresses = [int(word, 16) for word in words if _ADDRESS.fullmatch(word)]
    of_vma, of_process = _word(token)
    assert of_vma is not None
    assert of_process is not None

    def takes_vma(row: MappedVma, judge: Judge | None) -> bool:
        return (
            of_vma(row, judge)
            or matches(row.label)
            or matches(row.kind.value)
            or any(row.vma.start <= at < row.vma.end for at in addresses)
        )

    return takes_vma, lambda process: of_process(process) or process.pid in pids


def _label(token: _Token) -> _Tests:
    matches = _any_text(token)
    return lambda row, judge: matches(row.label), None


def _cgroup(token: _Token) -> _Tests:
    matches = _any_text(token)
    return None, lambda process: matches(process.cgroup)


def _user(token: _Token) -> _Tests:
    users = frozenset(_values(token))
    return None, lambda process: process.user in users


def _kind(token: _Token) -> _Tests:
    words = [word.lower() for word in _values(token)]
    known = [kind.value for kind in VmaKind]
    for word in words:
        if word not in known:
            raise token.error(FilterMistake.NO_SUCH_KIND)
    kinds = frozenset(VmaKind(word) for word in words)
    return lambda row, judge: row.kind in kinds, None


def _perm(token: _Token) -> _Tests:
    words = [word.lower() for word in _values(token)]
    for word in words:
        if not word or not set(word) <= set("rwxsp-"):
            raise token.error(FilterMistake.NOT_PERMISSIONS)

    def holds(word: str, perms: str) -> bool:
        # With a dash it is a part as it is written; without, each letter counts (rx means r and x).
        return word in perms if "-" in word else set(word) <= set(perms)

    return lambda row, judge: any(holds(word, row.vma.perms) for word in words), None


def _flag(token: _Token) -> _Tests:
    flags = frozenset(word.lower() for word in _values(token))
    if not all(re.fullmatch("[a-z0-9]{2}", flag) for flag in flags):
        raise token.error(FilterMistake.NOT_A_FLAG)
    return lambda row, judge: row.flags is not None and not flags.isdisjoint(row.flags), None


def _addr(token: _Token) -> _Tests:
    words = _values(token)
    if not all(_ADDRESS.fullmatch(word) for word in words):
        raise token.error(FilterMistake.NOT_AN_ADDRESS)
    addresses = [int(word, 16) for word in words]
    return lambda row, judge: any(row.vma.start <= at < row.vma.end for at in addresses), None


def _will(token: _Token) -> _Tests:
    words = [word.lower() for word in _values(token)]
    known = [advice.value for advice in Advice]
    for word in words:
        if word not in known:
            raise token.error(FilterMistake.NO_SUCH_ADVICE)
    advices = [Advice(word) for word in words]

    def matches(row: MappedVma, judge: Judge | None) -> bool:
        return judge is not None and any(judge(advice).will is not Expectation.NO for advice in advices)

    return matches, None


def _pid(token: _Token) -> _Tests:
    words = _values(token)
    if not all(_PID.fullmatch(word) for word in words):
        raise token.error(FilterMistake.NOT_A_PID)
    pids = frozenset(int(word) for word in words)
    return None, lambda process: process.pid in pids


STATES = "RSDZTtXxKWPI"
"""The letters of /proc/PID/stat."""


def _state(token: _Token) -> _Tests:
    states = set()
    for word in _values(token):
        if len(word) != 1 or (word not in STATES and word.upper() not in STATES):
            raise token.error(FilterMistake.NOT_A_STATE)
        # t (traced) is not T (stopped); of the others small letters are taken as capitals.
        states.add(word if word in STATES else word.upper())
    return None, lambda process: process.state in states


_SUBJECTS: dict[str, tuple[FilterDomain, ...]] = {
    "name": ("vma", "process"),
    "rss": ("vma", "process"),
    "swap": ("vma", "process"),
    **dict.fromkeys(("kind", "perm", "flag", "size", "addr", "will", "label"), ("vma",)),
    **dict.fromkeys(("user", "pid", "state", "cgroup"), ("process",)),
}

_NUMBERS: dict[str, Callable[[Callable[[int | None], bool]], _Tests]] = {
    "rss": lambda test: (lambda row, judge: test(row.rss_bytes), lambda process: test(process.rss_bytes)),
    "swap": lambda test: (lambda row, judge: test(row.swap_bytes), lambda process: test(process.swap_bytes)),
    "size": lambda test: (lambda row, judge: test(row.vma.size_bytes), None),
}

_BUILDERS: dict[str, Callable[[_Token], _Tests]] = {
    "name": _name,
    "kind": _kind,
    "perm": _perm,
    "flag": _flag,
    "addr": _addr,
    "will": _will,
    "label": _label,
    "user": _user,
    "pid": _pid,
    "state": _state,
    "cgroup": _cgroup,
}

"""The filter language."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model.advice import Advice
from memtui.model.errors import FilterDomain, FilterError
from memtui.model.filter import parse
from memtui.model.process import Process
from memtui.model.verdict import Expectation, Verdict
from memtui.model.vma import MappedVma, VmaKind
from memtui.render.filter import describe_filter_error
from tests.unit.make import BASE, details, process, row, vma

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
LIBC = row(vma(VmaKind.FILE, perms="r-xp", name="/usr/lib/libc.so.6", inode=7), rss=MIB, swap=0)
HEAP = row(vma(VmaKind.HEAP, name="[heap]"), rss=20 * MIB, swap=4096, more=details("rd wr lo"))
BARE = row(vma(VmaKind.ANON, size=65536, perms="rw-p"), label="Cold")
SPACED = row(vma(VmaKind.FILE, name='/srv/My "Data", v2', inode=8))
VMAS = {"libc": LIBC, "heap": HEAP, "bare": BARE, "spaced": SPACED}


def verdicts(advice: Advice) -> Verdict:
    will = {Advice.COLD: Expectation.YES, Advice.PAGEOUT: Expectation.PARTLY}.get(advice, Expectation.NO)
    return Verdict(will, None)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("", "libc heap bare spaced"),
        (" \t\n ", "libc heap bare spaced"),
        ("kind:heap", "heap"),
        ("kind:ANON,heap", "heap bare"),
        ("KIND:heap", "heap"),
        ("!kind:heap", "libc bare spaced"),
        ("!!kind:heap", "heap"),
        ("perm:rw", "heap bare spaced"),
        ("perm:rx", "libc"),
        ("perm:xr", "libc"),
        ("perm:r-x", "libc"),
        ("perm:rw-p", "heap bare spaced"),
        ("perm:s", ""),
        ("perm:x,w", "libc heap bare spaced"),
        ("name:*libc*", "libc"),
        ("name:libc", "libc"),
        ("name:LIBC", "libc"),
        ("name:libc*", ""),
        ("name:*.so.?", "libc"),
        ("name:*.so.??", ""),
        ("name:[heap]", "heap"),
        ("name:[h*]", "heap"),
        ("name:[ah]", ""),
        ('name:"my "', "spaced"),
        (r'name:"\"data\", v2"', "spaced"),
        (r'name:*"\"data\""*', "spaced"),
        (r"name:\x", ""),
        (r'name:"\x"', ""),
        ('name:""', "bare"),
        ('name:"",libc', "libc bare"),
        ("libc", "libc"),
        ("LibC", "libc"),
        ("[heap]", "heap"),
        ("libc,heap", "libc heap"),
        ("/usr /lib", "libc"),
        ("/usr heap", ""),
        ("!libc", "heap bare spaced"),
        ("cold", ""),
        ("label:cold", "bare"),
        ("label:c*", "bare"),
        ('label:""', ""),
        ("flag:lo", "heap"),
        ("flag:LO,zz", "heap"),
        ("!flag:lo", "libc bare spaced"),
        ("rss>10M", "heap"),
        ("rss>=20M", "heap"),
        ("rss>20M", ""),
        ("rss<2m", "libc"),
        ("rss<=1M", "libc"),
        ("rss=1024k", "libc"),
        ("rss=1M,20M", "libc heap"),
        ("rss>.5M", None),
        ("rss>0.5M", "libc heap"),
        ("rss>0.5MiB", "libc heap"),
        ("!rss>10M", "libc bare spaced"),
        ("swap>0", "heap"),
        ("swap=0", "libc"),
        ("size<=64k", "bare"),
        ("size>=1T", ""),
        (f"addr:{BASE:x}", "libc heap bare spaced"),
        (f"addr:0x{BASE + 65535:X}", "libc heap bare spaced"),
        (f"addr:{BASE + 65536:x}", "libc heap spaced"),
        ("addr:ffffffffff600000", ""),
        ("will:cold", "libc heap bare spaced"),
        ("will:PAGEOUT", "libc heap bare spaced"),
        ("will:willneed", ""),
        ("will:willneed,cold", "libc heap bare spaced"),
        ("kind:file perm:x rss>0 !name:*ld.so*", "libc"),
        ("[anon:x]", ""),
        ("/memfd:x", ""),
        ('"a:b"', ""),
    ],
)
def test_terms_on_vmas(text: str, taken: str | None) -> None:
    if taken is None:
        with pytest.raises(FilterError):
            parse(text)
        return
    chosen = parse(text)
    assert chosen.text == text
    assert [name for name, item in VMAS.items() if chosen.matches_vma(item, verdicts)] == taken.split()


CAT = process(42, "cat", "root", "S", 4096, 0, "cat /etc/motd", "/system.slice/cat.service")
ODD = process(7, "[/x] y", "1000", "t", None, None, None, None)
PROCESSES = {"cat": CAT, "odd": ODD}


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("", "cat odd"),
        ("cat", "cat"),
        ("MOTD", "cat"),
        ("[/x]", "odd"),
        ("name:motd", ""),
        ("name:c?t", "cat"),
        ("user:root", "cat"),
        ("user:roo", ""),
        ("user:1000,root", "cat odd"),
        ("pid:42", "cat"),
        ("pid:4", ""),
        ("pid:7,42", "cat odd"),
        ("state:S", "cat"),
        ("state:s", "cat"),
        ("state:t", "odd"),
        ("state:T", ""),
        ("rss>0", "cat"),
        ("rss<1M", "cat"),
        ("!rss>0", "odd"),
        ("swap=0", "cat"),
        ("cgroup:system", "cat"),
        ("cgroup:*.service", "cat"),
        ('cgroup:""', ""),
        ("!cgroup:system", "odd"),
    ],
)
def test_terms_on_processes(text: str, taken: str) -> None:
    chosen = parse(text, "process")
    assert [name for name, item in PROCESSES.items() if chosen.matches_process(item)] == taken.split()


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("kind:foo", 1, "kind:foo: no such kind; there are heap stack"),
        ("libc kind:foo", 6, "kind:foo: "),
        ("libc  !kind:anon,foo", 7, "!kind:anon,foo: "),
        ("a:b", 1, "a:b: no such term; there are kind: perm:"),
        ("kind=anon", 1, "takes a colon, as in kind:anon"),
        ("rss:10M", 1, "compared with"),
        ("rss!=3", 1, "!rss=0"),
        ("rss > 10M", 5, "no blanks"),
        ("kind: anon", 1, "a value is missing"),
        ("rss>", 1, "a value is missing"),
        ("rss>,1", 1, "a value is missing"),
        ("a,", 1, "a value is missing"),
        (",", 1, "a value is missing"),
        ("rss>ten", 1, "a size is a number"),
        ("rss>-1", 1, "a size is a number"),
        ("rss>1e9", 1, "a size is a number"),
        ("rss>" + "9" * 5000, 1, "a size is a number"),
        ("rss>\u0663", 1, "a size is a number"),
        ('rss>""', 1, "a size is a number"),
        ("addr:xyz", 1, "hexadecimal"),
        ("addr:1ffffffffffffffff", 1, "at most 16 digits"),
        ("addr:-1", 1, "hexadecimal"),
        ("perm:q", 1, "rwxsp"),
        ('perm:""', 1, "rwxsp"),
        ("flag:locked", 1, "two letters"),
        ("will:dontneed", 1, "no such advice; there are cold pageout"),
        ("x !", 3, "nothing stands after the !"),
        ('x "y z', 3, "not closed"),
        ("x user:root", 3, "only for processes; here there are kind:"),
        ("pid:1", 1, "only for processes"),
        ("\x1b[2J:x", None, ""),
    ],
)
def test_a_wrong_term_is_named_with_its_column(text: str, column: int | None, words: str) -> None:
    if column is None:
        assert not parse(text).is_empty
        return
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.column == column
    assert words in describe_filter_error(caught.value)
    assert f"(column {column})" in describe_filter_error(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind:anon", "only for VMAs; here there are name: user:"),
        ("size>1M", "only for VMAs"),
        ("label:cold", "only for VMAs"),
        ("will:cold", "only for VMAs"),
        ("pid:x", "a pid is a number"),
        ("pid:99999999999", "a pid is a number"),
        ("state:SS", "one letter of"),
        ("state:q", "one letter of"),
        ("nope:x", "there are name: user:"),
    ],
)
def test_a_wrong_term_for_processes(text: str, words: str) -> None:
    with pytest.raises(FilterError, match="column 1") as caught:
        parse(text, "process")
    assert words in describe_filter_error(caught.value)


def test_a_filter_for_one_is_no_filter_for_the_other() -> None:
    with pytest.raises(ValueError, match="not for processes"):
        parse("kind:anon").matches_process(CAT)
    with pytest.raises(ValueError, match="not for VMAs"):
        parse("pid:1", "process").matches_vma(LIBC)


def test_without_a_judge_no_will_is_known() -> None:
    assert not parse("will:cold").matches_vma(LIBC)
    assert parse("!will:cold").matches_vma(LIBC)


def test_judge_is_asked_for_the_advice_that_is_meant() -> None:
    asked: list[Advice] = []

    def judge(advice: Advice) -> Verdict:
        asked.append(advice)
        return Verdict(Expectation.NO, 0)

    parse("will:collapse").matches_vma(LIBC, judge)
    assert asked == [Advice.COLLAPSE]


def test_empty_and_keys() -> None:
    assert parse(" ").is_empty
    assert not parse("x").is_empty
    assert parse("x flag:lo !rss>1").keys == {"name", "flag", "rss"}


# Every term again, from its parts, with its meaning computed in another way.

COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}
UNIT = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "g": 1 << 30, "T": 1 << 40}


def quoted(word: str) -> str:
    """Return ``word`` so that the parser reads it as one value, whatever it holds."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True)
class Meant:
    """A term's text, and what it should say of a VMA."""

    text: str
    holds: Callable[[MappedVma], bool]


names = st.text(st.sampled_from('aBcD /:,"\\[]!<>=\u00e9 '), max_size=6)
sizes = st.integers(0, 1 << 22)


@st.composite
def number_terms(draw: st.DrawFn) -> Meant:
    key, mark = draw(st.sampled_from(["rss", "swap", "size"])), draw(st.sampled_from(sorted(COMPARE)))
    number, unit = draw(st.integers(0, 5000)), draw(st.sampled_from(sorted(UNIT)))
    limit = number * UNIT[unit]

    def holds(item: MappedVma) -> bool:
        value = {"rss": item.rss_bytes, "swap": item.swap_bytes, "size": item.vma.size_bytes}[key]
        return value is not None and COMPARE[mark](value, limit)

    return Meant(f"{key}{mark}{number}{unit}", holds)


@st.composite
def name_terms(draw: st.DrawFn) -> Meant:
    word = draw(names)
    head = draw(st.sampled_from(["", "name:", "NAME:"]))

    def holds(item: MappedVma) -> bool:
        return word.casefold() in item.vma.name.casefold() if word else item.vma.name == ""

    return Meant(head + quoted(word), holds)


@st.composite
def kind_terms(draw: st.DrawFn) -> Meant:
    kinds = draw(st.lists(st.sampled_from(VmaKind), min_size=1, max_size=3))
    return Meant("kind:" + ",".join(kind.value for kind in kinds), lambda item: item.kind in kinds)


@st.composite
def perm_terms(draw: st.DrawFn) -> Meant:
    letters = draw(st.lists(st.sampled_from("rwxsp"), min_size=1, max_size=3))
    return Meant("perm:" + "".join(letters), lambda item: all(letter in item.vma.perms for letter in letters))


plain_terms = st.one_of(number_terms(), name_terms(), kind_terms(), perm_terms())


@st.composite
def negated(draw: st.DrawFn) -> Meant:
    inner = draw(plain_terms)
    return Meant("!" + inner.text, lambda item: not inner.holds(item))


terms = plain_terms | negated()


@st.composite
def some_vmas(draw: st.DrawFn) -> MappedVma:
    of = vma(
        draw(st.sampled_from(VmaKind)),
        size=draw(st.integers(1, 1 << 10)) * 4096,
        perms=draw(st.sampled_from(["rw-p", "r--p", "r-xp", "---p", "rw-s"])),
        name=draw(names),
    )
    return row(of, draw(st.none() | sizes), draw(st.none() | sizes))


@given(st.lists(terms, max_size=4), st.sampled_from([" ", "  ", "\t", "\n "]), some_vmas())
def test_terms_mean_what_they_say(meant: list[Meant], blank: str, item: MappedVma) -> None:
    text = blank.join(term.text for term in meant)
    assert parse(text).matches_vma(item) == all(term.holds(item) for term in meant)


@given(plain_terms, some_vmas())
def test_negation_is_the_complement(term: Meant, item: MappedVma) -> None:
    assert parse("!" + term.text).matches_vma(item) is not parse(term.text).matches_vma(item)
    assert parse("!!" + term.text).matches_vma(item) is parse(term.text).matches_vma(item)


@given(name_terms(), name_terms(), some_vmas())
def test_a_comma_is_or(left: Meant, right: Meant, item: MappedVma) -> None:
    both = f"{left.text},{right.text[right.text.index(chr(34)) :]}"
    assert parse(both).matches_vma(item) == (left.holds(item) or right.holds(item))


@given(st.text())
def test_a_quoted_word_finds_the_name_that_holds_it(word: str) -> None:
    assert parse(f"name:{quoted(word)}").matches_vma(row(vma(name=word)))
    assert parse(quoted(word), "process").matches_process(process(name=word))


bits = st.sampled_from(
    [
        *("kind:", "rss", "pid:", "name:", "will:", "addr:", "size", "state:", "perm:", "flag:", "user:"),
        *(">", ">=", "<", "<=", "=", "!=", "!", ",", '"', "\\", "*", "?", "[", " ", "\t", ":"),
        *(
            "anon",
            "10M",
            "7f00",
            "0x",
            "S",
            "rw",
            "cold",
            "lo",
            "1.5g",
            "9" * 30,
            "\x1b[0m",
            "\udc80",
            "\u202e",
        ),
    ]
)


@given(st.text() | st.lists(bits, max_size=12).map("".join), st.sampled_from(["vma", "process"]))
def test_the_parser_says_yes_or_where_it_is_wrong(text: str, of: FilterDomain) -> None:
    error = None
    try:
        chosen = parse(text, of)
    except FilterError as raised:
        error = raised
    if error is None:
        item: MappedVma | Process = LIBC if of == "vma" else CAT
        outcome = (
            chosen.matches_vma(item, verdicts)
            if isinstance(item, MappedVma)
            else chosen.matches_process(item)
        )
        assert outcome in (True, False)
        assert chosen.is_empty == (not text.strip())
        return
    # The column is that of a term's first character, and the message begins with the term.
    assert 1 <= error.column <= len(text)
    assert not text[error.column - 1].isspace()
    assert text[error.column - 1] == describe_filter_error(error)[0]


def test_a_glob_on_a_long_hostile_name_is_quick() -> None:
    """A pattern of many stars must not try every way to cut a name."""
    hostile = row(vma(name="a" * 4096))
    assert not parse("name:" + "*a" * 30 + "*b").matches_vma(hostile)


def test_process_and_vma_numbers_share_their_terms() -> None:
    text = "rss>=4k swap=0"
    assert parse(text, "process").matches_process(CAT)
    assert parse(text).matches_vma(LIBC)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("cold", "bare"),
        ("COLD", "bare"),
        ("anon", "bare"),
        ("ano", "bare"),
        ("file", "libc spaced"),
        ("heap", "heap"),
        ("!cold", "libc heap spaced"),
        ("cold,libc", "libc bare"),
        ("co*", "bare"),
        (f"{BASE:x}", "libc heap bare spaced"),
        (f"0x{BASE:X} kind:heap", "heap"),
        (f"{BASE + 65536:x} anon", ""),
        ("rw", ""),
        ('"cold"', "bare"),
    ],
)
def test_in_a_box_a_bare_word_matches_what_is_shown(text: str, taken: str) -> None:
    wanted = parse(text, in_box=True)
    assert [name for name, item in VMAS.items() if wanted.matches_vma(item)] == taken.split()


def test_without_a_box_a_bare_word_is_a_name() -> None:
    for text in ("cold", "anon", "file", f"{BASE:x}"):
        assert not [name for name, item in VMAS.items() if parse(text).matches_vma(item)]


def test_digits_in_a_box_are_a_pid_too() -> None:
    first, second = process(42, name="one"), process(7, name="worker-42")
    for text, taken in (("42", [first, second]), ("7", [second]), ("042", [first]), ("!42", [])):
        wanted = parse(text, "process", in_box=True)
        assert [item for item in (first, second) if wanted.matches_process(item)] == taken
    assert not parse("7", "process").matches_process(second)

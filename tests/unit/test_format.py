"""Text of the system made safe, and numbers in words."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memtui.format import address, address_range, count, duration, safe, signed_size, size

# Every code point, lone surrogates too, and often the nasty ones.
HOSTILE = (
    "\x1b\x07\n\r\t\x00\x7f\x9b\x9d\u202e\u2066\u200b\u200f\u2028\ufeff"
    "\udc80\ud800\u00ad\u3164\U000e0041\ue000"
)
any_text = st.text(
    st.one_of(
        st.sampled_from(HOSTILE), st.characters(exclude_categories=()), st.characters(max_codepoint=127)
    )
)


@given(any_text)
@example("\x1b]0;x\x07")
@example("a\nb")
@example("\u202egnp.exe")
def test_nothing_that_a_terminal_obeys_survives(raw: str) -> None:
    shown = safe(raw)
    assert shown.isprintable()
    assert len(shown) == len(raw)
    for char in shown:
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert unicodedata.bidirectional(char) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }
    shown.encode("utf-8")


@given(any_text)
def test_safe_is_at_rest_after_one_pass(raw: str) -> None:
    assert safe(safe(raw)) == safe(raw)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_ascii_stays_as_it_is(raw: str) -> None:
    assert safe(raw) == raw


@pytest.mark.parametrize("raw", ["[/x]", "[red]", "/srv/größe/日本語", "/home/Ω"])
def test_what_is_harmless_stays(raw: str) -> None:
    assert safe(raw) == raw


def test_controls_become_their_pictures() -> None:
    assert safe("\x1b[31m\n\x7f\x9b") == "\u241b[31m\u240a\u2421\ufffd"


UNITS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def read_size(shown: str) -> float:
    return 0.0 if shown == "0" else float(shown[:-1]) * 1024.0 ** UNITS[shown[-1]]


addresses_worth = st.integers(-(1 << 64), 1 << 64)


@given(addresses_worth)
def test_a_size_has_six_cells_at_most_and_is_near(count_bytes: int) -> None:
    shown = size(count_bytes)
    assert len(shown) <= 6
    assert read_size(shown) == pytest.approx(count_bytes, rel=0.05)


@given(addresses_worth, addresses_worth)
def test_sizes_keep_their_order(left: int, right: int) -> None:
    if left > right:
        left, right = right, left
    assert read_size(size(left)) <= read_size(size(right))


@given(st.integers(0, 6), st.integers(-3000, 3000))
def test_order_holds_at_the_edges_of_units(power: int, offset: int) -> None:
    at = 1024**power
    around = sorted({at, at + offset, at + offset * 1024 ** max(0, power - 1), at * 1000 + offset})
    values = [read_size(size(value)) for value in around]
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("count_bytes", "shown"),
    [
        (None, "?"),
        (0, "0"),
        (1, "1B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1536, "1.5K"),
        (-65536, "-64K"),
        (412 << 20, "412M"),
        (1 << 30, "1G"),
        ((1 << 20) - 1, "1.0M"),
        (16 << 40, "16T"),
    ],
)
def test_sizes_in_words(count_bytes: int | None, shown: str) -> None:
    assert size(count_bytes) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "?"),
        (0, "0.0ms"),
        (0.44, "0.4ms"),
        (9.94, "9.9ms"),
        (9.96, "10ms"),
        (250, "250ms"),
        (999.7, "1.0s"),
        (3200, "3.2s"),
        (59_940, "59.9s"),
        (59_960, "1m00s"),
        (250_000, "4m10s"),
    ],
)
def test_durations_in_words(milliseconds: float | None, shown: str) -> None:
    assert duration(milliseconds) == shown


@given(st.floats(0, 3.6e6))
def test_a_duration_has_seven_cells_at_most(milliseconds: float) -> None:
    assert len(duration(milliseconds)) <= 7


def test_addresses_as_in_maps() -> None:
    assert address(0x1000) == "00001000"
    assert address_range(0x400000, 0x7F00DEAD1000) == "00400000-7f00dead1000"


def test_counts() -> None:
    assert count(1, "range") == "1 range"
    assert count(0, "range") == "0 ranges"
    assert count(2000, "range") == "2,000 ranges"
    assert count(2, "process", "processes") == "2 processes"


def test_a_difference_has_its_sign_also_where_there_is_none() -> None:
    assert [signed_size(value) for value in (None, 0, 4096, -4096)] == ["?", "+0", "+4K", "-4K"]

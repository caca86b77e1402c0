"""JSON lines: valid text whatever the system calls its things."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from memtui.json_line import json_line

# Names as the kernel gives them: any bytes.
NAMES = st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def test_each_byte_that_is_no_text_is_one_replacement_and_the_raw_bytes_stand_beside_it() -> None:
    raw = b"a\xff\xfe\xf0\x9f\x98\x80b"
    written = json_line({"name": raw.decode("utf-8", "surrogateescape"), "pid": 1})
    assert json.loads(written) == {"name": "a\ufffd\ufffd\U0001f600b", "name_hex": raw.hex(), "pid": 1}
    assert written.isascii()


def test_it_is_so_at_any_depth() -> None:
    bad = b"\x80".decode("utf-8", "surrogateescape")
    written = json_line({"target": {"name": bad}, "ranges": [{"name": bad, "reason": None}], "said": [bad]})
    assert json.loads(written) == {
        "target": {"name": "\ufffd", "name_hex": "80"},
        "ranges": [{"name": "\ufffd", "name_hex": "80", "reason": None}],
        "said": ["\ufffd"],
    }


def test_text_that_never_was_bytes_has_none() -> None:
    """A ledger of another program may hold any half of a pair."""
    assert json.loads(json_line({"name": "\ud800x"})) == {"name": "\ufffdx", "name_hex": None}


@given(NAMES)
def test_any_name_can_be_had_back(name: str) -> None:
    found = json.loads(json_line({"name": name}))
    # As a strict parser.
    found["name"].encode("utf-8")
    raw = name.encode("utf-8", "surrogateescape")
    if "name_hex" in found:
        assert bytes.fromhex(found["name_hex"]) == raw
        assert len(found["name"]) == len(name)
        assert "\ufffd" in found["name"]
    else:
        assert found["name"].encode("utf-8") == raw
    assert json.loads(json_line(found)) == found, "what was read of the ledger is written as it is"

"""One JSON object a line, in ASCII: what ``--json`` prints and the ledger keeps.

Text of the system is raw; the writer escapes all but ASCII. A byte that is not UTF-8 is no text, and strict
parsers refuse what Python makes of it: it is written as U+FFFD, and the raw bytes stand beside it, in
hexadecimal, under the key with ``_hex`` behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Json = dict[str, object]

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_line(value: Mapping[str, object]) -> str:
    """Return one JSON object as one line of ASCII, without the newline."""
    written = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    if "\\ud" in written:
        # Half of a pair, or a whole one.
        written = json.dumps(_valid(value), ensure_ascii=True, separators=(",", ":"))
    return written


def _valid(value: object) -> object:
    """Return what is written with no surrogate in it."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, (list, tuple)):
        return [_valid(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    valid: Json = {}
    for key, item in value.items():
        valid[key] = _valid(item)
        if isinstance(item, str) and item != valid[key]:
            valid[f"{key}_hex"] = _raw_hex(item)
    return valid


def _raw_hex(text: str) -> str | None:
    """Return the bytes of text of the system; None of text that never was bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").hex()
    except UnicodeEncodeError:
        return None

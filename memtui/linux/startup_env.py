"""What we were started with: Python changes the environment before the first line of ours runs."""

from __future__ import annotations

import codecs
import locale
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_LOCALE = ("", "C", "POSIX")


def environment() -> Mapping[str, str]:
    """Return the environment of our start; in a C locale Python sets an LC_CTYPE of its own (PEP 538)."""
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return os.environ
    pairs = (item.partition(b"=") for item in raw.split(b"\0") if item)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def shows_utf8(given: Mapping[str, str] | None = None) -> bool:
    """Whether the locale we were started in is one of UTF-8 (locale(7): LC_ALL, then LC_CTYPE, then LANG)."""
    given = environment() if given is None else given
    name = next((given[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if given.get(key)), "")
    if name in _NO_LOCALE:
        return False
    codeset = name.partition("@")[0].partition(".")[2] or (name if name.upper() == "UTF-8" else "")
    try:
        # The name counts even where the locale is not installed here: it tells of the terminal.
        return codecs.lookup(codeset or locale.nl_langinfo(locale.CODESET)).name == "utf-8"
    except LookupError:
        return False

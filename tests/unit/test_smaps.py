"""Smaps is cut into records however its text arrives, and whether or not the kernel writes VmFlags."""

from __future__ import annotations

import pytest

from memtui.linux.procfs import SmapsReader

_FIRST = """55d0c0de0000-55d0c0de4000 r--p 00000000 08:01 17                         /tmp/VmFlags: rd
Size:                 16 kB
Rss:                  12 kB
Swap:                  0 kB
VmFlags: rd mr mw me
"""
_SECOND = """7f0000000000-7f0000200000 rw-s 00000000 00:0f 18                         /memfd:pool (deleted)
Size:               2048 kB
Rss:                   0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:    2048 kB
Swap:                  0 kB
VmFlags: rd wr sh mr mw me ms ht
"""
_THIRD = """ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Size:                  4 kB
Rss:                   4 kB
Swap:                  8 kB
VmFlags: ex
"""
STARTS = [0x55D0C0DE0000, 0x7F0000000000, 0xFFFFFFFFFF600000]


def without_flags(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("VmFlags"))


@pytest.mark.parametrize("step", [1, 7, 64, 100_000])
@pytest.mark.parametrize("has_flags", [True, False])
def test_each_record_is_one_vma(step: int, has_flags: bool) -> None:
    text = _FIRST + _SECOND + _THIRD
    raw = (text if has_flags else without_flags(text)).encode("ascii")
    reader = SmapsReader()
    for at in range(0, len(raw), step):
        reader.take(raw[at : at + step])
    reader.end()
    found = reader.details
    assert list(found) == STARTS
    assert [row.size_bytes for row in found.values()] == [16 << 10, 2 << 20, 4 << 10]
    assert [row.rss_bytes for row in found.values()] == [12 << 10, 0, 4 << 10]
    assert [row.swap_bytes for row in found.values()] == [0, 0, 8 << 10]
    assert [row.hugetlb_bytes for row in found.values()] == [0, 2 << 20, 0]
    flags = [row.flags for row in found.values()]
    if has_flags:
        assert flags == [("rd", "mr", "mw", "me"), ("rd", "wr", "sh", "mr", "mw", "me", "ms", "ht"), ("ex",)]
    else:
        assert flags == [None, None, None]


@pytest.mark.parametrize("has_flags", [True, False])
def test_a_single_record_is_one_vma(has_flags: bool) -> None:
    reader = SmapsReader()
    reader.take((_THIRD if has_flags else without_flags(_THIRD)).encode("ascii"))
    reader.end()
    assert [(start, row.rss_bytes) for start, row in reader.details.items()] == [(STARTS[2], 4 << 10)]


def test_what_is_cut_off_is_dropped() -> None:
    reader = SmapsReader()
    reader.take(without_flags(_FIRST + _SECOND).encode("ascii")[:-5])
    reader.end()
    assert list(reader.details) == STARTS[:1]


def test_nothing_is_no_vma() -> None:
    reader = SmapsReader()
    reader.end()
    assert not reader.details

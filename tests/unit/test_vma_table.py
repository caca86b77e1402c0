"""Which VMAs map shared memory, found without making an object of every line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.linux import vma_table
from memtui.linux.procfs import parse_maps
from memtui.linux.vma_table import MapTable
from memtui.model.vma import VmaKind

DEVICES = frozenset({"00:01", "00:1a"})
TAILS = [
    "rw-p 00000000 00:00 0 ",
    "rw-p 00000000 00:00 0                          [heap]",
    "rw-s 00000000 00:01 1030                       /memfd:x (deleted)",
    "rw-s 00000000 00:01 7                          /dev/zero (deleted)",
    "rw-s 00000000 00:1a 99                         /run/user/0/a file",
    "rw-s 00000000 00:01 3                          /SYSV00000000 (deleted)",
    "r--p 00001000 08:01 8                          /usr/lib/libc.so.6",
    "r--p 00001000 08:01 9                          /home/x/memfd:y/00:1a ",
    "rw-s 00000000 00:00 0                          [anon_shmem:name]",
    "r--p 00000000 00:00 0                          [vvar]",
]


@pytest.mark.parametrize("few_paths", [0, 1 << 30])
@given(chosen=st.lists(st.sampled_from(TAILS), max_size=30))
def test_shared_memory_is_found_as_the_lines_tell(few_paths: int, chosen: list[str]) -> None:
    lines = [
        f"{0x7F0000000000 + at * 0x2000:x}-{0x7F0000001000 + at * 0x2000:x} {tail}\n"
        for at, tail in enumerate(chosen)
    ]
    text = "".join(lines).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vma_table, "_FEW_PATHS", few_paths)
        found = MapTable(text, DEVICES).of_shared_memory()
    assert found == [at for at, vma in enumerate(parse_maps(text, DEVICES)) if vma.kind is VmaKind.SHMEM]

"""Kinds and identities of VMAs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES
from memtui.model.vma import AddressSpace, VmaKind, identity_of, kind_of
from memtui.render.vma import FLAG_WORDS
from tests.unit.make import BASE, details, row, vma

TMPFS = frozenset({"00:2a"})


@pytest.mark.parametrize(
    ("name", "device", "inode", "perms", "kind"),
    [
        ("", "00:00", 0, "rw-p", VmaKind.ANON),
        ("[heap]", "00:00", 0, "rw-p", VmaKind.HEAP),
        ("[stack]", "00:00", 0, "rw-p", VmaKind.STACK),
        ("[stack:1001]", "00:00", 0, "rw-p", VmaKind.STACK),
        ("[vdso]", "00:00", 0, "r-xp", VmaKind.VDSO),
        ("[vvar]", "00:00", 0, "r--p", VmaKind.VVAR),
        ("[vvar_vclock]", "00:00", 0, "r--p", VmaKind.VVAR),
        ("[vsyscall]", "00:00", 0, "--xp", VmaKind.VSYSCALL),
        ("[anon:arena [0]]", "00:00", 0, "rw-p", VmaKind.ANON),
        ("[anon_shmem:x]", "00:01", 7, "rw-s", VmaKind.SHMEM),
        ("[uprobes]", "00:00", 0, "--xp", VmaKind.OTHER),
        ("/usr/lib/libc.so.6", "08:01", 7, "r-xp", VmaKind.FILE),
        ("/usr/lib/gone (deleted)", "08:01", 7, "r-xp", VmaKind.FILE),
        ("/run/x", "00:2a", 7, "r--p", VmaKind.SHMEM),
        ("/memfd:a b (deleted)", "00:01", 7, "rw-s", VmaKind.SHMEM),
        ("/SYSV00000000 (deleted)", "00:01", 7, "rw-s", VmaKind.SHMEM),
        ("/dev/shm/x", "00:19", 7, "rw-s", VmaKind.SHMEM),
        ("/dev/zero (deleted)", "00:01", 7, "rw-s", VmaKind.SHMEM),
        ("/dev/zero", "00:05", 7, "rw-p", VmaKind.ANON),
        ("/anon_hugepage (deleted)", "00:0f", 7, "rw-p", VmaKind.HUGETLB),
        ("/dev/hugepages/x", "00:20", 7, "rw-s", VmaKind.HUGETLB),
        ("/dev/dri/card0", "00:05", 7, "rw-s", VmaKind.DEVICE),
        ("anon_inode:[perf_event]", "00:0e", 7, "rw-s", VmaKind.OTHER),
    ],
)
def test_kinds(name: str, device: str, inode: int, perms: str, kind: VmaKind) -> None:
    assert kind_of(name, device, inode, perms, TMPFS) is kind


@given(st.text(), st.text(), st.integers(0, 9), st.text(max_size=4))
def test_any_name_has_a_kind(name: str, device: str, inode: int, perms: str) -> None:
    assert kind_of(name, device, inode, perms, TMPFS) in VmaKind


def test_the_flags_tell_hugetlb_where_the_name_does_not() -> None:
    memfd = vma(VmaKind.SHMEM, name="/memfd:x (deleted)")
    assert row(memfd).kind is VmaKind.SHMEM
    assert row(memfd).flags is None
    assert row(memfd, more=details("rd wr ht")).kind is VmaKind.HUGETLB


file_parts = st.tuples(st.integers(0, 100), st.integers(1, 100), st.integers(0, 50), st.integers(1, 50))


@given(file_parts)
def test_a_part_of_a_file_mapping_has_its_identity(parts: tuple[int, int, int, int]) -> None:
    offset_pages, size_pages, cut_from, cut_size = parts
    whole = vma(VmaKind.FILE, size_pages * PAGE_BYTES, name="/x", inode=7, offset=offset_pages * PAGE_BYTES)
    part = vma(
        VmaKind.FILE,
        cut_size * PAGE_BYTES,
        start=whole.start + cut_from * PAGE_BYTES,
        name="/x",
        inode=7,
        offset=whole.offset + cut_from * PAGE_BYTES,
    )
    assert part.identity == whole.identity
    moved = vma(
        VmaKind.FILE, cut_size * PAGE_BYTES, part.start, name="/x", inode=7, offset=part.offset + PAGE_BYTES
    )
    assert moved.identity != whole.identity


def test_what_differs_has_another_identity() -> None:
    base = identity_of("/x", "r--p", "08:01", 7, 0, BASE)
    assert identity_of("/y", "r--p", "08:01", 7, 0, BASE) != base
    assert identity_of("/x", "rw-p", "08:01", 7, 0, BASE) != base
    assert identity_of("/x", "r--s", "08:01", 7, 0, BASE) != base
    assert identity_of("/x", "r--p", "08:02", 7, 0, BASE) != base
    assert identity_of("/x", "r--p", "08:01", 8, 0, BASE) != base
    assert identity_of("/x", "r--p", "08:01", 7, 4096, BASE) != base


@pytest.mark.parametrize("name", ["[heap]", "[stack]"])
def test_heap_and_stack_are_known_by_name_alone(name: str) -> None:
    assert vma(name=name, start=BASE).identity == vma(name=name, start=BASE - 4096, perms="r--p").identity


def test_anonymous_memory_is_known_by_what_it_may() -> None:
    assert vma(start=BASE).identity == vma(start=BASE + 4096).identity
    assert vma(perms="rw-p").identity != vma(perms="r--p").identity


def test_shared_is_the_fourth_letter() -> None:
    assert vma(perms="rw-s").is_shared
    assert not vma(perms="rw-p").is_shared
    assert not vma(perms="").is_shared


def test_flag_words_are_for_two_letters() -> None:
    assert all(len(flag) == 2 and words for flag, words in FLAG_WORDS.items())


def test_a_row_of_an_address_space_has_all_that_is_known() -> None:
    first, second = vma(start=BASE), vma(start=BASE + (2 << 20))
    more = details(rss=4096)
    space = AddressSpace(
        ProcessId(1, 2, "boot"), (first, second), [4096, 0], None, {first.start: more}, {second.start: "cold"}
    )
    assert space.rows() == [row(first, 4096, None, more), row(second, 0, None, None, "cold")]
    assert len(space) == 2

"""Kinds and identities of VMAs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES
from memtui.model.vma import AddressSpace, Kind, identity_of, kind_of
from memtui.render.vma import FLAG_WORDS
from tests.unit.make import BASE, details, row, vma

TMPFS = frozenset({"00:2a"})


@pytest.mark.parametrize(
    ("name", "device", "inode", "perms", "kind"),
    [
        ("", "00:00", 0, "rw-p", Kind.ANON),
        ("[heap]", "00:00", 0, "rw-p", Kind.HEAP),
        ("[stack]", "00:00", 0, "rw-p", Kind.STACK),
        ("[stack:1001]", "00:00", 0, "rw-p", Kind.STACK),
        ("[vdso]", "00:00", 0, "r-xp", Kind.VDSO),
        ("[vvar]", "00:00", 0, "r--p", Kind.VVAR),
        ("[vvar_vclock]", "00:00", 0, "r--p", Kind.VVAR),
        ("[vsyscall]", "00:00", 0, "--xp", Kind.VSYSCALL),
        ("[anon:arena [0]]", "00:00", 0, "rw-p", Kind.ANON),
        ("[anon_shmem:x]", "00:01", 7, "rw-s", Kind.SHMEM),
        ("[uprobes]", "00:00", 0, "--xp", Kind.OTHER),
        ("/usr/lib/libc.so.6", "08:01", 7, "r-xp", Kind.FILE),
        ("/usr/lib/gone (deleted)", "08:01", 7, "r-xp", Kind.FILE),
        ("/run/x", "00:2a", 7, "r--p", Kind.SHMEM),
        ("/memfd:a b (deleted)", "00:01", 7, "rw-s", Kind.SHMEM),
        ("/SYSV00000000 (deleted)", "00:01", 7, "rw-s", Kind.SHMEM),
        ("/dev/shm/x", "00:19", 7, "rw-s", Kind.SHMEM),
        ("/dev/zero (deleted)", "00:01", 7, "rw-s", Kind.SHMEM),
        ("/dev/zero", "00:05", 7, "rw-p", Kind.ANON),
        ("/anon_hugepage (deleted)", "00:0f", 7, "rw-p", Kind.HUGETLB),
        ("/dev/hugepages/x", "00:20", 7, "rw-s", Kind.HUGETLB),
        ("/dev/dri/card0", "00:05", 7, "rw-s", Kind.DEVICE),
        ("anon_inode:[perf_event]", "00:0e", 7, "rw-s", Kind.OTHER),
    ],
)
def test_kinds(name: str, device: str, inode: int, perms: str, kind: Kind) -> None:
    assert kind_of(name, device, inode, perms, TMPFS) is kind


@given(st.text(), st.text(), st.integers(0, 9), st.text(max_size=4))
def test_any_name_has_a_kind(name: str, device: str, inode: int, perms: str) -> None:
    assert kind_of(name, device, inode, perms, TMPFS) in Kind


def test_the_flags_tell_hugetlb_where_the_name_does_not() -> None:
    memfd = vma(Kind.SHMEM, name="/memfd:x (deleted)")
    assert row(memfd).kind is Kind.SHMEM
    assert row(memfd).flags is None
    assert row(memfd, more=details("rd wr ht")).kind is Kind.HUGETLB


file_parts = st.tuples(st.integers(0, 100), st.integers(1, 100), st.integers(0, 50), st.integers(1, 50))


@given(file_parts)
def test_a_part_of_a_file_mapping_has_its_identity(parts: tuple[int, int, int, int]) -> None:
    offset_pages, size_pages, cut_from, cut_size = parts
    whole = vma(Kind.FILE, size_pages * PAGE_BYTES, name="/x", inode=7, offset=offset_pages * PAGE_BYTES)
    part = vma(
        Kind.FILE,
        cut_size * PAGE_BYTES,
        start=whole.start + cut_from * PAGE_BYTES,
        name="/x",
        inode=7,
        offset=whole.offset + cut_from * PAGE_BYTES,
    )
    assert part.identity == whole.identity
    moved = vma(
        Kind.FILE, cut_size * PAGE_BYTES, part.start, name="/x", inode=7, offset=part.offset + PAGE_BYTES
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

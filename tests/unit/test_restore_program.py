"""What tells one program of a process from the next."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.linux.exec_identity import Program, program_of, random_address, random_at
from memtui.linux.proc_mem import MemoryFile

parts = st.none() | st.sampled_from(["1 2 3", "4 5 6"])
programs = st.builds(Program, parts, st.none() | st.sampled_from(["ab", "cd"]))


@given(programs)
def test_a_record_of_it_is_read_as_it_was(program: Program) -> None:
    assert Program.of_text(program.text) == program


@given(programs, programs)
def test_unknown_is_neither_the_same_nor_another(then: Program, now: Program) -> None:
    assert not then.is_another(then)
    assert not Program(None, None).is_another(now)
    assert not then.is_another(Program(None, None))
    assert then.is_another(now) == now.is_another(then)
    if not then.is_another(now) and then.is_all_in(now):
        assert (then.places or now.places, then.random or now.random) == (now.places, now.random)
    if then.random:
        assert not then.is_all_in(Program(now.places, None))


@pytest.mark.parametrize("text", ["", "?", "?/?", "1 0 0", "1 0 0/?"])
def test_what_the_kernel_hides_is_unknown(text: str) -> None:
    assert Program.of_text(text) == Program(None, None)


def test_bytes_that_were_wiped_out_tell_nothing_and_others_are_not_shown() -> None:
    class Wiped(MemoryFile):
        def __init__(self, data: bytes | None) -> None:
            self._data = data

        def read(self, address: int, count: int) -> bytes | None:
            return self._data

    assert random_at(Wiped(bytes(16)), 1) is None
    assert random_at(Wiped(None), 1) is None
    shown = random_at(Wiped(b"\x01" * 16), 1)
    assert shown
    assert "01" * 4 not in shown


def test_of_ourselves_all_is_seen() -> None:
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        program = program_of(os.getpid(), fd)
    finally:
        os.close(fd)
    assert program.places
    assert program.random
    assert random_address(os.getpid())
    assert program_of(os.getpid(), None).random is None, "nothing is read that might be out"

"""The record of moved pages: what is written is read, and the folder does not grow for ever."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import pages_file
from memtui.advise.pages_file import MovedPages, PageRecords, Stretch
from memtui.linux import machine
from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES, Range, normalise
from memtui.model.vma import Kind, VmaIdentity

names = st.text(st.characters(codec=None), max_size=20)
identities = st.builds(
    VmaIdentity,
    names,
    st.just("rw-p"),
    st.just("00:00"),
    st.integers(0, 1 << 63),
    st.none() | st.integers(-(1 << 47), 1 << 47),
)
ranges = st.builds(
    lambda start, length: Range(start * PAGE_BYTES, (start + length) * PAGE_BYTES),
    st.integers(0, 1 << 35),
    st.integers(1, 1 << 20),
)
records = st.builds(
    MovedPages,
    st.builds(ProcessId, st.integers(1, 1 << 22), st.integers(0, 1 << 40), names),
    names,
    st.lists(st.builds(Stretch, ranges, identities, st.sampled_from(Kind)), max_size=4).map(tuple),
    st.lists(ranges, min_size=1, max_size=20).map(normalise),
)


def record(boot_id: str = "", pages: int = 1) -> MovedPages:
    process = ProcessId(1, 2, boot_id or machine.boot_id())
    runs = normalise(Range(2 * n * PAGE_BYTES, (2 * n + 1) * PAGE_BYTES) for n in range(1, pages + 1))
    return MovedPages(process, "", (), runs)


@given(records)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, moved: MovedPages) -> None:
    kept = PageRecords(tmp_path_factory.mktemp("pages"))
    kept.write("20260101T000000-abcd.1", moved)
    assert kept.read("20260101T000000-abcd.1") == moved


@given(st.binary(max_size=200))
def test_rubbish_is_no_record(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    folder = tmp_path_factory.mktemp("pages")
    for data in (rubbish, b"{}\n" + rubbish, b'{"format":1,"page_bytes":4096}\n' + zlib.compress(rubbish)):
        (folder / "a.pages").write_bytes(data)
        assert PageRecords(folder).read("a") is None


@pytest.mark.parametrize("report_id", ["", "../a", "a/b", "a\0", "\udcff", "no-such.1"])
def test_what_is_no_id_has_no_record(tmp_path: Path, report_id: str) -> None:
    assert PageRecords(tmp_path).read(report_id) is None


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    PageRecords(tmp_path / "state" / "pages").write("a", record())
    assert stat.S_IMODE((tmp_path / "state/pages/a.pages").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state/pages").stat().st_mode) == 0o700


def test_it_is_compact(tmp_path: Path) -> None:
    """Every second page of 1 GiB: the most runs that there can be."""
    PageRecords(tmp_path).write("a", record(pages=131_072))
    assert (tmp_path / "a.pages").stat().st_size < 32 << 10


def test_records_of_other_boots_go(tmp_path: Path) -> None:
    PageRecords(tmp_path).write("old", record("another boot"))
    (tmp_path / "rubbish.pages").write_bytes(b"x")
    (tmp_path / "not ours").write_bytes(b"x")
    PageRecords(tmp_path).write("new", record())
    assert sorted(os.listdir(tmp_path)) == ["new.pages", "not ours"]


def test_the_oldest_go_beyond_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = PageRecords(tmp_path)
    monkeypatch.setattr(pages_file, "MOST_FILES", 3)
    for number in range(5):
        kept.write(str(number), record())
        os.utime(tmp_path / f"{number}.pages", (number, number))
    kept.write("5", record())
    assert sorted(os.listdir(tmp_path)) == ["3.pages", "4.pages", "5.pages"]
    monkeypatch.setattr(pages_file, "MOST_BYTES", 1)
    kept.write("6", record())
    assert os.listdir(tmp_path) == ["6.pages"], "the newest stays, whatever its size"


def test_a_half_written_one_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        PageRecords(tmp_path).write("a", record())
    assert os.listdir(tmp_path) == []

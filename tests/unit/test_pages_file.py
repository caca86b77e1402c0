"""The record of moved pages: what is written is read, and the folder does not grow for ever."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import pages_file
from memtui.advise.ledger import Ledger
from memtui.advise.pages_file import PageRecords
from memtui.advise.pages_format import MovedPages, Stretch, encode_frame, encode_header, with_pages
from memtui.linux import sysinfo
from memtui.linux.procfs import read_stat
from memtui.model.errors import MemtuiError
from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES, Range, normalise, subtract
from memtui.model.reasons import Reason
from memtui.model.vma import VmaIdentity, VmaKind

if TYPE_CHECKING:
    from collections.abc import Sequence

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
processes = st.builds(ProcessId, st.integers(1, 1 << 22), st.integers(0, 1 << 40), names)
stretches = st.lists(
    st.builds(Stretch, ranges, identities, st.sampled_from(VmaKind)),
    max_size=4,
    unique_by=lambda item: item.range.start,
)
holds = st.lists(st.tuples(stretches, st.lists(ranges, max_size=20).map(normalise)), max_size=4)
OLD = b'{"format":1,"page_bytes":4096,"process":[1,2,"b"],"program":"x/y","stretches":[]}\n'


def moved_of(
    process: ProcessId, program: str, frames: Sequence[tuple[list[Stretch], tuple[Range, ...]]]
) -> MovedPages:
    """Return what a reader must find of some holds."""
    pages = normalise(part for _, moved in frames for part in moved)
    known = {item.range.start: item for parts, _ in frames for item in parts}
    return MovedPages(process, program, with_pages(tuple(known.values()), pages), pages, is_complete=False)


def keep(records: PageRecords, name: str, process: ProcessId, pages: int = 1) -> None:
    runs = normalise(Range(2 * n * PAGE_BYTES, (2 * n + 1) * PAGE_BYTES) for n in range(1, pages + 1))
    writer = records.begin(name, process, "")
    writer.append(encode_frame((), runs, is_end=True))
    writer.close()


def gone(boot_id: str = "") -> ProcessId:
    return ProcessId(1, 2, boot_id or sysinfo.boot_id())


def alive() -> ProcessId:
    return ProcessId(os.getpid(), read_stat(os.getpid()).start_time, sysinfo.boot_id())


@given(processes, names, holds)
def test_what_is_written_hold_by_hold_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    process: ProcessId,
    program: str,
    frames: list[tuple[list[Stretch], tuple[Range, ...]]],
) -> None:
    records = PageRecords(tmp_path_factory.mktemp("pages"))
    writer = records.begin("20260101T000000-abcd.1", process, program)
    for number, (parts, pages) in enumerate(frames, 1):
        writer.append(encode_frame(parts, pages))
        assert records.read("20260101T000000-abcd.1") == moved_of(process, program, frames[:number])
    writer.append(encode_frame((), (), is_end=True))
    writer.close()
    found = records.read("20260101T000000-abcd.1")
    assert found is not None
    assert found.is_complete
    assert found.pages == moved_of(process, program, frames).pages


@given(holds.filter(lambda frames: len(frames) > 1), st.data())
def test_a_record_that_is_cut_off_anywhere_has_all_whole_holds(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[tuple[list[Stretch], tuple[Range, ...]]],
    data: st.DataObject,
) -> None:
    """As a kill leaves it, or one that another program had spoilt."""
    folder = tmp_path_factory.mktemp("pages")
    header = encode_header(gone(), "x/y")
    parts = [encode_frame(*frame) for frame in frames]
    whole = header + b"".join(parts)
    ends = [len(header) + sum(map(len, parts[:count])) for count in range(len(parts) + 1)]
    at = data.draw(st.integers(len(header), len(whole) - 1))
    count = sum(end <= at for end in ends) - 1
    spoilt = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    for text in (whole[:at], spoilt):
        (folder / "a.pages").write_bytes(text)
        assert PageRecords(folder).read("a") == moved_of(gone(), "x/y", frames[:count])


@given(holds, st.lists(ranges, min_size=1, max_size=3), st.integers(0, 3))
def test_what_was_dropped_in_any_hold_is_not_there(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[tuple[list[Stretch], tuple[Range, ...]]],
    dropped: list[Range],
    when: int,
) -> None:
    records = PageRecords(tmp_path_factory.mktemp("pages"))
    writer = records.begin("a", gone(), "")
    for number, (parts, pages) in enumerate(frames):
        writer.append(encode_frame(parts, pages, dropped if number == when else ()))
    if when >= len(frames):
        writer.append(encode_frame((), (), dropped, is_end=True))
    writer.close()
    found = records.read("a")
    assert found is not None
    assert found.pages == subtract(moved_of(gone(), "", frames).pages, normalise(dropped))


def test_what_memtui_wrote_before_is_read_still(tmp_path: Path) -> None:
    """A record from before an upgrade: the process may live, and its pages be out."""
    packed = zlib.compress((3).to_bytes(8, "little") + (2).to_bytes(8, "little"))
    (tmp_path / "a.pages").write_bytes(OLD + packed)
    pages = (Range(3 * PAGE_BYTES, 5 * PAGE_BYTES),)
    assert PageRecords(tmp_path).read("a") == MovedPages(ProcessId(1, 2, "b"), "x/y", (), pages)
    (tmp_path / "a.pages").write_bytes(OLD + packed[:-3])
    assert PageRecords(tmp_path).read("a") is None


@given(st.binary(max_size=200))
def test_rubbish_is_no_record(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    folder = tmp_path_factory.mktemp("pages")
    for data in (rubbish, b"{}\n" + rubbish, b'{"format":2,"page_bytes":4096}\n' + zlib.compress(rubbish)):
        (folder / "a.pages").write_bytes(data)
        assert PageRecords(folder).read("a") is None
    (folder / "a.pages").write_bytes(encode_header(gone(), "") + rubbish)
    found = PageRecords(folder).read("a")
    assert found is not None
    assert (found.pages, found.is_complete) == ((), False)


@pytest.mark.parametrize("report_id", ["", "../a", "a/b", "a\0", "\udcff", "no-such.1"])
def test_what_is_no_id_has_no_record(tmp_path: Path, report_id: str) -> None:
    assert PageRecords(tmp_path).read(report_id) is None


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    keep(PageRecords(tmp_path / "state" / "pages"), "a", gone())
    assert stat.S_IMODE((tmp_path / "state/pages/a.pages").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state/pages").stat().st_mode) == 0o700


@pytest.mark.parametrize("where", ["state", "state/pages", "state/pages/a.pages"])
def test_what_others_may_write_is_neither_written_nor_believed(tmp_path: Path, where: str) -> None:
    records = PageRecords(tmp_path / "state" / "pages")
    keep(records, "a", gone())
    assert records.read("a") is not None
    mode = stat.S_IMODE((tmp_path / where).stat().st_mode)
    (tmp_path / where).chmod(mode | 0o020)
    with pytest.raises(MemtuiError, match="others may write it") as told:
        records.read("a")
    assert told.value.reason is Reason.PAGES_UNKNOWN
    if where != "state/pages/a.pages":
        with pytest.raises(OSError, match="others may write in it"):
            records.begin("b", gone(), "")


def test_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "pages").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="others may write in it"):
        PageRecords(tmp_path / "pages").begin("a", gone(), "")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_it_is_compact(tmp_path: Path) -> None:
    """Every second page of 1 GiB: the most runs that there can be."""
    keep(PageRecords(tmp_path), "a", gone(), pages=131_072)
    assert (tmp_path / "a.pages").stat().st_size < 32 << 10


def test_who_writes_one_is_known_of(tmp_path: Path) -> None:
    records, others = PageRecords(tmp_path), PageRecords(tmp_path)
    writer = records.begin("a", gone(), "")
    assert others.is_written("a")
    with pytest.raises(MemtuiError) as told, others.held_for_restore("a"):
        pytest.fail("it was begun")
    assert told.value.reason is Reason.ACTION_RUNS
    writer.close()
    assert not others.is_written("a")
    with others.held_for_restore("a"):
        assert records.is_held_for_restore("a")
        assert not records.is_written("a"), "who restores it does not write it"


def test_one_whose_writer_was_killed_is_free(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom memtui.advise.pages_file import PageRecords\n"
        "from memtui.model.process import ProcessId\n"
        "writer = PageRecords(Path(sys.argv[1])).begin('a', ProcessId(1, 2, 'b'), '')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    records = PageRecords(tmp_path)
    assert not records.is_written("a")
    found = records.read("a")
    assert found is not None
    assert (found.pages, found.is_complete) == ((), False)


def test_records_of_other_boots_go(tmp_path: Path) -> None:
    records = PageRecords(tmp_path)
    keep(records, "old", gone("another boot"))
    for name in ("rubbish.pages", "half.new", "not ours"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "begun.pages").write_bytes(b"")
    keep(records, "new", gone())
    assert records.sweep(sysinfo.boot_id()) is None
    assert sorted(os.listdir(tmp_path)) == ["begun.pages", "new.pages", "not ours"]


def test_the_oldest_go_beyond_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = PageRecords(tmp_path)
    monkeypatch.setattr(pages_file, "MOST_FILES", 3)
    for number in range(5):
        keep(kept, str(number), gone())
        os.utime(tmp_path / f"{number}.pages", (number, number))
    keep(kept, "5", gone())
    kept.sweep(sysinfo.boot_id())
    assert sorted(os.listdir(tmp_path)) == ["3.pages", "4.pages", "5.pages"]
    monkeypatch.setattr(pages_file, "MOST_BYTES", 1)
    keep(kept, "6", gone())
    kept.sweep(sysinfo.boot_id())
    assert os.listdir(tmp_path) == ["6.pages"], "the newest stays, whatever its size"


def test_one_of_a_process_that_lives_stays_beyond_every_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages may be out, and restore still offers them."""
    kept = PageRecords(tmp_path)
    monkeypatch.setattr(pages_file, "MOST_FILES", 1)
    monkeypatch.setattr(pages_file, "MOST_BYTES", 1)
    for number, process in enumerate((alive(), gone(), alive(), gone(), gone())):
        keep(kept, str(number), process)
        os.utime(tmp_path / f"{number}.pages", (number, number))
    kept.sweep(sysinfo.boot_id())
    assert sorted(os.listdir(tmp_path)) == ["0.pages", "2.pages", "4.pages"]


def test_records_go_with_their_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the oldest file of the ledger is dropped; one that is written just now stays."""
    monkeypatch.setattr("memtui.advise.ledger_files.MOST_BYTES", 1000)
    ledger = Ledger(tmp_path)
    names = [f"a-{number}.1" for number in range(40)]
    for name in names:
        ledger.write("start", {"id": name, "text": "x" * 150})
        keep(ledger.pages, name, alive())
    writer = ledger.pages.begin("running.1", alive(), "")
    assert ledger.sweep_pages(sysinfo.boot_id()) is None
    known = [event.text("id") for event in ledger.read()[0]]
    assert 0 < len(known) < len(names)
    assert sorted(os.listdir(tmp_path / "pages")) == sorted(f"{name}.pages" for name in [*known, "running.1"])
    writer.close()
    (tmp_path / "pages" / "stranger.pages").write_bytes(encode_header(alive(), ""))
    ledger.sweep_pages(sysinfo.boot_id())
    assert (tmp_path / "pages" / "stranger.pages").exists(), "nothing was dropped since"


def test_what_does_not_fit_leaves_what_was_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = PageRecords(tmp_path)
    writer = records.begin("a", gone(), "")
    writer.append(encode_frame((), (Range(PAGE_BYTES, 2 * PAGE_BYTES),)))
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
        with pytest.raises(OSError, match="No space left"):
            writer.append(encode_frame((), (Range(4 * PAGE_BYTES, 5 * PAGE_BYTES),)))
    writer.append(encode_frame((), (Range(7 * PAGE_BYTES, 8 * PAGE_BYTES),), is_end=True))
    found = records.read("a")
    assert found is not None
    assert found.pages == (
        Range(PAGE_BYTES, 2 * PAGE_BYTES),
        Range(7 * PAGE_BYTES, 8 * PAGE_BYTES),
    )


def test_one_that_cannot_be_begun_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        PageRecords(tmp_path).begin("a", gone(), "")
    assert os.listdir(tmp_path) == []


def test_old_records_that_cannot_be_removed_are_told_and_leave_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = PageRecords(tmp_path)
    keep(kept, "old", gone("another boot"))
    keep(kept, "new", gone())

    def fail(path: Path, *_: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", fail)
    told = kept.sweep(sysinfo.boot_id())
    assert told == f"Permission denied ({tmp_path / 'old.pages'})"
    assert kept.read("new") is not None


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    assert PageRecords(tmp_path / "none").sweep(sysinfo.boot_id()) is None


def test_a_frame_says_what_it_holds(tmp_path: Path) -> None:
    """The format, as another program would read it."""
    frame = encode_frame((), (Range(2 * PAGE_BYTES, 5 * PAGE_BYTES),), (Range(0, PAGE_BYTES),), is_end=True)
    length = int.from_bytes(frame[:4], "little")
    assert len(frame) == 8 + length
    assert int.from_bytes(frame[4:8], "little") == zlib.crc32(frame[8:])
    line, _, runs = zlib.decompress(frame[8:]).partition(b"\n")
    assert json.loads(line) == {"stretches": [], "dropped": [[0, PAGE_BYTES]], "end": True}
    assert runs == (2).to_bytes(8, "little") + (3).to_bytes(8, "little")

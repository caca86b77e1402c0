"""The files of the ledger: however often it is renamed, and by how many at once, no line is lost."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui.advise import ledger_files
from memtui.advise.ledger import Ledger, is_same_operator
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITER = """
import sys
from pathlib import Path
from memtui.advise import ledger_files
from memtui.advise.ledger import Ledger
ledger_files.MOST_BYTES = int(sys.argv[3])
ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read(1)
for n in range(int(sys.argv[4])):
    ledger.write("start", {"id": f"{sys.argv[2]}.{n}", "x": "y" * int(sys.argv[5])}, to_disk=n == 0)
    print(n, flush=True)
"""


@contextmanager
def writers(
    folder: Path, count: int, most: int, lines: int, length: int
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that write the same ledger, all ready to begin."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), chr(97 + number), *map(str, (most, lines, length))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        yield started
    finally:
        for each in started:
            each.kill()
            each.wait()
            for pipe in (each.stdin, each.stdout):
                assert pipe is not None
                pipe.close()


def go(started: list[subprocess.Popen[str]]) -> None:
    for each in started:
        assert each.stdin is not None
        each.stdin.write("!")
        each.stdin.flush()


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.glob("ledger.jsonl*")}


@settings(max_examples=4, deadline=None)
@given(
    count=st.integers(2, 4),
    most=st.integers(20_000, 60_000),
    length=st.integers(10, 900),
)
def test_several_writers_lose_nothing_while_it_is_renamed(
    tmp_path_factory: pytest.TempPathFactory, count: int, most: int, length: int
) -> None:
    """They write more than one file holds, and no more than all that are kept hold."""
    folder = tmp_path_factory.mktemp("ledger")
    lines = int(3.5 * most) // (count * (length + 60))
    with writers(folder, count, most, lines, length) as started:
        go(started)
        assert [each.wait(120) for each in started] == [0] * count
    found, torn = Ledger(folder).read()
    assert torn == 0
    wanted = [f"{chr(97 + number)}.{n}" for number in range(count) for n in range(lines)]
    assert sorted(event.text("id") for event in found) == sorted(wanted), "each once"
    for number in range(count):
        mine = [event.text("id") for event in found if event.text("id").startswith(chr(97 + number))]
        assert mine == [f"{chr(97 + number)}.{n}" for n in range(lines)], "in the order in which each wrote"
    assert len(sizes(folder)) >= 3
    assert max(sizes(folder).values()) <= most


def test_a_kill_in_the_middle_of_it_loses_nothing_that_was_told(tmp_path: Path) -> None:
    told: set[str] = set()
    most, lines = 30_000, 400
    for run in range(6):
        with writers(tmp_path, 2, most, lines, 40) as started:
            go(started)
            first = started[0]
            assert first.stdout is not None
            for _ in range(40 + 25 * run):
                line = first.stdout.readline()
                told.add(f"a.{int(line)}")
            first.send_signal(signal.SIGKILL)
            assert started[1].wait(120) == 0
        # Otherwise the oldest would be dropped, as it should.
        found = {event.text("id") for event in Ledger(tmp_path).read()[0]}
        assert told <= found
        assert {f"b.{n}" for n in range(lines)} <= found
        for path in tmp_path.glob("ledger.jsonl*"):
            path.unlink()
        told.clear()


def test_four_older_ones_are_kept_and_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_files, "MOST_BYTES", 1000)
    ledger = Ledger(tmp_path)
    for number in range(100):
        ledger.write("start", {"id": f"{number}.1", "action_id": str(number), "text": "x" * 100})
    assert sorted(sizes(tmp_path)) == ["ledger.jsonl", *(f"ledger.jsonl.{n}" for n in (1, 2, 3, 4))]
    assert all(800 < size <= 1000 for name, size in sizes(tmp_path).items() if name != "ledger.jsonl")
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
    found = [event.text("id") for event in ledger.read()[0]]
    assert found == [f"{number}.1" for number in range(100 - len(found), 100)]
    assert [item.start.text("id") for item in ledger.stream()] == found
    oldest = ledger.find(found[0])
    assert [item.start.text("id") for item in oldest] == [found[0]]
    assert ledger.find("0.1") == []
    part = ledger.tail(len(found) - 2)
    assert (len(part.events), part.is_whole) == (len(found) - 2, False)


def test_a_gap_among_the_names_is_filled_and_nothing_dropped_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill between two renames leaves it."""
    monkeypatch.setattr(ledger_files, "MOST_BYTES", 300)
    ledger = Ledger(tmp_path)
    for number in range(20):
        ledger.write("start", {"id": f"{number}.1", "text": "x" * 100})
    (tmp_path / "ledger.jsonl.2").rename(tmp_path / "gone")
    left = [event.text("id") for event in ledger.read()[0]]
    while (tmp_path / "ledger.jsonl.1").stat().st_size and not (tmp_path / "ledger.jsonl.2").exists():
        ledger.write("start", {"id": "more.1", "text": "x" * 100})
    found = [event.text("id") for event in ledger.read()[0]]
    assert [item for item in found if item != "more.1"] == left


def test_who_stands_still_with_the_lock_holds_up_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_files, "_LOCK_WAIT_S", 0.05)
    monkeypatch.setattr(ledger_files, "MOST_BYTES", 100)
    ledger = Ledger(tmp_path)
    ledger.write("start", {"id": "a"})
    with ledger.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for number in range(5):
            ledger.write("start", {"id": str(number), "text": "x" * 50})
    assert [event.text("id") for event in ledger.read()[0]] == ["a", *map(str, range(5))]
    assert list(sizes(tmp_path)) == ["ledger.jsonl"], "without the lock nothing is renamed"
    ledger.write("start", {"id": "b"})
    assert len(sizes(tmp_path)) == 2


def test_one_that_is_renamed_while_it_is_read_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("start", {"id": "a"})
    real = os.open

    def open_and_rename(path: object, *arguments: int) -> int:
        fd = real(path, *arguments)  # type: ignore[arg-type]
        if path == ledger.path:
            monkeypatch.setattr(os, "open", real)
            os.replace(ledger.path, tmp_path / "ledger.jsonl.1")
            ledger.write("done", {"id": "a"})
        return fd

    monkeypatch.setattr(os, "open", open_and_rename)
    assert [event.kind for event in ledger.read()[0]] == ["start"], "what came later was not there yet"
    assert [event.kind for event in ledger.read()[0]] == ["start", "done"]


def test_what_is_new_is_told_once_also_behind_a_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("start", {"id": "before"})
    news = ledger.follow()
    assert news() == []
    monkeypatch.setattr(ledger_files, "MOST_BYTES", 200)
    wanted = [f"{number}.1" for number in range(9)]
    told: list[str] = []
    for at, name in enumerate(wanted):
        ledger.write("start", {"id": name, "text": "x" * 60})
        if at % 3 == 2:
            told += [event.text("id") for event in news()]
    assert told == wanted
    assert news() == []
    assert len(sizes(tmp_path)) > 2


def test_a_line_that_is_half_written_is_told_once_it_is_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    news = ledger.follow()
    line = json.dumps({"event": "restored", "id": "a"}).encode() + b"\n"
    with ledger.path.open("wb", buffering=0) as file:
        file.write(line + line[:7])
        assert [event.text("id") for event in news()] == ["a"]
        file.write(line[7:])
        assert [event.text("id") for event in news()] == ["a"]
    assert news() == []


@pytest.mark.parametrize("where", ["state", "state/ledger.jsonl"])
def test_what_others_may_write_is_not_written(tmp_path: Path, where: str) -> None:
    ledger = Ledger(tmp_path / "state")
    ledger.write("start", {"id": "a"})
    (tmp_path / where).chmod(0o772 if where == "state" else 0o620)
    with pytest.raises(MemtuiError, match="others may write in it") as told:
        ledger.write("start", {"id": "b"})
    assert told.value.reason is Reason.LEDGER_UNWRITABLE
    assert [event.text("id") for event in ledger.read()[0]] == ["a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_not_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    ledger.write("start", {"id": "a"})
    os.chown(tmp_path / "state", 65534, 65534)
    with pytest.raises(MemtuiError, match="another user's"):
        ledger.write("start", {"id": "b"})


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MemtuiError, match="another user's, or others may write in it"):
        Ledger(tmp_path / "state").write("start", {"id": "a"})
    assert os.listdir(tmp_path / "elsewhere") == []


US = {"uid": 0, "login_uid": None, "audit_session": None, "sudo_user": "ada", "tty": "/dev/pts/1"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"tty": "/dev/pts/2"}, False),
        ({"sudo_user": "bob"}, False),
        ({"uid": 1000}, False),
        ({"audit_session": 7}, True),
    ],
)
def test_an_operator_is_known_by_user_and_terminal_where_there_is_no_audit_session(
    other: dict[str, object], same: bool
) -> None:
    assert is_same_operator(US, {**US, **other}) is same


def test_an_audit_session_goes_before_the_terminal() -> None:
    """A terminal is another's once its login has ended; one login may have several."""
    first = {**US, "audit_session": 7}
    assert is_same_operator(first, {**first, "tty": "/dev/pts/9"})
    assert not is_same_operator(first, {**first, "audit_session": 8})


def test_without_a_terminal_nobody_is_the_same() -> None:
    nobody = {**US, "tty": None}
    assert not is_same_operator(nobody, nobody)

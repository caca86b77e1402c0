"""The ledger: an event log that survives torn lines, several writers and hostile names."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.advise import ledger as ledger_module
from memtui.advise.ledger import Action, Ledger, actions, new_action_id, operator
from memtui.cli import main
from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

names = st.text(st.characters(codec=None), max_size=20)
"""Any text, lone surrogates too: a process may be called anything."""


def ledger_of(folder: Path) -> Ledger:
    return Ledger(folder / "state")


@given(st.lists(st.tuples(st.sampled_from(["start", "done"]), names), max_size=6))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str]]
) -> None:
    ledger = ledger_of(tmp_path_factory.mktemp("ledger"))
    for number, (kind, name) in enumerate(events):
        ledger.write(kind, {"id": str(number), "target": {"name": name}}, to_disk=number == 0)
    found, torn = ledger.read()
    assert torn == 0
    shown = [(kind, re.sub("[\ud800-\udfff]", "\ufffd", name)) for kind, name in events]
    assert [(event.kind, event.mapping("target")["name"]) for event in found] == shown


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ledger_of(tmp_path).write("start", {"id": "a"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state/ledger.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_no_ledger_yet_is_an_empty_one(tmp_path: Path) -> None:
    assert ledger_of(tmp_path).read() == ([], 0)


@given(st.binary(max_size=60))
def test_a_torn_line_costs_itself_only(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    ledger = ledger_of(tmp_path_factory.mktemp("ledger"))
    ledger.write("start", {"id": "a"})
    with ledger.path.open("ab") as file:
        file.write(rubbish)
    ledger.write("done", {"id": "a"})
    found, torn = ledger.read()
    assert [event.kind for event in found] == ["start", "done"]
    assert torn == len([line for line in rubbish.split(b"\n") if line])


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"[]",
            b"1",
            b"null",
            b'{"event": 1, "id": "a"}',
            b'{"event": "start"}',
            b'{"event": "start", "id": 1}',
        ),
        *(b"[" * 100_000, b"\xff\xfe", b"\0" * 64, b'{"event":"start","id":"a"'),
    ],
)
def test_a_line_of_another_shape_is_skipped(tmp_path: Path, line: bytes) -> None:
    ledger = ledger_of(tmp_path)
    ledger.write("start", {"id": "a"})
    with ledger.path.open("ab") as file:
        file.write(line + b"\n")
    found, torn = ledger.read()
    assert len(found) == 1
    assert torn == 1


def test_fields_of_another_type_are_unknown(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    ledger.write("start", {"id": "a", "time": 1, "moved_bytes": True, "requested_bytes": "x", "target": []})
    ((event,), _) = ledger.read()
    assert event.text("time") == ""
    assert event.number("moved_bytes") is None
    assert event.number("requested_bytes") is None
    assert event.mapping("target") == {}


def test_a_start_without_an_end_is_one_action(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    for kind, key in (("start", "a"), ("start", "b"), ("done", "a"), ("later", "b"), ("done", "c")):
        ledger.write(kind, {"id": key})
    found = list(actions(ledger.read()[0]))
    assert [(item.start.text("id"), item.done is not None) for item in found] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]


events_of_some = st.lists(
    st.tuples(
        st.sampled_from(["start", "done", "back", "restored"]), st.sampled_from("abcd"), st.integers(0, 600)
    ),
    max_size=30,
)


def shown(found: Iterable[Action]) -> list[tuple[str, bool, int, int | None]]:
    return [
        (item.start.text("id"), item.done is not None, len(item.back), item.restored_bytes) for item in found
    ]


@given(events_of_some, st.integers(1, 5), st.integers(1, 400))
def test_read_from_the_end_or_in_a_stream_it_is_the_same_ledger(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[str, str, int]],
    last: int,
    block: int,
) -> None:
    """However the blocks cut the lines."""
    ledger = ledger_of(tmp_path_factory.mktemp("ledger"))
    for kind, key, length in events:
        ledger.write(kind, {"id": key, "restored_bytes": length, "text": "x" * length})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "_BLOCK_BYTES", block)
        whole = ledger.tail(None)
        part = ledger.tail(last)
        streamed = list(ledger.stream())
        found = ledger.find("a")
    assert whole.is_whole
    assert [(event.kind, event.text("id")) for event in whole.events] == [event[:2] for event in events]
    assert part.events == whole.events[len(whole.events) - len(part.events) :]
    starts = [event for event in whole.events if event.kind == "start"]
    assert len([event for event in part.events if event.kind == "start"]) == min(last, len(starts))
    if not part.is_whole:
        assert part.events[0].kind == "start"
    known = {event.text("id") for event in starts}
    # Of an id without a start the ways may differ in the order: it was torn off.
    assert sorted(item for item in shown(streamed) if item[0] in known) == sorted(
        item for item in shown(actions(whole.events)) if item[0] in known
    )
    if [event[1] for event in events if event[0] == "start"].count("a") == 1 and events[0][:2] == (
        "start",
        "a",
    ):
        assert shown(found) == [item for item in shown(actions(whole.events)) if item[0] == "a"]


@pytest.mark.parametrize("how", [[], ["--all"]])
def test_a_line_that_cannot_be_read_is_told_of_however_the_ledger_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("start", {"id": "a.1", "action_id": "a"})
    with ledger.path.open("ab") as file:
        # One has no id, the other an id and no end.
        file.write(b'{"event":"start"\n{"event":"done","id":"a.1","moved\n')
    ledger.write("start", {"id": "b.1", "action_id": "b"})
    assert main(["--state-dir", str(tmp_path), "history", "--json", *how]) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == ["a.1", "b.1"]
    assert said.err == "memtui: 2 lines of the ledger could not be read and were skipped\n"


def test_an_action_is_found_by_its_id_and_by_that_of_one_of_its_targets(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    for key in ("x-1.1", "x-1.2", "x-11.1", "x-1.10"):
        ledger.write("start", {"id": key, "action_id": key.partition(".")[0]})
        ledger.write("done", {"id": key})
    assert [item.start.text("id") for item in ledger.find("x-1")] == ["x-1.1", "x-1.2", "x-1.10"]
    assert [item.start.text("id") for item in ledger.find("x-1.1")] == ["x-1.1"]
    assert ledger.find("x-2") == ledger.find("") == ledger.find("\udcff") == []


def test_of_a_million_lines_only_the_end_is_read(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    ledger.write("start", {"id": "first"})
    filler = json.dumps({"text": "x" * 40})[1:]
    with ledger.path.open("a") as file:
        for block in range(100):
            file.writelines(
                f'{{"event":"{kind}","id":"{block}-{number}.1",{filler}\n'
                for number in range(5000)
                for kind in ("start", "done")
            )
    part = ledger.tail(1000)
    assert not part.is_whole
    assert len(list(actions(part.events, is_whole=False))) == 1000
    assert ledger.path.stat().st_size > 80 << 20
    assert ledger.read_bytes < 2 << 20
    ledger.read_bytes = 0
    assert len(ledger.find("99-4999")) == 1
    assert ledger.read_bytes < 2 << 20
    stream = ledger.stream()
    assert next(stream).start.text("id") == "first"
    ledger.path.unlink()


def test_no_event_that_was_on_disk_is_lost_by_a_kill(tmp_path: Path) -> None:
    """A writer is killed again and again: each event that it had told of is there, and the next are too."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom memtui.advise.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for n in range(100_000):\n"
        "    ledger.write('start', {'id': f'{sys.argv[2]}.{n}', 'x': 'y' * 3000}, to_disk=n % 16 == 0)\n"
        "    print(n, flush=True)\n"
    )
    told: set[str] = set()
    for run in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(run)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(20 + 7 * run):
            told.add(f"{run}.{int(writer.stdout.readline())}")
        writer.kill()
        told.update(f"{run}.{int(line)}" for line in writer.stdout if line.endswith("\n"))
        writer.wait()
        writer.stdout.close()
        with (tmp_path / "ledger.jsonl").open("ab") as file:
            # A write that a kill cut off: no kernel promises that it cannot be.
            file.write(b'{"event":"start","id":"torn')
    found, torn = Ledger(tmp_path).read()
    assert told <= {event.text("id") for event in found}
    assert torn == 8


def test_two_writers_do_not_mix_their_lines(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom memtui.advise.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "sys.stdin.read(1)\n"
        "for n in range(300):\n    ledger.write('start', {'id': f'{sys.argv[2]}.{n}', 'x': 'y' * 5000})\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], stdin=subprocess.PIPE)
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"!")
        writer.stdin.close()
    assert [writer.wait() for writer in writers] == [0, 0]
    found, torn = Ledger(tmp_path).read()
    assert torn == 0
    assert {event.text("id") for event in found} == {f"{name}.{n}" for name in "ab" for n in range(300)}
    lines = (tmp_path / "ledger.jsonl").read_bytes().splitlines()
    # One that saw the other's line half written began a new line: an empty one may stand between.
    assert all(json.loads(line) for line in lines if line)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    ledger = ledger_of(tmp_path)
    ledger.path.parent.mkdir()
    ledger.path.symlink_to(victim)
    with pytest.raises(MemtuiError) as told:
        ledger.write("start", {"id": "a"})
    assert told.value.reason is Reason.LEDGER_UNWRITABLE
    assert victim.read_text() == "as it was"


def test_what_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(MemtuiError, match="the ledger cannot be written"):
        ledger_of(tmp_path).write("start", {"id": "a"})
    with pytest.raises(MemtuiError, match="the ledger cannot be read"):
        ledger_of(tmp_path).read()


def test_the_operator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    found = operator()
    assert found["uid"] == os.getuid()
    assert found["sudo_user"] == "ada"
    assert found["ssh_connection"] == "192.0.2.1 1 192.0.2.2 22"
    assert found["login_uid"] is None or isinstance(found["login_uid"], int)


def test_an_id_is_never_given_twice() -> None:
    # More than 16 bits of numbers could tell apart, and hundreds of times what a second of actions takes.
    ids = [new_action_id() for _ in range(100_000)]
    assert len(set(ids)) == len(ids)


def test_two_processes_do_not_give_the_same_ids() -> None:
    advise_vector = (
        "from memtui.advise.ledger import new_action_id; print(*(new_action_id() for _ in range(1000)))"
    )
    given = [
        subprocess.run([sys.executable, "-c", advise_vector], capture_output=True, text=True, check=True)
        for _ in "ab"
    ]
    numbers = [{given_id.rpartition("-")[2] for given_id in done.stdout.split()} for done in given]
    assert [len(each) for each in numbers] == [1000, 1000]
    assert not numbers[0] & numbers[1]

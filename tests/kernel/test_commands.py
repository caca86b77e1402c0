"""The commands, as a script runs them: one line for an error, the right exit code, stable JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.toolkit import (
    MIB,
    NOBODY,
    PAGE,
    REPOSITORY,
    Child,
    as_user,
    at,
    command,
    harmless,
    memtui,
    one_line,
    rows,
    span,
    state_of,
    wait_until,
)

NO_PID = (1 << 22) + 1
HOSTILE = ["[/x]", "[red]", "\x1b]0;x\x07", "a\nb", "\u202eevil", "\x9b31m"]

TARGET_KEYS = {"pid", "start_time", "name"}
PS_KEYS = {
    *("schema", "pid", "start_time", "name", "user", "state"),
    *("rss_bytes", "swap_bytes", "anon_bytes", "file_bytes", "shmem_bytes", "hugetlb_bytes", "major_faults"),
    *("cgroup", "unit", "command"),
}
MAPS_KEYS = {
    *("schema", "start", "end", "size_bytes", "rss_bytes", "swap_bytes", "perms", "offset", "device"),
    *("inode", "name", "kind", "flags", "label", "verdict", "hugetlb_bytes"),
}
VERDICT_KEYS = {"will", "reason", "reason_text"}
PLAN_KEYS = {
    *("schema", "target", "advice", "freeze", "requested_bytes", "forecast_bytes", "ranges"),
    *("reason", "reason_text"),
}
PLAN_RANGE_KEYS = {"start", "end", "name", "requested_bytes", "forecast_bytes", "will", "reasons"}
WHY_KEYS = {"reason", "reason_text", "bytes"}
ADVISE_KEYS = PLAN_KEYS | {
    *("id", "action_id", "time", "advised_bytes", "moved_bytes", "calls", "holds"),
    *("elapsed_ms", "held_ms", "longest_held_ms", "bystanders", "outcome", "effect", "back"),
}
EFFECT_KEYS = {
    *("rss_delta_bytes", "swap_delta_bytes", "referenced_delta_bytes"),
    *("mem_free_delta_bytes", "oom_kills", "zswapped_delta_bytes", "swap_cached_delta_bytes"),
}
ADVISE_RANGE_KEYS = PLAN_RANGE_KEYS | {
    *("advised_bytes", "moved_bytes", "rss_before_bytes", "rss_after_bytes"),
    *("swap_before_bytes", "swap_after_bytes", "outcome", "errno", "reason", "reason_text"),
}
HISTORY_KEYS = {
    *("schema", "id", "action_id", "time", "operator", "target", "advice", "freeze"),
    *("requested_bytes", "forecast_bytes", "advised_bytes", "moved_bytes", "outcome", "back"),
    "restored_bytes",
}
DOCTOR_KEYS = {"schema", "check", "ok", "finding", "consequence", "remedy"}


def test_the_keys_of_json_are_those_of_the_design(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    ranges = ("--range", span(start, MIB + PAGE))
    for row in rows(memtui("ps", "--json", state_dir=tmp_path)):
        assert set(row) == PS_KEYS
    for row in rows(memtui("maps", child.pid, "--json", state_dir=tmp_path)):
        assert set(row) == MAPS_KEYS
        assert set(row["verdict"]) == {"cold", "pageout", "willneed", "collapse"}
        assert all(set(verdict) == VERDICT_KEYS for verdict in row["verdict"].values())
        assert int(row["start"], 16) + row["size_bytes"] == int(row["end"], 16)
    (plan,) = rows(memtui("plan", "cold", child.pid, *ranges, "--json", state_dir=tmp_path))
    assert set(plan) == PLAN_KEYS
    assert set(plan["target"]) == TARGET_KEYS
    assert all(set(item) == PLAN_RANGE_KEYS for item in plan["ranges"])
    assert {key for item in plan["ranges"] for why in item["reasons"] for key in why} == WHY_KEYS
    (report,) = rows(memtui("advise", "cold", child.pid, *ranges, "--json", state_dir=tmp_path))
    assert set(report) == ADVISE_KEYS
    assert set(report["target"]) == TARGET_KEYS
    assert set(report["effect"]) == EFFECT_KEYS
    assert len(report["ranges"]) == 2
    assert all(set(item) == ADVISE_RANGE_KEYS for item in report["ranges"])
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert set(entry) == HISTORY_KEYS
    operator = {"uid", "login_uid", "audit_session", "sudo_user", "tty", "ssh_connection"}
    assert set(entry["operator"]) == operator
    for row in rows(memtui("doctor", child.pid, "--json", state_dir=tmp_path)):
        assert set(row) == DOCTOR_KEYS
    schemas = {"plan": plan, "advise": report, "history": entry}
    assert {kind: row["schema"] for kind, row in schemas.items()} == {
        kind: f"memtui.{kind}/1" for kind in schemas
    }


def test_history_agrees_with_the_report(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    done = memtui("advise", "cold", child.pid, "--range", span(start, MIB), "--json", state_dir=tmp_path)
    (report,) = rows(done)
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    for key in HISTORY_KEYS - {"schema", "operator", "restored_bytes"}:
        assert entry[key] == report[key], key
    assert entry["restored_bytes"] is None
    assert entry["operator"]["uid"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["ps", "--sort", "nosuch"],
        ["ps", "rss>"],
        ["ps", "kind:heap"],
        ["ps", "--nosuch"],
        ["maps"],
        ["maps", "x"],
        ["maps", "0"],
        ["maps", "-1"],
        ["maps", "99999999999"],
        ["maps", "1", "user:root"],
        ["maps", "1", '"'],
        ["plan"],
        ["plan", "free", "1"],
        ["plan", "cold"],
        ["plan", "cold", "1", "--freeze", "ice"],
        ["plan", "cold", "1", "2", "--range", "1000-2000"],
        ["plan", "cold", "1", "--select", "kind:x"],
        ["plan", "cold", "1", "--select", "kind:heap", "--range", "1000-2000"],
        ["advise", "cold"],
        ["advise", "dontneed", "1"],
        ["advise", "cold", "1", "--hold-ms", "0"],
        ["advise", "cold", "1", "--hold-ms", "2000"],
        ["advise", "cold", "1", "--range", "1-2"],
        ["advise", "cold", "1", "--thorough"],
        ["history", "x"],
        ["doctor", "x"],
        ["demo", "x"],
        ["--interval", "0"],
        ["--pid", "x"],
        ["ps", "kind:\x1b]0;x\x07:\u202e[/x]"],
        ["nosuch\nnosuch"],
        [],
        ["demo"],
    ],
)
def test_wrong_usage_is_one_line_and_2(tmp_path: Path, arguments: list[str]) -> None:
    done = memtui(*arguments, state_dir=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    one_line(done)


def test_a_vanished_process(tmp_path: Path) -> None:
    for arguments in (["maps", NO_PID], ["plan", "cold", NO_PID], ["advise", "cold", NO_PID, NO_PID + 1]):
        done = memtui(*arguments, state_dir=tmp_path)
        assert done.returncode == 4
        assert done.stdout == ""
        for line in done.stderr.splitlines():
            assert line.startswith("memtui: process ")
            assert "no such process" in line


def test_a_process_of_another_user(child: Child, nobodys_dir: Path) -> None:
    for arguments in (["maps", child.pid], ["plan", "cold", child.pid], ["advise", "cold", child.pid]):
        done = memtui(*arguments, state_dir=nobodys_dir, user=NOBODY)
        assert done.returncode == 3
        assert done.stdout == ""
        assert "you may not read its map" in one_line(done)


def test_a_process_of_ones_own_without_the_right_to_advise(nobodys_dir: Path) -> None:
    with Child(user=NOBODY) as child:
        start = child.map(MIB, fill=1)
        seen = memtui("maps", child.pid, "--json", state_dir=nobodys_dir, user=NOBODY)
        assert seen.returncode == 0
        by_start = {row["start"]: row for row in rows(seen)}
        assert by_start[f"{start:x}"]["rss_bytes"] == MIB
        done = memtui("advise", "cold", child.pid, state_dir=nobodys_dir, user=NOBODY)
        assert done.returncode == 3
        assert "CAP_SYS_NICE" in one_line(done)
        done = memtui("advise", "cold", child.pid, "--json", state_dir=nobodys_dir, user=NOBODY)
        assert done.returncode == 3
        assert "CAP_SYS_NICE" in one_line(done)
        (report,) = rows(done)
        assert (report["outcome"], report["advised_bytes"]) == ("refused", 0)
        assert {item["reason"] for item in report["ranges"]} == {"no_sys_nice"}
        assert set(report) == ADVISE_KEYS
        done = memtui("plan", "cold", child.pid, "--json", state_dir=nobodys_dir, user=NOBODY)
        assert done.returncode == 3
        assert set(rows(done)[0]) == PLAN_KEYS
        assert at(child.pid, start).referenced == MIB


def test_one_refused_and_one_gone_is_part(child: Child, nobodys_dir: Path) -> None:
    done = memtui("advise", "cold", child.pid, NO_PID, state_dir=nobodys_dir, user=NOBODY)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2


def test_the_right_to_advise_without_the_right_to_read_pagemap(child: Child, nobodys_dir: Path) -> None:
    """CAP_SYS_NICE and CAP_SYS_PTRACE reach another's map, but not its pagemap: smaps must do."""
    start = child.map(MIB, fill=1)
    program = command("--state-dir", nobodys_dir, "advise", "cold", child.pid, "--json", "--freeze", "off")
    done = subprocess.run(
        as_user(NOBODY, [*program, "--range", span(start, MIB)], "+sys_nice,+sys_ptrace"),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
    )
    (report,) = rows(done)
    assert (done.returncode, report["outcome"]) == (0, "done")
    (item,) = report["ranges"]
    assert (item["rss_before_bytes"], item["rss_after_bytes"]) == (MIB, MIB)
    assert at(child.pid, start).rss == MIB


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_harmlessly(child: Child, tmp_path: Path, name: str) -> None:
    child.do("set_name", name=name)
    assert Path(f"/proc/{child.pid}/comm").read_bytes() == os.fsencode(name) + b"\n"
    path = tmp_path / f"file{name.replace('/', '')}"
    path.write_bytes(bytes(MIB))
    start = child.map(MIB, path=str(path), fill=1)
    commands: list[list[Any]] = [
        ["ps", f"pid:{child.pid}"],
        ["maps", child.pid],
        ["plan", "cold", child.pid],
        ["advise", "cold", child.pid, "--freeze", "off"],
        ["advise", "cold", child.pid, "--range", "0-1000", "--freeze", "off"],
        ["history"],
        ["doctor", child.pid],
    ]
    shown = ""
    for arguments in commands:
        done = memtui(*arguments, state_dir=tmp_path)
        assert done.returncode in (0, 1)
        harmless(done.stdout)
        harmless(done.stderr)
        shown += done.stdout
    if name.isprintable():
        assert name.replace("/", "") in shown
    raw = rows(memtui("maps", child.pid, "--json", state_dir=tmp_path))
    found = next(row for row in raw if row["start"] == f"{start:x}")
    assert found["name"] == str(path).replace("\n", "\\012")
    assert rows(memtui("history", "--json", state_dir=tmp_path))[0]["target"]["name"] == name
    (row,) = rows(memtui("ps", f"pid:{child.pid}", "--json", state_dir=tmp_path))
    assert row["name"] == name


def test_bytes_that_are_no_text_are_told_in_hexadecimal(child: Child, tmp_path: Path) -> None:
    """What is shown has a U+FFFD for each such byte; the ledger too; and a filter takes the very bytes."""
    raw = b"\xc3\xa9\xff\xed\xa0\x80"
    shown, raw_hex = "\xe9" + 4 * "\ufffd", raw.hex()
    child.do("set_name", name=os.fsdecode(raw))
    assert Path(f"/proc/{child.pid}/comm").read_bytes() == raw + b"\n"
    path = tmp_path / os.fsdecode(b"file-" + raw)
    path.write_bytes(bytes(MIB))
    start = child.map(MIB, path=str(path), fill=1)
    (row,) = rows(memtui("ps", f"pid:{child.pid}", os.fsdecode(b"name:*\xff*"), "--json", state_dir=tmp_path))
    assert (row["name"], row["name_hex"]) == (shown, raw_hex)
    assert rows(memtui("ps", f"pid:{child.pid}", "name:*\ufffd*", "--json", state_dir=tmp_path)) == []
    (row,) = rows(
        memtui("maps", child.pid, os.fsdecode(b"name:*file-\xc3\xa9\xff*"), "--json", state_dir=tmp_path)
    )
    assert (row["start"], row["name"]) == (f"{start:x}", f"{tmp_path}/file-{shown}")
    assert bytes.fromhex(row["name_hex"]) == os.fsencode(path)
    done = memtui(
        *("advise", "cold", child.pid, "--select", os.fsdecode(b"name:*\xff*"), "--json"), state_dir=tmp_path
    )
    (row,) = rows(done)
    assert (row["target"]["name"], row["target"]["name_hex"]) == (shown, raw_hex)
    assert [item["name"] for item in row["ranges"]] == [f"{tmp_path}/file-{shown}"]
    (row,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert (row["target"]["name"], row["target"]["name_hex"]) == (shown, raw_hex)
    for line in (tmp_path / "ledger.jsonl").read_text("ascii").splitlines():
        json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8")
    assert "name_hex" not in rows(memtui("maps", child.pid, "kind:heap", "--json", state_dir=tmp_path))[0]


def test_a_table_is_aligned_by_cells(child: Child, tmp_path: Path) -> None:
    """A name of four wide characters takes eight cells; its marks take none."""
    path = tmp_path / "\u6f22\u5b57\u6f22\u5b57e\u0301.db"
    path.write_bytes(bytes(MIB))
    child.map(MIB, path=str(path), fill=1)
    done = memtui("plan", "willneed", child.pid, state_dir=tmp_path)
    heading = next(line for line in done.stdout.splitlines() if "WHY" in line)
    (row,) = (line for line in done.stdout.splitlines() if path.name in line)
    end = row.index(path.name) + len(path.name)
    # The column is as wide as its longest name, which this is.
    assert heading.index("WHY") == end + 4 - 1 + 2


def test_a_terminal_without_unicode_is_no_error(child: Child, tmp_path: Path) -> None:
    child.do("set_name", name="\x1b\u202e\xe9")
    for arguments in (["ps"], ["maps", child.pid], ["advise", "cold", child.pid], ["history"]):
        done = memtui(*arguments, state_dir=tmp_path, environment={"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert done.stderr == ""


def test_a_full_disk_behind_standard_output(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("--state-dir", tmp_path, "ps"),
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=REPOSITORY,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in one_line(done)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    whole = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | true', "bash", *command("--state-dir", tmp_path, "ps")],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
    )
    assert (whole.returncode, whole.stderr) == (0, "")


def test_without_a_terminal_the_command_returns_at_once(child: Child, tmp_path: Path) -> None:
    child.map(MIB, fill=1)
    words = command("--state-dir", tmp_path, "advise", "cold", child.pid)
    done = subprocess.run(
        ["bash", "-c", '"$@" </dev/null | cat; exit "${PIPESTATUS[0]}"', "bash", *words],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "cold on" in done.stdout


def test_reading_changes_nothing(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    before = at(child.pid, start)
    for arguments in (["ps"], ["maps", child.pid], ["plan", "pageout", child.pid], ["doctor", child.pid]):
        assert memtui(*arguments, state_dir=tmp_path).returncode in (0, 1)
    assert at(child.pid, start) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("swap_file")
def test_require_effect(child: Child, tmp_path: Path) -> None:
    start = child.map(MIB, fill=1)
    words = ("advise", "pageout", child.pid, "--range", span(start, MIB), "--require-effect")
    assert memtui(*words, state_dir=tmp_path).returncode == 0
    empty = child.map(MIB)
    words = ("advise", "pageout", child.pid, "--range", span(empty, MIB))
    assert memtui(*words, state_dir=tmp_path).returncode == 0
    assert memtui(*words, "--require-effect", state_dir=tmp_path).returncode == 1


def test_many_targets_at_once(tmp_path: Path) -> None:
    """Each target takes three descriptors: the soft limit must not be what ends the command."""
    children = [Child() for _ in range(8)]
    try:
        pids = " ".join(str(child.pid) for child in children)
        done = subprocess.run(
            [
                *("bash", "-c", f'ulimit -S -n 24; "$@" {pids}', "bash"),
                *command("--state-dir", tmp_path, "advise", "--json", "cold"),
            ],
            capture_output=True,
            encoding="utf-8",
            cwd=REPOSITORY,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [row["target"]["pid"] for row in rows(done)] == [child.pid for child in children]
        assert len({row["action_id"] for row in rows(done)}) == 1
    finally:
        for child in children:
            child.end()


@pytest.mark.parametrize("method", ["off", "ptrace"])
@pytest.mark.usefixtures("swap_file")
def test_control_c_ends_at_a_calls_edge(child: Child, tmp_path: Path, method: str) -> None:
    size = 384 * MIB
    start = child.map(size, fill=1)
    # Shared with a fork nothing would move; so what is there is paged out for real, call after call.
    process = subprocess.Popen(
        command(
            *("--state-dir", tmp_path, "advise", "pageout", child.pid, "--json"),
            *("--range", span(start, size), "--freeze", method, "--hold-ms", "30"),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=REPOSITORY,
    )
    wait_until(lambda: at(child.pid, start).rss < size - 4 * MIB, "the first pages have left")
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    after = at(child.pid, start)
    assert process.returncode == 5
    assert all(line.startswith(f"memtui: process {child.pid}: cancelled") for line in err.splitlines())
    report = json.loads(out)
    assert report["outcome"] == "cancelled"
    assert 0 < report["advised_bytes"] < size
    assert report["moved_bytes"] == size - after.rss > 0
    assert report["ranges"][0]["outcome"] == "partial"
    assert report["ranges"][0]["reason"] == "cancelled"
    wait_until(lambda: state_of(child.pid) in "SR", "the target runs")
    (entry,) = rows(memtui("history", "--json", state_dir=tmp_path))
    assert entry["outcome"] == "cancelled"


def test_control_c_before_the_first_call_advises_nothing(child: Child, tmp_path: Path) -> None:
    """SIGINT while the plan is made must not be forgotten when it is applied."""
    start = child.map(MIB, fill=1)
    script = (
        "import os, signal, sys\n"
        "from memtui.host.local import LocalHost\n"
        "from memtui.cli import main\n"
        "plan = LocalHost.plan\n"
        "def interrupted(*args, **kwargs):\n"
        "    made = plan(*args, **kwargs)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return made\n"
        "LocalHost.plan = interrupted\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, "--state-dir", str(tmp_path)),
            *("advise", "cold", str(child.pid), "--range", span(start, MIB)),
        ],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert at(child.pid, start).referenced == MIB


def test_a_state_directory_that_may_not_be_entered(tmp_path: Path) -> None:
    """Pytest's folders are closed to all but root."""
    state_dir = tmp_path / "state"
    with Child(user=NOBODY) as child:
        done = memtui("doctor", child.pid, "--json", state_dir=state_dir, user=NOBODY)
        assert (done.returncode, done.stderr) == (1, "")
        (ledger,) = [row for row in rows(done) if row["check"] == "ledger"]
        assert ledger["ok"] is False
        assert "cannot be written" in ledger["finding"]
        done = memtui("maps", child.pid, state_dir=state_dir, user=NOBODY)
        assert done.returncode == 0
        assert "what is held cannot be read" in one_line(done)
        done = memtui("history", state_dir=state_dir, user=NOBODY)
        assert done.returncode == 1
        assert "the ledger cannot be read" in one_line(done)


@pytest.mark.parametrize("user", [None, NOBODY])
def test_the_doctor_says_what_is_missing(nobodys_dir: Path, user: int | None) -> None:
    with Child(user=NOBODY) as child:
        done = memtui("doctor", child.pid, "--json", state_dir=nobodys_dir, user=user)
        found = {row["check"]: row for row in rows(done)}
    assert found["process_madvise"]["ok"] is True
    assert found["pagemap"]["ok"] is True
    for check in ("CAP_SYS_NICE", "COLD", "PAGEOUT", "WILLNEED", "COLLAPSE"):
        assert found[check]["ok"] is (user is None)
        assert bool(found[check]["remedy"]) is (user is not None and shutil.which("sudo") is not None)
    assert found["ledger"]["ok"] is True


@pytest.mark.parametrize("name", ["ps", "maps", "plan", "advise", "history", "doctor", "demo"])
def test_every_command_has_an_example(tmp_path: Path, name: str) -> None:
    done = memtui(name, "--help", state_dir=tmp_path)
    assert done.returncode == 0
    assert f"memtui {name}" in done.stdout.partition("example")[2]


@pytest.mark.parametrize("arguments", [("ps",), ("advise", "cold", "1"), ()], ids=["ps", "advise", "screen"])
def test_a_closed_standard_output_is_told_and_nothing_is_done(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """Else the ledger, say, would be opened under the number of the output that is not there."""
    words = " ".join(command("--state-dir", tmp_path, *arguments))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} >&-"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "memtui: standard output is closed, so that nothing can be told: nothing was done\n"
    assert list(tmp_path.iterdir()) == []


def test_thaw_releases_without_an_output_too(tmp_path: Path) -> None:
    words = " ".join(command("--state-dir", tmp_path, "thaw"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} >&-"], stderr=subprocess.PIPE, cwd=REPOSITORY, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_another_closed_stream_is_no_hindrance(closed: str, child: Child, tmp_path: Path) -> None:
    words = " ".join(command("--state-dir", tmp_path, "advise", "cold", child.pid, "--json"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} {closed}"],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    (report,) = rows(done)
    assert report["target"]["pid"] == child.pid
    assert (tmp_path / "ledger.jsonl").read_bytes().startswith(b'{"event":"start"')

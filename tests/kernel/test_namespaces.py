"""With the /proc of another pid namespace a pid is two processes: one is shown, and neither is acted on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from memtui.freeze.client import Guard
from memtui.linux.namespaces import ProcView, children_are_elsewhere, proc_view
from tests.kernel.toolkit import MIB, REPOSITORY, Child, at, command, memtui, rows, smaps, span, total

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("machine")

FOREIGN = ("unshare", "--pid", "--fork")

# In a pid namespace with the /proc of ours: a process of a number that one of ours has too. It has memory
# that could be paged out, and asks memtui to do so to its number. /proc/self is itself in either.
_INNOCENT = """
import json, mmap, os, re, subprocess, sys
wanted = int(sys.argv[1])
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(wanted - 1))
if os.fork():
    os.wait()
    sys.exit()
memory = mmap.mmap(-1, 32 << 20)
for at in range(0, len(memory), 4096):
    memory[at:at + 8] = at.to_bytes(8, "little")


def swapped():
    text = open("/proc/self/smaps").read()
    return sum(map(int, re.findall(r"^Swap: +([0-9]+) kB", text, re.M)))


before = swapped()
done = subprocess.run(sys.argv[2:], capture_output=True, encoding="utf-8")
print(json.dumps([os.getpid(), before, swapped(), done.returncode, done.stdout, done.stderr]))
"""


def as_innocent(pid: int, state_dir: Path, *arguments: object) -> tuple[int, int, str, str]:
    """Return what was swapped out of an innocent process of this pid (KiB), and what memtui said."""
    program = command("--state-dir", state_dir, *arguments)
    done = subprocess.run(
        [*FOREIGN, sys.executable, "-c", _INNOCENT, str(pid), *program],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=True,
    )
    number, before, after, code, out, err = json.loads(done.stdout)
    assert number == pid
    return after - before, code, out, err


@pytest.mark.parametrize("freeze", ["off", "ptrace", "sigstop", "cgroup"])
def test_an_innocent_process_of_the_same_pid_is_not_advised(
    swap_file: Path, tmp_path: Path, child: Child, freeze: str
) -> None:
    child.map(16 * MIB, fill="pattern")
    before = total(list(smaps(child.pid).values()), "rss")
    swapped, code, out, err = as_innocent(
        child.pid, tmp_path, "advise", "pageout", child.pid, "--freeze", freeze
    )
    assert swapped == 0
    assert (code, out) == (1, ""), err
    assert "/proc shows another pid namespace" in err
    assert "Traceback" not in err
    assert total(list(smaps(child.pid).values()), "rss") == before


def test_a_plan_and_a_restore_are_refused(swap_file: Path, tmp_path: Path, child: Child) -> None:
    address = child.map(16 * MIB, fill="pattern")
    done = memtui(
        "advise", "pageout", child.pid, "--range", span(address, 16 * MIB), "--json", state_dir=tmp_path
    )
    (row,) = rows(done)
    assert row["moved_bytes"] > 0
    before = at(child.pid, address).swap
    for arguments in (["plan", "pageout", child.pid], ["restore", row["id"]]):
        _, code, _, err = as_innocent(child.pid, tmp_path, *arguments)
        assert code == 1
        assert "/proc shows another pid namespace" in err
    assert at(child.pid, address).swap == before > 0


def test_the_processes_that_it_shows_can_be_looked_at(tmp_path: Path, child: Child) -> None:
    address = child.map(16 * MIB, fill="pattern")
    _, code, out, err = as_innocent(child.pid, tmp_path, "ps", f"pid:{child.pid}", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["pid"] == child.pid
    _, code, out, err = as_innocent(child.pid, tmp_path, "maps", child.pid, f"addr:{address:x}", "--json")
    assert (code, err) == (0, "")
    (row,) = map(json.loads, out.splitlines())
    assert int(row["start"], 16) <= address < int(row["end"], 16)
    assert row["rss_bytes"] >= 16 * MIB


def test_the_doctor_says_so_and_what_mends_it(tmp_path: Path, child: Child) -> None:
    _, code, out, err = as_innocent(child.pid, tmp_path, "doctor", "--json")
    assert "Traceback" not in err
    found = {row["check"]: row for row in map(json.loads, out.splitlines())}
    assert found["proc"]["ok"] is False
    assert found["process_madvise"]["ok"] is True
    # Its remedy, tried: the same process, with the /proc of its own namespace.
    remedy = found["proc"]["remedy"].split('"$(command')[0].split()
    done = subprocess.run(
        [*FOREIGN, *remedy, *command("--state-dir", tmp_path, "doctor", "--json")],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
    )
    assert "proc" not in {json.loads(line)["check"] for line in done.stdout.splitlines()}
    assert code in (0, 1)


def test_a_guard_does_not_start_where_its_pids_are_others(tmp_path: Path) -> None:
    """unshare --pid without --fork: what we start is in a namespace that we are not in."""
    script = (
        "from memtui.freeze.client import FreezeError, Guard\n"
        "try:\n    Guard.start().close()\n"
        "except FreezeError as error:\n    print(error.reason.value, error)\n"
    )
    done = subprocess.run(
        ["unshare", "--pid", sys.executable, "-c", script],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
    )
    assert done.stdout.startswith("freeze_no_guard the guard would start in another pid namespace"), done


def test_here_all_is_ours() -> None:
    assert proc_view() is ProcView.OURS
    assert not children_are_elsewhere()
    Guard.start().close()

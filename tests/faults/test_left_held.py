"""What a crash left held is released where it can be known, and left and told where it cannot.

Other pid and time namespaces, no /proc or that of another namespace, lines of older and newer versions, and
the journals of a user that root replays with that user's rights alone.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.cli import thaw
from memtui.freeze import as_user
from memtui.freeze.journal import Entry, Journal, prepare_folder
from memtui.freeze.recovery import left_held, replay
from memtui.freeze.thawed_words import describe_thawed
from memtui.host.left_held import ROOTS_JOURNAL_DIR
from memtui.linux import sysinfo
from memtui.model.freeze import Freeze, ThawOutcome
from tests.conftest import need
from tests.faults.test_guard_faults import Engine, assert_as_before
from tests.kernel.children import FreezeTarget, freeze_wait
from tests.kernel.toolkit import NOBODY, REPOSITORY, command, memtui, rows
from tests.kernel.toolkit import as_user as as_user_command
from tests.kernel.unshared import unshared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.xdist_group("machine")

PID_NAMESPACE = ("--pid", "--fork", "--mount-proc")
TIME_NAMESPACE = ("--time", "--boottime=100000")
FOREIGN_PROC = ("--pid", "--fork")
NO_PROC = ("--mount",)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[FreezeTarget]:
    with FreezeTarget(tmp_path, "idle", 3) as target:
        yield target


@pytest.fixture
def roots_journals() -> Iterator[Path]:
    """Where root's guards write, empty before and after."""
    assert not ROOTS_JOURNAL_DIR.exists()
    yield ROOTS_JOURNAL_DIR
    shutil.rmtree(ROOTS_JOURNAL_DIR, ignore_errors=True)


def inside(options: tuple[str, ...], *arguments: object, state_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run memtui in namespaces of its own, in which /run is the same."""
    wrapper = unshared(*options, script="umount -l /proc" if options is NO_PROC else "")
    return subprocess.run(
        [*wrapper, *command("--state-dir", state_dir, *arguments)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("method", [Freeze.SIGSTOP, Freeze.CGROUP])
@pytest.mark.parametrize("options", [PID_NAMESPACE, TIME_NAMESPACE, FOREIGN_PROC, NO_PROC])
def test_a_thaw_from_elsewhere_leaves_it_and_says_so(
    target: FreezeTarget, tmp_path: Path, roots_journals: Path, options: tuple[str, ...], method: Freeze
) -> None:
    engine = Engine(target, method, "held", roots_journals)
    try:
        engine.kill_both_at_once()
        (journal,) = roots_journals.iterdir()
        noted = journal.read_bytes()
        done = inside(options, "thaw", state_dir=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert "Traceback" not in done.stderr
        told = (
            "cannot be known: /proc" if options is NO_PROC else f"process {target.pid}, noted in a crash as"
        )
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert journal.read_bytes() == noted
        target.assert_frozen(method)
        out = memtui("thaw", state_dir=tmp_path)
        assert (out.returncode, out.stderr) == (0, "")
        assert out.stdout.startswith(f"released process {target.pid} (python")
        assert_as_before(target, engine)
        assert not roots_journals.exists()
    finally:
        engine.close()


@pytest.mark.parametrize("arguments", [["ps", "pid:1"], ["maps", "{}"], ["plan", "cold", "{}"]])
def test_what_only_looks_only_tells(
    target: FreezeTarget, tmp_path: Path, roots_journals: Path, arguments: list[str]
) -> None:
    engine = Engine(target, Freeze.SIGSTOP, "held", roots_journals)
    try:
        engine.kill_both_at_once()
        looked = memtui(*(part.format(target.pid) for part in arguments), state_dir=tmp_path)
        assert f"memtui: process {target.pid} (python" in looked.stderr
        assert "is left held by sigstop since a crash; `memtui thaw` releases it" in looked.stderr
        target.assert_frozen(Freeze.SIGSTOP)
        done = memtui("restore", "--last", state_dir=tmp_path)
        assert f"released process {target.pid} (python" in done.stderr
        assert_as_before(target, engine)
        assert "left held" not in memtui("ps", "pid:1", state_dir=tmp_path).stderr
    finally:
        engine.close()


# A journal as it was found


def line_of(target: FreezeTarget, **more: object) -> dict[str, object]:
    entry = Entry(sysinfo.boot_id(), target.pid, target.process.start_time, "sigstop")
    return {name: getattr(entry, name) for name in entry.__slots__} | more


def of_old(line: dict[str, object]) -> dict[str, object]:
    return {name: line[name] for name in line if name not in ("machine", "pid_namespace", "time_namespace")}


def write(folder: Path, *lines: object, owner: int = 0) -> Path:
    prepare_folder(folder)
    path = folder / "999999-0.journal"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    for place in (path, folder):
        os.chown(place, owner, owner)
    return path


def stop(target: FreezeTarget) -> None:
    target.signal(signal.SIGSTOP)
    freeze_wait(lambda: set(target.states()) == {"T"}, "it stops")


def test_a_line_of_an_older_version_releases_who_is_here(target: FreezeTarget, tmp_path: Path) -> None:
    folder = tmp_path / "holds"
    stop(target)
    write(folder, of_old(line_of(target)))
    assert [item.outcome for item in replay(folder).thawed] == [ThawOutcome.RELEASED]
    target.assert_free()
    assert not folder.exists()


def test_a_line_of_an_older_version_is_left_where_its_process_is_not(
    target: FreezeTarget, tmp_path: Path
) -> None:
    folder = tmp_path / "holds"
    path = write(folder, of_old(line_of(target, start_time=1)))
    (item,) = replay(folder).thawed
    assert (item.outcome, item.pid) == (ThawOutcome.LEFT, target.pid)
    assert "an older memtui noted it" in describe_thawed(item)
    assert path.exists()


def test_another_machines_line_is_left_and_an_older_boots_forgotten(
    target: FreezeTarget, tmp_path: Path
) -> None:
    folder = tmp_path / "holds"
    stop(target)
    path = write(folder, line_of(target, boot_id="another", machine="elsewhere"))
    (item,) = replay(folder).thawed
    assert item.outcome is ThawOutcome.LEFT
    assert "run `memtui thaw` on elsewhere" in describe_thawed(item)
    write(folder, line_of(target, boot_id="another"))
    assert replay(folder).thawed == ()
    assert not path.exists()
    assert set(target.states()) == {"T"}


def test_what_was_released_is_forgotten_beside_what_was_left(target: FreezeTarget, tmp_path: Path) -> None:
    """Or the next replay would continue what somebody has stopped since."""
    folder = tmp_path / "holds"
    stop(target)
    foreign = line_of(target, pid_namespace="pid:[1]")
    newer = line_of(target, method="sigstop2", more=1)
    write(folder, foreign, line_of(target), newer, "torn {")
    done = replay(folder)
    assert [item.outcome for item in done.thawed] == [ThawOutcome.LEFT, ThawOutcome.RELEASED]
    assert len(done.remarks) == 2
    target.assert_free()
    stop(target)
    assert [item.outcome for item in replay(folder).thawed] == [ThawOutcome.LEFT]
    assert set(target.states()) == {"T"}
    (path,) = folder.glob("*.journal")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [foreign, newer]
    assert len(list(folder.glob("*.unreadable"))) == 1


@pytest.mark.parametrize("pid", [0, -1, 1 << 31, 1 << 70, "1", None])
def test_a_line_with_an_impossible_pid_is_torn(target: FreezeTarget, tmp_path: Path, pid: object) -> None:
    folder = tmp_path / "holds"
    write(folder, line_of(target, pid=pid))
    done = replay(folder)
    assert done.thawed == ()
    assert len(done.remarks) == 1


@pytest.mark.parametrize("error", [OSError(24, "EMFILE"), PermissionError(1, "EPERM")])
def test_who_cannot_be_opened_is_not_taken_for_gone(
    target: FreezeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    folder = tmp_path / "holds"
    stop(target)
    path = write(folder, line_of(target))

    def refuse(_pid: int) -> int:
        raise error

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert [item.outcome for item in replay(folder).thawed] == [ThawOutcome.LEFT]
    monkeypatch.undo()
    assert path.exists()
    assert [item.outcome for item in replay(folder).thawed] == [ThawOutcome.RELEASED]


def test_a_look_changes_nothing_and_does_not_stand_in_the_way(target: FreezeTarget, tmp_path: Path) -> None:
    folder = tmp_path / "holds"
    stop(target)
    path = write(folder, line_of(target), "torn {")
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert [item.outcome for item in left_held(folder).thawed] == [ThawOutcome.HELD]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert set(target.states()) == {"T"}
    living = Journal(folder)
    living.add(Entry(sysinfo.boot_id(), target.pid, target.process.start_time, "sigstop"))
    assert len(left_held(folder).thawed) == 1, "what the living hold is not left held"


# A user's journal, replayed by root


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory of the user nobody, in a place that the user can reach."""
    with tempfile.TemporaryDirectory(prefix="memtui-test-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


@pytest.fixture
def of_user(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A stopped process of the user nobody."""
    popen = subprocess.Popen(as_user_command(NOBODY, ["sleep", "60"]))
    freeze_wait(lambda: _uid_of(popen.pid) == NOBODY and _name_of(popen.pid) == "sleep", "it is the user's")
    popen.send_signal(signal.SIGSTOP)
    freeze_wait(lambda: _state_of(popen.pid) == "T", "it stops")
    yield popen
    popen.kill()
    popen.wait()


def _uid_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _start_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


NAME = pwd.getpwuid(NOBODY).pw_name


@pytest.mark.parametrize("how", ["--user", "number", "SUDO_USER"])
def test_root_releases_what_a_users_memtui_left(
    of_user: subprocess.Popen[bytes], target: FreezeTarget, state: Path, how: str
) -> None:
    line = line_of(target, pid=of_user.pid, start_time=_start_of(of_user.pid))
    path = write(state / "holds", line, owner=NOBODY)
    told = memtui("thaw", state_dir=state)
    assert (told.returncode, told.stdout) == (0, "no process was left frozen\n"), "root sees its own alone"
    asked = {"--user": ["--user", NAME], "number": ["--user", str(NOBODY)], "SUDO_USER": []}[how]
    environment = {"SUDO_USER": NAME} if how == "SUDO_USER" else {}
    done = memtui("thaw", "--json", *asked, state_dir=state, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = rows(done)
    assert (row["pid"], row["outcome"]) == (of_user.pid, "released")
    freeze_wait(lambda: _state_of(of_user.pid) == "S", "it runs on")
    assert not path.exists()


def test_a_forged_line_does_no_more_than_its_user_may(target: FreezeTarget, state: Path) -> None:
    """Neither another's process, nor a file outside of what the user may write, by whatever name."""
    stop(target)
    secret = state / "roots"
    (secret / "memtui-1-1").mkdir(parents=True)
    frozen = secret / "memtui-1-1/cgroup.freeze"
    frozen.write_text("1")
    os.chmod(frozen, 0o666)
    groups = [
        (str(secret / "memtui-1-1"), str(secret)),
        ("/sys/fs/cgroup/x/../memtui-1-1", "/sys/fs/cgroup/x/.."),
        ("/sys/fs/cgroup/../../.." + str(secret / "memtui-1-1"), "/sys/fs/cgroup/../../.." + str(secret)),
    ]
    lines = [line_of(target), *(line_of(target, method="cgroup", group=g, home=h) for g, h in groups)]
    path = write(state / "holds", *lines, owner=NOBODY)
    done = memtui("thaw", "--json", "--user", NAME, state_dir=state)
    assert done.returncode == 1
    assert [row["outcome"] for row in rows(done)] == ["failed"] * len(lines)
    assert "you may not send signals to it" in done.stderr
    assert done.stderr.count("names a cgroup that is not ours") == len(groups)
    assert set(target.states()) == {"T"}
    assert frozen.read_text() == "1"
    assert path.exists()


def test_root_does_not_replay_a_users_folder_as_its_own(target: FreezeTarget, state: Path) -> None:
    stop(target)
    write(state / "holds", line_of(target), owner=NOBODY)
    with pytest.raises(Exception, match="another user's"):
        replay(state / "holds")
    assert set(target.states()) == {"T"}


def test_the_child_cannot_become_root_again(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            as_user.become(pwd.getpwuid(NOBODY))
            status = Path("/proc/self/status").read_text().splitlines()
            found = [line.split()[1:] for line in status if line.startswith(("Uid", "Gid", "Groups", "Cap"))]
            ways: list[Callable[[], None]] = [
                lambda: os.setuid(0),
                lambda: os.seteuid(0),
                lambda: os.setresuid(0, 0, 0),
                lambda: os.setgid(0),
                lambda: os.setgroups([0]),
            ]
            refused = 0
            for way in ways:
                try:
                    way()
                except PermissionError:
                    refused += 1
            os.write(writing, json.dumps([found, refused]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    found, refused = json.loads(os.read(reading, 4096))
    os.close(reading)
    os.waitpid(child, 0)
    assert refused == 5
    ids, groups, capabilities = found[:2], found[2], found[3:]
    assert ids == [[str(NOBODY)] * 4] * 2
    assert "0" not in groups
    assert [int(bits[0], 16) for bits in capabilities[:3]] == [0, 0, 0], "CapInh, CapPrm, CapEff"


def test_a_child_that_hangs_is_ended(target: FreezeTarget, state: Path) -> None:
    """A user can stop what runs as that user: root does not wait for it for good."""
    folder = state / "holds"
    write(folder, line_of(target), owner=NOBODY)
    os.mkfifo(state / "fifo")
    script = (
        "import pwd, sys, time, memtui.freeze.as_user as a\n"
        "a.replay = lambda folder: time.sleep(60)\n"
        "from pathlib import Path\n"
        f"try:\n    a.replay_as(pwd.getpwuid({NOBODY}), Path(sys.argv[1]), 0.3)\n"
        "except Exception as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        timeout=20,
    )
    assert "could not be read in time" in done.stdout
    assert done.stderr == ""


def test_only_root_replays_another_users(state: Path) -> None:
    need(NAME != "root", "a user besides root")
    done = memtui("thaw", "--user", "root", state_dir=state, user=NOBODY)
    assert (done.returncode, done.stdout) == (3, "")
    assert "use sudo" in done.stderr
    done = memtui("thaw", "--user", "nosuchuser-at-all", state_dir=state)
    assert (done.returncode, done.stderr) == (2, "memtui: there is no user nosuchuser-at-all\n")
    assert thaw.run.__module__ == "memtui.cli.thaw"

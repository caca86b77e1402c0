"""The practice process, on the real kernel."""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.practice.files import FALLBACK, PREFIX, label_path
from memtui.practice.labels import labels_of
from memtui.practice.link import PracticeError, PracticeLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WILLNEED, DONTNEED, COLD, PAGEOUT = 3, 4, 20, 21
PAGE = mmap.PAGESIZE
SMALL = {
    "hot_bytes": 1 << 20,
    "cold_bytes": 4 << 20,
    "shared_bytes": 1 << 20,
    "file_bytes": 2 << 20,
    "shmem_bytes": 1 << 20,
    "one_page_count": 8,
}


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come to pass within {seconds} s"
        time.sleep(0.01)


def smaps_of(pid: int) -> dict[tuple[int, int], dict[str, str]]:
    """Read smaps in our own way: by (start, end), the header line under ``""``."""
    found: dict[tuple[int, int], dict[str, str]] = {}
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first = line.split(" ", 1)[0]
        if not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            entry = found[start, end] = {"": line}
        else:
            key, _, value = line.partition(":")
            entry[key] = value.strip()
    return found


def rss_bytes(pid: int, region: tuple[int, int]) -> int:
    return int(smaps_of(pid)[region]["Rss"].split()[0]) * 1024


def state_files(state_dir: Path) -> list[str]:
    return sorted(path.name for path in state_dir.iterdir()) if state_dir.exists() else []


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def link(state_dir: Path) -> Iterator[PracticeLink]:
    with PracticeLink.start(state_dir, **SMALL) as started:
        yield started


def write_to(pid: int, address: int, value: bytes) -> None:
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(value)


def read_from(pid: int, address: int, size_bytes: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size_bytes)


def test_the_map_is_as_published(state_dir: Path) -> None:
    """Every region is one VMA of its own, resident, with the permissions that its word promises."""
    with PracticeLink.start(state_dir) as link:
        smaps = smaps_of(link.pid)
        sizes: dict[str, int] = {}
        for label, start, end in link.regions:
            entry = smaps[start, end]
            sizes[label] = sizes.get(label, 0) + end - start
            assert int(entry["Rss"].split()[0]) * 1024 == (0 if label == "guard page" else end - start), label
        one = {label: smaps[link.ranges(label)[0]] for label in sizes}
        assert sizes.pop("guard page") == PAGE * len(link.ranges("guard page"))
        assert sizes == {
            "hot": 8 << 20,
            "cold": 32 << 20,
            "shared with a child": 8 << 20,
            "file": 16 << 20,
            "shared memory": 4 << 20,
            "locked": 64 << 10,
            "one-page": 64 * PAGE,
        }
        assert "lo" in one["locked"]["VmFlags"].split()
        assert " ---p " in one["guard page"][""]
        assert " rw-s " in one["shared memory"][""]
        assert one["file"][""].endswith(str(link.file_path))
        assert " r--p " in one["file"][""]
        assert link.file_on_disk
        assert [item.label for item in link.regions].count("one-page") == 64
        shared = {label: entry["Shared_Dirty"] for label, entry in one.items()}
        assert shared.pop("shared with a child") == "8192 kB"
        assert set(shared.values()) == {"0 kB"}
        assert one["hot"]["Private_Dirty"] == "8192 kB"


def test_it_is_its_own_session_and_names_itself(link: PracticeLink) -> None:
    assert os.getsid(link.pid) == link.pid
    assert Path(f"/proc/{link.pid}/comm").read_text() == "memtui-practice\n"
    status = Path(f"/proc/{link.child_pid}/status").read_text()
    assert f"PPid:\t{link.pid}\n" in status


def test_labels_are_published_for_it_alone(link: PracticeLink, state_dir: Path) -> None:
    file = label_path(state_dir, link.pid)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    words = labels_of(state_dir, link.pid, link.start_time)
    assert words == {region.start: region.label for region in link.regions}
    assert labels_of(state_dir, link.pid, link.start_time + 1) == {}
    assert labels_of(state_dir, link.pid + 1, link.start_time) == {}
    with_field_22 = Path(f"/proc/{link.pid}/stat").read_text().rpartition(")")[2].split()
    assert link.start_time == int(with_field_22[19])


def test_it_advises_itself(link: PracticeLink) -> None:
    """PAGEOUT of the file shows an effect on any machine, since a file needs no swap."""
    (region,) = link.ranges("file")
    assert rss_bytes(link.pid, region) == 2 << 20
    assert link.advise([region], PAGEOUT) == 2 << 20
    # Pages in another CPU's batch are passed over (at most 31 for each).
    assert rss_bytes(link.pid, region) <= 31 * PAGE * (os.cpu_count() or 1)
    assert link.touch("file", 0.5) == 1 << 20
    assert rss_bytes(link.pid, region) >= 1 << 20
    assert link.check() == []
    assert rss_bytes(link.pid, region) == 2 << 20


@pytest.mark.usefixtures("swap_file")
def test_private_memory_goes_to_swap_and_comes_back_whole(link: PracticeLink) -> None:
    (region,) = link.ranges("cold")
    assert link.advise([region], PAGEOUT) == 4 << 20
    assert rss_bytes(link.pid, region) < 1 << 20
    assert link.check() == []
    assert rss_bytes(link.pid, region) == 4 << 20


def test_what_a_child_maps_too_stays(link: PracticeLink) -> None:
    (region,) = link.ranges("shared with a child")
    assert link.advise([region], PAGEOUT) == 1 << 20
    assert rss_bytes(link.pid, region) == 1 << 20


def test_elements_are_taken_up_to_the_first_that_fails(link: PracticeLink) -> None:
    (cold,), (locked,), (file,) = link.ranges("cold"), link.ranges("locked"), link.ranges("file")
    assert link.advise([cold, locked, file], COLD) == 4 << 20
    with pytest.raises(OSError, match="Invalid argument") as caught:
        link.advise([locked, cold], COLD)
    assert caught.value.errno == errno.EINVAL
    assert link.advise([(cold[0] + 1, cold[0] + 1), cold], COLD) == 4 << 20
    with pytest.raises(OSError, match="Invalid argument"):
        link.advise([(cold[0] + 1, cold[0] + 1 + PAGE)], COLD)
    assert link.advise([], COLD) == 0
    assert link.advise([cold] * 1024, COLD) == 4096 << 20
    with pytest.raises(OSError, match="Invalid argument"):
        link.advise([cold] * 1025, COLD)


@pytest.mark.parametrize(
    "element", [(-PAGE, PAGE), (1 << 64, 1 << 65), (8 * PAGE, PAGE), (0, PAGE), (0, 1 << 63)]
)
def test_absurd_elements_are_refused(link: PracticeLink, element: tuple[int, int]) -> None:
    with pytest.raises(OSError, match=r"Invalid argument|Cannot allocate memory"):
        link.advise([element], COLD)
    assert link.check() == []


@given(advice=st.integers(-(1 << 40), 1 << 40) | st.integers(0, 110))
def test_no_destructive_advice_is_taken(shared_link: PracticeLink, advice: int) -> None:
    (cold,) = shared_link.ranges("cold")
    if advice in (WILLNEED, COLD, PAGEOUT, 25):
        assert shared_link.advise([cold], advice) == 4 << 20
    else:
        with pytest.raises(OSError, match="Invalid argument"):
            shared_link.advise([cold], advice)


@pytest.fixture(scope="module")
def shared_link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeLink]:
    with PracticeLink.start(tmp_path_factory.mktemp("shared"), **SMALL) as started:
        yield started
        assert started.check() == []


def test_only_the_hot_region_is_touched(link: PracticeLink) -> None:
    """With all Referenced bits cleared, those of the hot region come back and those of cold do not."""
    (hot,), (cold,), (file,) = link.ranges("hot"), link.ranges("cold"), link.ranges("file")

    def referenced(region: tuple[int, int]) -> int:
        return int(smaps_of(link.pid)[region]["Referenced"].split()[0]) * 1024

    # COLD clears the bits and flushes the TLB, so that what comes back was touched since.
    link.advise([hot, cold, file], COLD)
    wait_for(lambda: referenced(hot) == 1 << 20, "the touching of hot")
    assert referenced(cold) == 0
    assert referenced(file) == 0


def test_it_costs_little(link: PracticeLink) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{link.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    start = time.monotonic()
    time.sleep(1.0)
    share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
    assert share < 0.1


@pytest.mark.parametrize(
    "label", ["hot", "cold", "shared with a child", "shared memory", "locked", "one-page"]
)
def test_a_changed_byte_is_told(state_dir: Path, label: str) -> None:
    link = PracticeLink.start(state_dir, **SMALL)
    start, end = link.ranges(label)[-1]
    # Not the first byte of a page: the hot region's touching would write the old one back.
    address = end - PAGE + 7
    old = read_from(link.pid, address, 1)
    write_to(link.pid, address, bytes([old[0] ^ 1]))
    assert start < address < end
    assert link.check() == [label]
    assert link.close() == [label]
    assert link.close() == [label]
    assert state_files(state_dir) == []


def test_exit_codes_and_last_word(state_dir: Path) -> None:
    command = [
        sys.executable,
        "-I",
        "-m",
        "memtui.practice",
        "--state-dir",
        str(state_dir),
        "--cold-bytes",
        "4096",
    ]
    ended = subprocess.run(command, input=b"", stdout=subprocess.PIPE, check=False, timeout=30)
    ready, end = (json.loads(line) for line in ended.stdout.splitlines())
    assert ready["event"] == "ready"
    assert end == {"event": "end", "changed": []}
    assert ended.returncode == 0
    assert state_files(state_dir) == []


@pytest.mark.parametrize("arguments", [[], ["--state-dir"], ["--state-dir", "/tmp", "--huge", "1"],
                                       ["--state-dir", "/tmp", "--hot-bytes", "-1"],
                                       ["--state-dir", "/tmp", "--locked-bytes", "65537"]])  # fmt: skip
def test_wrong_arguments_are_one_line(arguments: list[str]) -> None:
    command = [sys.executable, "-I", "-m", "memtui.practice", *arguments]
    ended = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=30)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"do": "fly"}',
        b'{"do": "advise"}',
        b'{"do": "advise", "advice": "cold", "elements": []}',
        b'{"do": "advise", "advice": 20, "elements": [[1]]}',
        b'{"do": "advise", "advice": 20, "elements": [[1e400, 2]]}',
        b'{"do": "advise", "advice": 20, "elements": 7}',
        b'{"do": "touch", "label": "guard page", "share": 1}',
        b'{"do": "touch", "label": "cold", "share": 1.1}',
        b'{"do": "touch", "label": "cold", "share": NaN}',
        b'{"do": "touch", "label": "nowhere", "share": 1}',
        b'{"do": "touch", "label": ["cold"], "share": 1}',
        b"\xff\xfe",
    ],
)
def test_a_wrong_question_is_answered_and_survived(shared_link: PracticeLink, line: bytes) -> None:
    process = shared_link._process
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    answer = shared_link._read(10)
    assert list(answer) == ["error"]
    assert shared_link.touch("cold", 0.25) == 1 << 20


@pytest.mark.parametrize(("share", "pages"), [(0, 0), (1e-9, 1), (0.5, 4), (0.51, 5), (1, 8)])
def test_the_share_of_a_touch_is_of_all_regions_with_the_label(
    shared_link: PracticeLink, share: float, pages: int
) -> None:
    assert shared_link.touch("one-page", share) == pages * PAGE


def test_parts_can_be_left_out(state_dir: Path) -> None:
    none = dict.fromkeys([*SMALL, "locked_bytes"], 0)
    with PracticeLink.start(state_dir, **none) as link:
        assert {region.label for region in link.regions} == {"guard page"}
        assert link.file_path is None
    with PracticeLink.start(state_dir, **{**none, "cold_bytes": 5000, "shared_bytes": 1}) as link:
        sizes = Counter({region.label: region.end - region.start for region in link.regions})
        assert sizes["cold"] == 2 * PAGE
        assert sizes["shared with a child"] == PAGE
        smaps = smaps_of(link.pid)
        assert all((region.start, region.end) in smaps for region in link.regions)


def test_sigint_is_ignored_and_sigterm_ends_it_cleanly(state_dir: Path) -> None:
    link = PracticeLink.start(state_dir, **SMALL)
    os.kill(link.pid, signal.SIGINT)
    assert link.check() == []
    os.kill(link.pid, signal.SIGTERM)
    wait_for(lambda: state_files(state_dir) == [], "the removal of its files")
    # Whatever is asked now: its last word is not taken for an answer, and not lost either.
    with pytest.raises(PracticeError, match=r"gone|told to end"):
        link.check()
    assert link.close() == []
    with pytest.raises(ProcessLookupError):
        link.advise([], COLD)


def _is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie (which waits for a parent that may be slow to look)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_one_leaves_nothing_that_the_next_does_not_remove(state_dir: Path) -> None:
    first = PracticeLink.start(state_dir, **SMALL)
    living = PracticeLink.start(state_dir, **SMALL)
    first.kill()
    wait_for(lambda: not _is_running(first.child_pid), "the end of the child")
    assert len(state_files(state_dir)) == 4
    with PracticeLink.start(state_dir, **SMALL) as second:
        assert first.file_path is not None
        assert not first.file_path.exists()
        assert labels_of(state_dir, first.pid, first.start_time) == {}
        # The one that lives keeps its own.
        assert labels_of(state_dir, living.pid, living.start_time) != {}
        assert labels_of(state_dir, second.pid, second.start_time) != {}
    with pytest.raises(OSError, match="No such process") as caught:
        first.advise([(0, PAGE)], COLD)
    assert caught.value.errno == errno.ESRCH
    with pytest.raises(PracticeError):
        first.check()
    assert first.close() == []
    assert living.close() == []
    assert state_files(state_dir) == []


def test_a_death_that_nobody_ordered_is_told(state_dir: Path) -> None:
    link = PracticeLink.start(state_dir, **SMALL)
    os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(PracticeError, match="without its last check"):
        link.close()
    assert state_files(state_dir) == []


def test_the_death_of_its_starter_ends_it(state_dir: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from memtui.practice.link import PracticeLink;"
        f"link = PracticeLink.start(Path({str(state_dir)!r}), cold_bytes=1 << 20);"
        "print(link.pid, link.child_pid, flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    pid, child_pid = map(int, starter.stdout.readline().split())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    wait_for(lambda: not _is_running(pid) and not _is_running(child_pid), "the end of the practice process")
    assert state_files(state_dir) == []


def test_a_state_directory_in_memory_gets_its_file_elsewhere() -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir():
        pytest.skip("no /dev/shm here")
    state_dir = shm / f"memtui-test-{os.getpid()}"
    try:
        with PracticeLink.start(state_dir, **SMALL) as link:
            assert link.file_path is not None
            assert link.file_path.parent == FALLBACK
            assert link.file_path.name.startswith(PREFIX)
            assert link.file_on_disk
            assert labels_of(state_dir, link.pid, link.start_time) != {}
        assert not link.file_path.exists()
    finally:
        state_dir.rmdir()


def test_an_impossible_state_directory_is_one_line() -> None:
    with pytest.raises(PracticeError, match=r"did not start: .*Not a directory") as caught:
        PracticeLink.start(Path("/proc/self/stat/nowhere"))
    assert "\n" not in str(caught.value)


def test_a_wrong_size_is_one_line(state_dir: Path) -> None:
    with pytest.raises(PracticeError, match="wrong arguments") as caught:
        PracticeLink.start(state_dir, cold_bytes=-1)
    assert "\n" not in str(caught.value)


def test_without_privilege_it_works() -> None:
    """As a plain user whose limits allow no locked memory at all."""
    # The interpreter may lie where other users may not look: everything is imported first.
    program = (
        "import os, resource, sys; from memtui.practice.serve import main;"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0));"
        "os.setgroups([]); os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3);"
        "sys.exit(main(sys.argv[1:]))"
    )
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(dir=FALLBACK) as directory:
        os.chown(directory, 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", program, "--state-dir", directory],
            input=b'{"do": "check"}\n',
            capture_output=True,
            check=False,
        )
        ready, check, end = (json.loads(line) for line in done.stdout.splitlines())
        assert os.listdir(directory) == []
    assert ready["file"].startswith(directory)
    assert "not locked (mlock refused)" in {region["label"] for region in ready["regions"]}
    assert "locked" not in {region["label"] for region in ready["regions"]}
    assert check == {"changed": []}
    assert end["changed"] == []
    assert done.returncode == 0


GARBLED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"[" * 200_000,
    b"\xff\xfe\x00",
    b'{"pid": 7, "start_time": 8}',
    b'{"pid": 7, "start_time": 8, "regions": 5}',
    b'{"pid": 7, "start_time": 8, "regions": [5]}',
    b'{"pid": 7, "start_time": 8, "regions": [{"label": 5, "start": 1}]}',
    b'{"pid": 7, "start_time": 8, "regions": [{"label": "x", "start": "1"}]}',
    b'{"pid": 7, "start_time": 8, "regions": [{"label": "x", "start": true}]}',
    b'{"pid": 7, "start_time": 8, "regions": [{"label": "x", "start": -1}]}',
    b'{"pid": 7, "start_time": 8, "regions": [{"label": "x", "start": 1' + b"0" * 30 + b"}]}",
    b'{"pid": 7, "start_time": 9, "regions": [{"label": "x", "start": 1}]}',
    b" " * (2 << 20) + b'{"pid": 7, "start_time": 8, "regions": [{"label": "x", "start": 1}]}',
]


@pytest.mark.parametrize("content", GARBLED)
def test_a_garbled_label_file_has_no_words(tmp_path: Path, content: bytes) -> None:
    label_path(tmp_path, 7).write_bytes(content)
    assert labels_of(tmp_path, 7, 8) == {}


def test_a_good_label_file_has_them_raw_and_short(tmp_path: Path) -> None:
    body = {"pid": 7, "start_time": 8, "regions": [{"label": "\x1b[31m" + "x" * 999, "start": 4096}]}
    label_path(tmp_path, 7).write_text(json.dumps(body))
    assert labels_of(tmp_path, 7, 8) == {4096: "\x1b[31m" + "x" * 59}


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "link"])
def test_what_is_no_label_file_has_no_words(tmp_path: Path, kind: str) -> None:
    path = label_path(tmp_path, 7)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        other = tmp_path / "other"
        other.write_text('{"pid": 7, "start_time": 8, "regions": [{"label": "x", "start": 1}]}')
        path.symlink_to(other)
    assert labels_of(tmp_path, 7, 8) == {}


def test_a_frozen_one_is_ended_all_the_same(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = PracticeLink.start(state_dir, **SMALL)
    monkeypatch.setattr("memtui.practice.link.END_TIMEOUT_S", 0.5)
    os.kill(link.pid, signal.SIGSTOP)
    with pytest.raises(PracticeError, match="without its last check"):
        link.close()
    assert not _is_running(link.pid)
    wait_for(lambda: not _is_running(link.child_pid), "the end of the child")
    assert state_files(state_dir) == []


def test_it_pulls_nothing_of_memtui_in() -> None:
    program = (
        "import sys, memtui.practice.serve; print(sorted(m for m in sys.modules if m.startswith('memtui')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    inside = "['memtui', 'memtui.practice'"
    assert done.stdout.startswith(inside)
    modules = [name for name in done.stdout.strip("[]\n").replace("'", "").split(", ") if name != "memtui"]
    assert all(name.startswith("memtui.practice") for name in modules)

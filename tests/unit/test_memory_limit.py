"""The limits of memory cgroups, on folders made up: those of the real kernel are in tests/kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.linux import cgroup, memory_limit
from memtui.linux.memory_limit import MemoryLimits, OomKills

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MIB = 1 << 20


def group(folder: Path, limit: str | None, usage: int = 0, cache: int = 0, *, version: int = 2) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.procs").touch()
    if limit is None:
        return
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cache}\n")


def see(monkeypatch: pytest.MonkeyPatch, own: str, top: Path, *, root: str = "/") -> None:
    """Have a process stand in a group, and one hierarchy mounted, of whichever version is asked for."""
    monkeypatch.setattr(memory_limit, "read_process_file", lambda _pid, _name: own.encode())
    monkeypatch.setattr(memory_limit, "mounts", lambda _controller: [cgroup.Mount(root, str(top))])


def test_the_tightest_limit_of_all_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path, None)
    group(tmp_path / "a", str(10 * MIB), 4 * MIB)
    group(tmp_path / "a" / "b", "max")
    see(monkeypatch, "0::/a/b\n", tmp_path)
    limits = MemoryLimits(1)
    assert limits.allow(6 * MIB, 0)
    assert not limits.allow(6 * MIB + 1, 0)
    assert not limits.allow(6 * MIB, 0.05)
    group(tmp_path / "a", str(10 * MIB), 4 * MIB, cache=2 * MIB)
    assert limits.allow(8 * MIB, 0), "old cache of files goes without harm"


def test_version_1_has_the_say_where_it_has_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(tmp_path, str(0x7FFFFFFFFFFFF000), version=1)
    group(tmp_path / "a", str(4 * MIB), MIB, version=1)
    see(monkeypatch, "4:cpu,memory:/a\n0::/other\n", tmp_path)
    assert MemoryLimits(1).allow(3 * MIB, 0)
    assert not MemoryLimits(1).allow(4 * MIB, 0)


def test_what_is_not_seen_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path, None)
    for own in ("0::/../beside\n", "0::/no/such\n"):
        see(monkeypatch, own, tmp_path)
        limits = MemoryLimits(1)
        assert not limits.are_known
        assert not limits.allow(1, 0)
    group(tmp_path / "torn", "rubbish")
    see(monkeypatch, "0::/torn\n", tmp_path)
    assert not MemoryLimits(1).allow(1, 0)


def test_no_cgroups_are_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "read_process_file", lambda _pid, _name: b"")
    monkeypatch.setattr(memory_limit, "mounts", lambda _controller: [])
    assert MemoryLimits(1).allow(1 << 50, 0.05)


def test_a_mount_of_a_part_shows_that_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path, str(MIB))
    see(monkeypatch, "0::/part\n", tmp_path, root="/part")
    assert MemoryLimits(1).allow(MIB, 0)
    assert not MemoryLimits(1).allow(MIB + 1, 0)


def test_memory_high_is_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above it the kernel reclaims from the group, and slows it down."""
    group(tmp_path, str(10 * MIB), 4 * MIB)
    (tmp_path / "memory.high").write_text(f"{6 * MIB}\n")
    see(monkeypatch, "0::/\n", tmp_path)
    assert MemoryLimits(1).room_bytes(0) == 2 * MIB
    (tmp_path / "memory.high").write_text("max\n")
    assert MemoryLimits(1).room_bytes(0) == 6 * MIB
    assert MemoryLimits(1).room_bytes(0.5) == MIB
    assert MemoryLimits(1).room_bytes(0.9) == 0


def test_kills_of_the_groups_are_counted_from_when_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(tmp_path, None)
    group(tmp_path / "a", "max")
    events = tmp_path / "a" / "memory.events"
    events.write_text("low 0\noom 1\noom_kill 3\noom_group_kill 0\n")
    see(monkeypatch, "0::/a\n", tmp_path)
    watch = OomKills(1)
    assert watch.since() == 0
    events.write_text("low 0\noom 2\noom_kill 5\noom_group_kill 0\n")
    assert watch.since() == 2
    events.unlink()
    assert watch.since() is None, "the group is gone: it is not known"


def test_kills_under_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path, str(MIB), version=1)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    see(monkeypatch, "4:memory:/\n0::/x\n", tmp_path)
    watch = OomKills(1)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 1\noom_kill 1\n")
    assert watch.since() == 1


def test_where_no_count_is_to_be_seen_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path, str(MIB), version=1)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    see(monkeypatch, "4:memory:/\n", tmp_path)
    assert OomKills(1).since() is None
    see(monkeypatch, "0::/../beside\n", tmp_path)
    assert OomKills(1).since() is None

"""Mapped files by name: one whose server is gone hangs no plan, and one of the same inode is not another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from memtui.host import Selection as Marked
from memtui.host.local import LocalHost
from memtui.linux.capabilities import FileRights
from memtui.linux.file_look import Wanted, look
from memtui.linux.file_looker import ANSWERS_WITHIN_S
from memtui.linux.filecache import cached_bytes, open_mapped
from memtui.model.advice import Advice
from memtui.model.vma import MappedVma, Vma
from tests.conftest import need
from tests.kernel.fuse import SIZE, FuseMount
from tests.kernel.toolkit import NOBODY, REPOSITORY, as_user, command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("machine")

_MAPS_IT = """
import mmap, os, sys
with open(sys.argv[1], "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(memory[::4096])
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def mapping(path: Path, user: int | None = None) -> Iterator[int]:
    """Start a process that maps a file and has its pages in; give its pid."""
    program = [sys.executable, "-I", "-S", "-c", _MAPS_IT, str(path)]
    process = subprocess.Popen(
        program if user is None else as_user(user, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[FuseMount]:
    need(os.path.exists("/dev/fuse"), "the kernel has FUSE")
    place = tmp_path / "mount"
    place.mkdir()
    with FuseMount(place) as mounted:
        need(mounted.is_mounted, "FUSE can be mounted here")
        yield mounted


def vma_of(host: LocalHost, pid: int, path: Path) -> Vma:
    target = host.open(pid)
    try:
        return next(row.vma for row in target.look().rows() if row.vma.name == str(path))
    finally:
        target.release()


def test_a_server_that_is_gone_hangs_no_plan(fuse: FuseMount, host: LocalHost) -> None:
    with mapping(fuse.file) as pid:
        vma = vma_of(host, pid, fuse.file)
        assert cached_bytes(pid, vma, vma.range) == SIZE
        target = host.open(pid)
        with fuse.hung():
            began = time.monotonic()
            host.plan(Advice.WILLNEED, [Marked(target)])
            assert time.monotonic() - began < ANSWERS_WITHIN_S + 4, "bounded, with room for a loaded machine"
            assert cached_bytes(pid, vma, vma.range) is None, "not known, and not nothing"
            with pytest.raises(TimeoutError):
                open_mapped(pid, vma)
            began = time.monotonic()
            for advice in Advice:
                host.plan(advice, [Marked(target)])
            assert time.monotonic() - began < ANSWERS_WITHIN_S + 4, "its device is left alone for a while"
        target.release()


@pytest.mark.parametrize("advice", ["pageout", "willneed"])
@pytest.mark.parametrize("user", [None, NOBODY])
def test_a_command_ends_though_the_server_is_gone(
    fuse: FuseMount, nobodys_dir: Path, user: int | None, advice: str
) -> None:
    """Also for who is not root: then files are looked at by their names, and rights are asked for."""
    rights = "+sys_nice,+sys_ptrace,+dac_read_search"
    with mapping(fuse.file) as pid:
        program = command("--state-dir", nobodys_dir, "plan", advice, pid, "--select", "kind:file")
        wrapped = program if user is None else as_user(user, program, rights)
        with fuse.hung():
            done = subprocess.run(
                wrapped,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                encoding="utf-8",
                cwd=REPOSITORY,
                timeout=60,
                check=False,
            )
        assert str(fuse.file)[-20:] in done.stdout
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr


@contextmanager
def mounted(kind: str, place: Path, *options: str) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", kind, *options, "none", str(place)], capture_output=True, check=False
    )
    need(done.returncode == 0, f"{kind} can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def by_name(pid: int, vma: Vma) -> Wanted:
    return Wanted(pid, vma.inode, vma.device, (f"/proc/{pid}/root{vma.name}",), to_open=True)


def test_a_file_of_the_same_inode_on_another_device_is_not_it(tmp_path: Path, host: LocalHost) -> None:
    with mounted("tmpfs", tmp_path / "mount") as place:
        path = place / "data"
        path.write_bytes(b"x" * (1 << 20))
        with mapping(path) as pid:
            vma = vma_of(host, pid, path)
            row = MappedVma(vma, vma.kind, None, None)
            seen = look(by_name(pid, vma))
            assert seen is not None
            assert seen.fd is not None
            os.close(seen.fd)
            rights = FileRights(pid)
            rights._may_all = False
            assert rights.may_write(row) is True
            with mounted("tmpfs", place):
                path.write_bytes(b"another")
                assert path.stat().st_ino == vma.inode, "the same number, on another device"
                assert look(by_name(pid, vma)) is None
                rights = FileRights(pid)
                rights._may_all = False
                assert rights.may_write(row) is None
                opened = open_mapped(pid, vma)
                assert opened is not None, "the kernel itself leads to it, past all names"
                with opened:
                    assert opened.size_bytes == 1 << 20


def test_a_file_of_an_overlay_is_found_and_its_cache_unknown(tmp_path: Path, host: LocalHost) -> None:
    """To stat(2) it may be on another device than maps shows."""
    with mounted("tmpfs", tmp_path / "layers") as layers:
        for name in ("lower", "upper", "work"):
            (layers / name).mkdir()
        (layers / "lower/data").write_bytes(b"x" * (1 << 20))
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        with (
            mounted("overlay", tmp_path / "merged", "-o", options) as merged,
            mapping(merged / "data") as pid,
        ):
            vma = vma_of(host, pid, merged / "data")
            seen = look(by_name(pid, vma))
            assert seen is not None
            assert seen.fd is not None
            os.close(seen.fd)
            assert cached_bytes(pid, vma, vma.range) is None, "its pages are another file's; not 0"

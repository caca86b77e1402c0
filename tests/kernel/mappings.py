"""Mappings of every sort, each with what is known of it: what a forecast is held against."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.host import Selection
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.plan import Mark
from memtui.model.ranges import Range
from tests.conftest import need
from tests.kernel import swaps
from tests.kernel.toolkit import HUGE, MIB, PAGE, RESIDUE_BYTES, Child, at, smaps, wait_until
from tests.kernel.unshared import own_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SIZE = 4 * MIB
MADV_WILLNEED = 3
MADV_DONTNEED, MADV_FREE, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_PAGEOUT = 4, 8, 12, 14, 21
KSM = Path("/sys/kernel/mm/ksm")
READ, WRITE = 1, 2


@dataclass(frozen=True)
class Spot:
    """Where a mapping lies."""

    pid: int
    start: int
    size: int


@dataclass(frozen=True)
class Result:
    """One VMA: what was asked for, what was expected to leave RSS, and what did; bytes."""

    name: str
    requested: int
    forecast: int | None
    effect: int

    @property
    def is_close(self) -> bool:
        """Whether the forecast is within 2 %, or within what the kernel's LRU batches may keep."""
        if self.forecast is None:
            return False
        return abs(self.forecast - self.effect) <= max(RESIDUE_BYTES, self.effect // 50)

    @property
    def is_right(self) -> bool:
        """Whether it was right about anything happening at all."""
        return self.forecast is not None and (self.forecast > 0) == (self.effect > 0)


class Stage:
    """A child process to arrange mappings in, and what they need besides."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.child = self._stack.enter_context(Child())

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def another(self) -> Child:
        """Return one more child."""
        return self._stack.enter_context(Child())

    def in_mounts_of_its_own(self) -> Child:
        """Return one more child, with a mount namespace of its own."""
        return self._stack.enter_context(Child(wrapper=own_mounts()))

    def folder(self) -> str:
        """Return an empty folder on a disk."""
        return self._stack.enter_context(tempfile.TemporaryDirectory(prefix="memtui-test-", dir="/var/tmp"))

    def mount(self, kind: str) -> str:
        """Mount a file system of memory; return where. It goes with what maps its files."""
        place = self.folder()
        swaps.run("mount", "-t", kind, "none", place)
        self._stack.callback(swaps.run, "umount", "--lazy", place)
        return place

    def merging(self) -> None:
        """Have KSM merge what may be merged, until the test ends."""
        self._stack.enter_context(_ksm())

    def file(self, place: str = "/var/tmp") -> str:
        """Return the path of a file of SIZE, its pages clean."""
        folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="memtui-test-", dir=place))
        )
        folder.chmod(0o755)
        path = folder / "pages"
        with path.open("wb") as file:
            file.write(os.urandom(SIZE))
            file.flush()
            os.fsync(file.fileno())
        return str(path)

    def spot(self, start: int, size: int = SIZE, pid: int | None = None) -> Spot:
        """Return a place in the child."""
        return Spot(pid or self.child.pid, start, size)

    def huge(self) -> int:
        """Map and fill two huge pages; return their address."""
        start = self.child.map(2 * HUGE, align=HUGE)
        self.child.do("madvise", address=start, size=2 * HUGE, advice=MADV_HUGEPAGE)
        self.child.do("write", address=start, size=2 * HUGE, seed=1)
        return start

    def mapped(self, path: str, **arguments: object) -> int:
        """Map a file and read all of it."""
        start = self.child.map(SIZE, path=path, **arguments)
        self.child.do("touch", address=start, size=SIZE)
        return start


def anonymous(stage: Stage) -> Spot:
    return stage.spot(stage.child.map(SIZE, fill=1))


def untouched(stage: Stage) -> Spot:
    return stage.spot(stage.child.map(SIZE))


def every_other_page(stage: Stage) -> Spot:
    start = stage.child.map(SIZE)
    stage.child.do("dirty", address=start, size=SIZE, step=2 * PAGE)
    return stage.spot(start)


def zero_page(stage: Stage) -> Spot:
    start = stage.child.map(SIZE)
    stage.child.do("touch", address=start, size=SIZE)
    return stage.spot(start)


def forked(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, fill=1)
    stage.child.fork()
    return stage.spot(start)


def forked_half_written(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, fill=1)
    stage.child.fork()
    stage.child.do("dirty", address=start, size=SIZE // 2, step=PAGE)
    return stage.spot(start)


def huge(stage: Stage) -> Spot:
    return stage.spot(stage.huge(), 2 * HUGE)


def part_of_huge(stage: Stage) -> Spot:
    return stage.spot(stage.huge() + 50 * PAGE, 100 * PAGE)


def huge_forked_parent_wrote(stage: Stage) -> Spot:
    """The child maps the huge page as one; the parent's half of the first is its own."""
    start = stage.huge()
    fork = stage.child.fork()
    stage.child.do("dirty", address=start, size=HUGE // 2, step=PAGE)
    return stage.spot(start, 2 * HUGE, fork)


def huge_forked_writer(stage: Stage) -> Spot:
    return Spot(stage.child.pid, huge_forked_parent_wrote(stage).start, 2 * HUGE)


def huge_in_pieces(stage: Stage) -> Spot:
    """A huge page mapped by small entries, of which another process maps a part: nothing of it goes."""
    start = stage.huge()
    # A border in its middle has the kernel map it by small entries.
    stage.child.do("protect", address=start, size=HUGE // 2, protection=READ)
    stage.child.do("protect", address=start, size=HUGE // 2, protection=READ | WRITE)
    fork = stage.child.fork()
    stage.child.do("madvise", address=start, size=HUGE // 2, advice=MADV_DONTNEED)
    return stage.spot(start, HUGE, fork)


def tmpfs_file(stage: Stage) -> Spot:
    return stage.spot(stage.mapped(stage.file("/dev/shm"), shared=True))


def tmpfs_file_private(stage: Stage) -> Spot:
    start = stage.mapped(stage.file("/dev/shm"))
    stage.child.do("dirty", address=start, size=SIZE // 2, step=PAGE)
    return stage.spot(start)


def memfd(stage: Stage) -> Spot:
    return stage.spot(stage.child.map(SIZE, path=stage.child.do("memfd", size=SIZE), shared=True, fill=1))


def shared_anonymous(stage: Stage) -> Spot:
    return stage.spot(stage.child.map(SIZE, shared=True, fill=1))


def shared_anonymous_forked(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, shared=True, fill=1)
    fork = stage.child.fork()
    assert at(fork, start).rss == 0, "a fork does not copy the entries of shared memory"
    return stage.spot(start)


def file_private(stage: Stage) -> Spot:
    return stage.spot(stage.mapped(stage.file()))


def file_private_half_written(stage: Stage) -> Spot:
    start = stage.mapped(stage.file())
    stage.child.do("dirty", address=start, size=SIZE // 2, step=PAGE)
    return stage.spot(start)


def file_shared(stage: Stage) -> Spot:
    return stage.spot(stage.mapped(stage.file(), shared=True))


def file_shared_dirty(stage: Stage) -> Spot:
    return stage.spot(stage.child.map(SIZE, path=stage.file(), shared=True, fill=2))


def file_of_two(stage: Stage) -> Spot:
    """Half of it is mapped by another process too."""
    path = stage.file()
    start = stage.mapped(path)
    other = stage.another()
    theirs = other.map(SIZE, path=path)
    other.do("touch", address=theirs, size=SIZE // 2)
    return stage.spot(start)


def file_shared_dirty_aligned(stage: Stage) -> Spot:
    """A large folio of the page cache is mapped in one piece here: dirty or not, it goes."""
    return stage.spot(stage.child.map(SIZE, path=stage.file(), shared=True, fill=2, align=HUGE))


def file_shared_dirty_part(stage: Stage) -> Spot:
    """The range cuts through a dirty large folio, if the file system makes such."""
    spot = file_shared_dirty_aligned(stage)
    return stage.spot(spot.start + SIZE // 4, SIZE // 2)


def file_shared_dirty_with_holes(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, path=stage.file(), shared=True, align=HUGE)
    stage.child.do("dirty", address=start, size=SIZE, step=SIZE // 8)
    stage.child.do("write", address=start, size=SIZE // 8, seed=2)
    return stage.spot(start)


def file_of_two_over_a_window(stage: Stage) -> Spot:
    """The same where the look at the pages is cut in two: at a multiple of 256 MiB."""
    path = stage.file()
    window = 256 * MIB
    room = stage.child.map(2 * window, align=window, protection=0, no_reserve=True)
    start = stage.mapped(path, at=room + window - SIZE // 2 - SIZE // 4)
    other = stage.another()
    theirs = other.map(SIZE, path=path)
    other.do("touch", address=theirs, size=SIZE // 2)
    return stage.spot(start)


def memfd_twice(stage: Stage) -> Spot:
    """Half of it is mapped a second time, by the same process."""
    path = stage.child.do("memfd", size=SIZE)
    spot = stage.spot(stage.child.map(SIZE, path=path, shared=True, fill=1))
    again = stage.child.map(SIZE // 2, path=path, shared=True)
    stage.child.do("touch", address=again, size=SIZE // 2)
    return spot


def merged(stage: Stage) -> Spot:
    """KSM has merged the first half of it with itself."""
    start = stage.child.map(SIZE)
    for number in range(SIZE // MIB):
        # Of no two pages that are written so the contents are the same.
        stage.child.do("write", address=start + number * MIB, size=MIB, seed=number)
    stage.child.do("repeat", address=start, size=SIZE // 2)
    stage.child.do("madvise", address=start, size=SIZE, advice=MADV_MERGEABLE)
    stage.merging()
    wait_until(lambda: at(stage.child.pid, start).fields["KSM"] == SIZE // 2, "KSM has merged the pages")
    return stage.spot(start)


def system_v(stage: Stage) -> Spot:
    return _system_v(stage, locked=False)


def system_v_locked(stage: Stage) -> Spot:
    """SHM_LOCK leaves no trace in VmFlags."""
    return _system_v(stage, locked=True)


def _system_v(stage: Stage, *, locked: bool) -> Spot:
    start = stage.child.do("system_v", size=SIZE, locked=locked)
    stage.child.do("write", address=start, size=SIZE, seed=1)
    return stage.spot(start)


def ramfs_file(stage: Stage) -> Spot:
    return stage.spot(_of_a_mount(stage, stage.child, "ramfs", shared=True))


def ramfs_file_private_half_written(stage: Stage) -> Spot:
    """The copies are memory like any other, and go."""
    start = _of_a_mount(stage, stage.child, "ramfs")
    stage.child.do("dirty", address=start, size=SIZE // 2, step=PAGE)
    return stage.spot(start)


def ramfs_hidden(stage: Stage) -> Spot:
    child = stage.in_mounts_of_its_own()
    return stage.spot(_of_own_mount(stage, child, "ramfs", hidden=True), pid=child.pid)


def tmpfs_unmounted(stage: Stage) -> Spot:
    """No mount tells of it any more."""
    child = stage.in_mounts_of_its_own()
    return stage.spot(_of_own_mount(stage, child, "tmpfs", hidden=True), pid=child.pid)


def tmpfs_outside_of_its_root(stage: Stage) -> Spot:
    child = stage.another()
    place = stage.mount("tmpfs")
    start = _mapped(child, _written(place))
    child.do("change_root", path=place)
    return stage.spot(start, pid=child.pid)


def overlay_on_tmpfs(stage: Stage) -> Spot:
    """A container's file whose upper layer is tmpfs."""
    child = stage.in_mounts_of_its_own()
    place = stage.folder()
    child.do("run", script=_OVERLAY.format(place=place, mount="mount -t tmpfs none"))
    return stage.spot(_mapped(child, f"{place}/merged/pages"), pid=child.pid)


def overlay_on_a_disk(stage: Stage) -> Spot:
    child = stage.in_mounts_of_its_own()
    place = stage.folder()
    child.do("run", script=_OVERLAY.format(place=place, mount=":"))
    return stage.spot(_mapped(child, f"{place}/merged/pages"), pid=child.pid)


def pinned(stage: Stage) -> Spot:
    """Half of it is a registered buffer of an io_uring."""
    start = stage.child.map(SIZE, fill=1)
    stage.child.do("pin", address=start, size=SIZE // 2)
    return stage.spot(start)


def pinned_huge(stage: Stage) -> Spot:
    """Of a part of the first huge page: none of it goes."""
    start = stage.huge()
    stage.child.do("pin", address=start + PAGE, size=HUGE // 4)
    return stage.spot(start, 2 * HUGE)


def pinned_memfd(stage: Stage) -> Spot:
    """It leaves RSS, and stays in RAM."""
    spot = memfd(stage)
    stage.child.do("pin", address=spot.start, size=SIZE // 2)
    return spot


_OVERLAY = """
cd {place}; mkdir lower layers merged; {mount} layers; mkdir layers/upper layers/work
mount -t overlay -o lowerdir=lower,upperdir=layers/upper,workdir=layers/work none merged
dd if=/dev/urandom of=merged/pages bs=1M count=4; sync merged/pages
"""


def _written(place: str) -> str:
    path = Path(place) / "pages"
    path.write_bytes(os.urandom(SIZE))
    return str(path)


def _mapped(child: Child, path: str, *, shared: bool = True) -> int:
    start = child.map(SIZE, path=path, shared=shared)
    child.do("touch", address=start, size=SIZE)
    return start


def _of_a_mount(stage: Stage, child: Child, kind: str, *, shared: bool = False) -> int:
    return _mapped(child, _written(stage.mount(kind)), shared=shared)


def _of_own_mount(stage: Stage, child: Child, kind: str, *, hidden: bool) -> int:
    place = stage.folder()
    child.do("run", script=f"mount -t {kind} none {place}; dd if=/dev/urandom of={place}/pages bs=1M count=4")
    start = _mapped(child, f"{place}/pages")
    if hidden:
        child.do("run", script=f"umount --lazy {place}")
    return start


@contextmanager
def _ksm() -> Iterator[None]:
    """Have KSM run, and quickly; as it was at the end."""
    need(KSM.exists(), "KSM (CONFIG_KSM)")
    wanted = {"pages_to_scan": "20000", "sleep_millisecs": "1", "run": "1"}
    was = {name: (KSM / name).read_text() for name in wanted}
    try:
        for name, value in wanted.items():
            (KSM / name).write_text(value)
        yield
    finally:
        for name, value in was.items():
            (KSM / name).write_text(value)


def locked(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, fill=1)
    stage.child.do("lock", address=start, size=SIZE)
    return stage.spot(start)


def swapped(stage: Stage) -> Spot:
    start = stage.child.map(SIZE, fill=1)
    drain_batches()
    stage.child.do("madvise", address=start, size=SIZE, advice=MADV_PAGEOUT)
    return stage.spot(start)


def half_swapped(stage: Stage) -> Spot:
    spot = swapped(stage)
    stage.child.do("dirty", address=spot.start, size=SIZE // 2, step=PAGE)
    return spot


def everything(stage: Stage) -> Spot:
    """All of a process: its program, libraries, heap, stack and what the kernel maps."""
    return Spot(stage.child.pid, 0, 0)


CASES: dict[str, Callable[[Stage], Spot]] = {
    made.__name__: made
    for made in (
        *(anonymous, untouched, every_other_page, zero_page, forked, forked_half_written),
        *(huge, part_of_huge, huge_forked_parent_wrote, huge_forked_writer, huge_in_pieces),
        *(tmpfs_file, tmpfs_file_private, memfd, shared_anonymous, shared_anonymous_forked),
        *(file_private, file_private_half_written, file_shared, file_of_two, file_shared_dirty),
        *(file_shared_dirty_aligned, file_shared_dirty_part, file_shared_dirty_with_holes),
        file_of_two_over_a_window,
        *(memfd_twice, merged, system_v, system_v_locked),
        *(ramfs_file, ramfs_file_private_half_written, ramfs_hidden),
        *(tmpfs_unmounted, tmpfs_outside_of_its_root, overlay_on_tmpfs, overlay_on_a_disk),
        *(pinned, pinned_huge, pinned_memfd),
        *(locked, swapped, half_swapped, everything),
    )
}


def drain_batches() -> None:
    """Have every CPU fill its LRU batch with other pages, so that those of the children are in the LRU."""
    mine = os.sched_getaffinity(0)
    try:
        for cpu in mine:
            os.sched_setaffinity(0, {cpu})
            with mmap.mmap(-1, 64 * PAGE) as pages:
                for place in range(0, len(pages), PAGE):
                    pages[place] = 1
    finally:
        os.sched_setaffinity(0, mine)


def page_out(host: LocalHost, spot: Spot) -> list[Result]:
    """Plan, apply, and read the effect from smaps; a size of 0 stands for the whole process."""
    target = host.open(spot.pid)
    try:
        drain_batches()
        marks = (Mark(Range(spot.start, spot.start + spot.size), None),) if spot.size else None
        plan = host.plan(Advice.PAGEOUT, [Selection(target, marks)], Freeze.OFF)
        ranges = plan.targets[0].ranges
        before = _rss(spot.pid, [item.range for item in ranges])
        host.apply(plan)
        after = _rss(spot.pid, [item.range for item in ranges])
    finally:
        target.release()
    return [
        Result(item.name, item.requested_bytes, item.verdict.forecast_bytes, was - now)
        for item, was, now in zip(ranges, before, after, strict=True)
    ]


def _rss(pid: int, parts: Sequence[Range]) -> list[int]:
    """Return what smaps says of each part; of a part of a VMA, what it says of the VMA."""
    entries = smaps(pid)
    return [
        next(entry.rss for entry in entries.values() if entry.start <= part.start and part.end <= entry.end)
        for part in parts
    ]

"""The map worth teaching: how its parts are laid out, filled, touched and checked."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, fields
from math import ceil
from typing import TYPE_CHECKING

from memtui.practice import memory
from memtui.practice.child import WaitingChild
from memtui.practice.files import FALLBACK, PREFIX, claim, is_in_memory
from memtui.practice.labels import Region
from memtui.practice.memory import PAGE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

HOT = "hot"
COLD = "cold"
SHARED = "shared with a child"
FILE = "file"
SHARED_MEMORY = "shared memory"
LOCKED = "locked"
NOT_LOCKED = "not locked (mlock refused)"
ONE_PAGE = "one-page"
GUARD = "guard page"

LOCKED_LIMIT_BYTES = 64 << 10
"""What an unprivileged user may lock on an old system (RLIMIT_MEMLOCK before Linux 5.16)."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """How large the parts are; 0 leaves one out. Sizes are rounded up to whole pages.

    Raises:
        ValueError: for a negative size, or more than 64 KiB locked.
    """

    hot_bytes: int = 8 << 20
    cold_bytes: int = 32 << 20
    shared_bytes: int = 8 << 20
    file_bytes: int = 16 << 20
    shmem_bytes: int = 4 << 20
    locked_bytes: int = LOCKED_LIMIT_BYTES
    one_page_count: int = 64

    def __post_init__(self) -> None:
        for part in fields(self):
            if getattr(self, part.name) < 0:
                raise ValueError(f"{part.name} is negative")
        if self.locked_bytes > LOCKED_LIMIT_BYTES:
            raise ValueError(f"locked_bytes is more than {LOCKED_LIMIT_BYTES}")


def _whole_pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES


class PracticeMap:
    """The regions, from the moment they are filled.

    They are carved out of one reserved stretch, so that neither the allocator's memory nor one
    another's can merge with them: where two neighbours could, a guard page stands between them.
    Everything but ``shared with a child`` is filled after the fork, and so is nobody else's.

    Raises:
        OSError: if memory, or space for the file, is missing.
    """

    def __init__(self, sizes: Sizes, state_dir: Path, name: str) -> None:
        self.regions: list[Region] = []
        self.file_path: Path | None = None
        self.file_fd = -1
        self.file_on_disk = False
        self._lay_out(sizes)
        self._fill(SHARED)
        self.child = WaitingChild()
        try:
            self._place_file(sizes, state_dir, name)
            for label in (HOT, COLD):
                self._fill(label)
            self._place_shared_memory()
            self._place_locked()
            self._place_one_pages()
            self._sums = [(region, self._sum(region)) for region in self.regions if region.label != GUARD]
        except BaseException:
            self.close()
            raise
        hot = self._labelled(HOT)
        self._hot = memory.view(hot[0].start, hot[0].end - hot[0].start)[::PAGE_BYTES] if hot else None

    def _lay_out(self, sizes: Sizes) -> None:
        """Reserve the addresses and name them; nothing is mapped yet."""
        wanted = [
            (HOT, sizes.hot_bytes),
            (GUARD, PAGE_BYTES),
            (COLD, sizes.cold_bytes),
            (GUARD, PAGE_BYTES),
            (FILE, sizes.file_bytes),
            (SHARED, sizes.shared_bytes),
            (SHARED_MEMORY, sizes.shmem_bytes),
            (GUARD, PAGE_BYTES),
            (LOCKED, sizes.locked_bytes),
            *[(ONE_PAGE, PAGE_BYTES)] * sizes.one_page_count,
        ]
        parts = [(GUARD, PAGE_BYTES)]
        for label, size_bytes in wanted:
            if size_bytes and not label == parts[-1][0] == GUARD:
                parts.append((label, _whole_pages(size_bytes)))
        if parts[-1][0] != GUARD:
            parts.append((GUARD, PAGE_BYTES))
        at = memory.reserve(sum(size_bytes for _, size_bytes in parts))
        for label, size_bytes in parts:
            self.regions.append(Region(label, at, at + size_bytes))
            at += size_bytes

    def _labelled(self, label: str) -> list[Region]:
        return [region for region in self.regions if region.label == label]

    def _fill(self, label: str) -> None:
        for region in self._labelled(label):
            memory.place(region.start, region.end - region.start)
            _write_noise(region)

    def _place_file(self, sizes: Sizes, state_dir: Path, name: str) -> None:
        if not sizes.file_bytes:
            return
        region = self._labelled(FILE)[0]
        directory = state_dir
        if is_in_memory(state_dir) and os.access(FALLBACK, os.W_OK):
            directory = FALLBACK
        path = directory / f"{PREFIX}{name}.data"
        self.file_fd = claim(path)
        self.file_path = path
        self.file_on_disk = not is_in_memory(directory)
        with open(self.file_fd, "wb", closefd=False, buffering=0) as file:
            for size_bytes in _chunks(region.end - region.start):
                file.write(os.urandom(size_bytes))
        # What is on the disk already can be dropped at once, without a write.
        os.fsync(self.file_fd)
        memory.place(region.start, region.end - region.start, self.file_fd, writable=False)

    def _place_shared_memory(self) -> None:
        for region in self._labelled(SHARED_MEMORY):
            fd = os.memfd_create("practice")
            try:
                os.ftruncate(fd, region.end - region.start)
                memory.place(region.start, region.end - region.start, fd, shared=True)
            finally:
                os.close(fd)
            _write_noise(region)

    def _place_locked(self) -> None:
        self._fill(LOCKED)
        for region in self._labelled(LOCKED):
            if not memory.lock(region.start, region.end - region.start):
                self.regions[self.regions.index(region)] = region._replace(label=NOT_LOCKED)

    def _place_one_pages(self) -> None:
        self._fill(ONE_PAGE)
        for region in self._labelled(ONE_PAGE)[::2]:
            memory.make_read_only(region.start, PAGE_BYTES)

    @staticmethod
    def _sum(region: Region) -> list[int]:
        whole = memory.view(region.start, region.end - region.start)
        return [zlib.crc32(whole[at : at + _CHUNK_BYTES]) for at in range(0, len(whole), _CHUNK_BYTES)]

    def touch_hot(self) -> None:
        """Read and write every page of the hot region, leaving its content as it is."""
        if self._hot is not None:
            self._hot[:] = self._hot.tobytes()

    def touch(self, label: str, share: float) -> int:
        """Read the first ``share`` (0 to 1) of the pages with a label; return their bytes.

        Raises:
            ValueError: for a label that is not there or cannot be read, or a share out of bounds.
        """
        regions = self._labelled(label)
        if not regions or label == GUARD:
            raise ValueError(f"no region {label!r} to touch")
        if not 0 <= share <= 1:
            raise ValueError("share is not from 0 to 1")
        left = ceil(sum(region.end - region.start for region in regions) // PAGE_BYTES * share)
        touched = 0
        for region in regions:
            pages = min(left, (region.end - region.start) // PAGE_BYTES)
            if pages:
                memory.view(region.start, pages * PAGE_BYTES)[::PAGE_BYTES].tobytes()
            touched += pages * PAGE_BYTES
            left -= pages
        return touched

    def changed(self) -> list[str]:
        """Return the labels of what is not as it was filled. Reads, and so brings in, every page."""
        labels = [region.label for region, expected in self._sums if self._sum(region) != expected]
        return list(dict.fromkeys(labels))

    def close(self) -> None:
        """End the child and remove the file. The memory stays until we end."""
        self.child.end()
        if self.file_path is not None:
            self.file_path.unlink(missing_ok=True)
            os.close(self.file_fd)
            self.file_fd = -1
            self.file_path = None


def _write_noise(region: Region) -> None:
    """Fill a region with bytes that neither zram nor KSM can make smaller."""
    whole = memory.view(region.start, region.end - region.start)
    at = 0
    for size_bytes in _chunks(len(whole)):
        whole[at : at + size_bytes] = os.urandom(size_bytes)
        at += size_bytes


def _chunks(total_bytes: int) -> list[int]:
    whole, rest = divmod(total_bytes, _CHUNK_BYTES)
    return [_CHUNK_BYTES] * whole + ([rest] if rest else [])

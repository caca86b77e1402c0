"""Values of the model, made with as few words as a test needs."""

from __future__ import annotations

from memtui.model.pages import CacheFacts, HugeFacts, PageFacts
from memtui.model.process import Process, ProcessId
from memtui.model.vma import MappedVma, Vma, VmaDetails, VmaKind

BASE = 0x7F00_0000_0000


def details(
    flags: str = "rd wr mr mw me ac",
    rss: int = 0,
    shared: int = 0,
    anonymous: int = 0,
    huge: int = 0,
    swap: int = 0,
    size: int = 0,
    lazy_free: int = 0,
    merged: int = 0,
    unevictable: bool = False,
) -> VmaDetails:
    return VmaDetails(
        flags=tuple(flags.split()),
        rss_bytes=rss,
        pss_bytes=rss,
        shared_bytes=shared,
        referenced_bytes=0,
        anonymous_bytes=anonymous,
        huge_bytes=huge,
        swap_bytes=swap,
        locked_bytes=0,
        size_bytes=size,
        lazy_free_bytes=lazy_free,
        merged_bytes=merged,
        unevictable=unevictable,
    )


def vma(
    kind: VmaKind = VmaKind.ANON,
    size: int = 1 << 20,
    start: int = BASE,
    perms: str = "rw-p",
    name: str = "",
    inode: int = 0,
    offset: int = 0,
) -> Vma:
    return Vma(start, start + size, perms, offset, "08:01" if inode else "00:00", inode, name, kind)


def row(
    of: Vma | None = None,
    rss: int | None = None,
    swap: int | None = None,
    more: VmaDetails | None = None,
    label: str | None = None,
    pages: PageFacts | None = None,
    blocks: HugeFacts | None = None,
    cache: CacheFacts | None = None,
) -> MappedVma:
    return MappedVma(of or vma(), rss, swap, more, label, pages, blocks, cache)


def process(
    pid: int = 42,
    name: str = "cat",
    user: str | None = "root",
    state: str = "S",
    rss: int | None = None,
    swap: int | None = None,
    command: str | None = None,
    cgroup: str | None = None,
) -> Process:
    return Process(ProcessId(pid, 1, "boot"), name, user, state, rss, swap, None, command, cgroup)

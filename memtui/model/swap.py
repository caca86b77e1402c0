"""What a swap area does with a page that was written to it (measured on Linux 6.18)."""

from __future__ import annotations

from enum import Enum


class SwapKind(str, Enum):
    """The kind of a swap area."""

    DISK = "disk"
    """A partition or a file: the page stays in the swap cache, and in RAM, until reclaim takes it."""
    ZSWAP = "zswap"
    """A disk with zswap before it: what it takes is compressed in RAM, and the page is freed at once."""
    ZRAM = "zram"
    """Memory (zram, brd, pmem): writing is done at once, and the page is freed at once."""


_MEMORY_DEVICES = ("/dev/zram", "/dev/ram", "/dev/pmem")


def swap_kind(path: str) -> SwapKind:
    """Return the kind of a swap area by its path in /proc/swaps (SWP_SYNCHRONOUS_IO, mm/swapfile.c)."""
    return SwapKind.ZRAM if path.startswith(_MEMORY_DEVICES) else SwapKind.DISK

"""The machine: memory, swap, pressure, devices and limits. Bytes throughout."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from memtui.linux.procfs import decode, kib_to_bytes, parse_colon_lines, read_file
from memtui.model.swap import SwapKind, swap_kind
from memtui.model.verdict import MachineFacts


class Memory(NamedTuple):
    """What memtui needs of /proc/meminfo and /proc/vmstat; None where the kernel does not say.

    ``swapped_in_bytes`` counts since boot. ``zswapped_bytes`` is what zswap holds, as it was before it was
    compressed; None also before Linux 5.19, whose meminfo does not say.
    """

    total_bytes: int | None
    free_bytes: int | None
    available_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    swap_cached_bytes: int | None
    swapped_in_bytes: int | None
    zswapped_bytes: int | None = None


class Swap(NamedTuple):
    """A line of /proc/swaps."""

    path: str
    kind: str
    size_bytes: int
    used_bytes: int
    priority: int


def _read(path: str) -> bytes | None:
    try:
        return read_file(path)
    except OSError:
        # Each of these files is optional: a kernel without it leaves the value unknown.
        return None


def _number(text: bytes | str | None) -> int | None:
    """Return a number that a file holds; None where it holds something else, or is not there."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def memory() -> Memory:
    """Return the state of memory now."""
    info = parse_colon_lines(_read("/proc/meminfo") or b"")
    swapped_in = None
    for line in (_read("/proc/vmstat") or b"").split(b"\n"):
        if line.startswith(b"pswpin "):
            pages = _number(line[7:])
            swapped_in = None if pages is None else pages * os.sysconf("SC_PAGE_SIZE")
            break
    return Memory(
        total_bytes=kib_to_bytes(info.get("MemTotal")),
        free_bytes=kib_to_bytes(info.get("MemFree")),
        available_bytes=kib_to_bytes(info.get("MemAvailable")),
        swap_total_bytes=kib_to_bytes(info.get("SwapTotal")),
        swap_free_bytes=kib_to_bytes(info.get("SwapFree")),
        swap_cached_bytes=kib_to_bytes(info.get("SwapCached")),
        swapped_in_bytes=swapped_in,
        zswapped_bytes=kib_to_bytes(info.get("Zswapped")),
    )


def zswap_is_on() -> bool:
    """Return whether zswap compresses what goes to swap (Documentation/admin-guide/mm/zswap.rst)."""
    return (_read("/sys/module/zswap/parameters/enabled") or b"").strip() in (b"Y", b"1")


def swaps() -> list[Swap] | None:
    """Return the swap areas in use (proc_swaps(5)); None where the kernel does not say."""
    heading, *lines = decode(_read("/proc/swaps") or b"").split("\n")
    if not heading:
        # It is there even without any swap.
        return None
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) >= 5:
            size, used, priority = map(_number, fields[2:5])
            if size is None or used is None or priority is None:
                return None
            found.append(Swap(fields[0], fields[1], size * 1024, used * 1024, priority))
    return found


def pressure_some_avg10() -> float | None:
    """Return the share of the last 10 s in which some task waited for memory, in percent (PSI)."""
    data = _read("/proc/pressure/memory")
    if data is None or not data.startswith(b"some "):
        return None
    for field in data.split(b"\n", 1)[0].split():
        if field.startswith(b"avg10="):
            with suppress(ValueError):
                return float(field[6:])
    return None


@cache
def boot_id() -> str:
    """Return the identity of this boot; empty where the kernel has none."""
    return decode(_read("/proc/sys/kernel/random/boot_id") or b"").strip()


@cache
def machine_id() -> str:
    """Return what tells this machine from others: its machine-id(5), or else its name."""
    return decode(_read("/etc/machine-id") or b"").strip() or os.uname().nodename


def online_cpus() -> list[int]:
    """Return the numbers of the CPUs that are online, whether or not we may run on them."""
    found: list[int] = []
    for part in decode(_read("/sys/devices/system/cpu/online") or b"").strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.extend(range(int(first), int(last or first) + 1))
    return found or list(range(os.cpu_count() or 1))


@cache
def huge_page_bytes() -> int | None:
    """Return the size of a transparent huge page, or None where the kernel has none.

    Without /sys, meminfo tells whether it has any; one is as large as what a page full of 8-byte entries
    maps (PMD_SIZE on x86-64 and arm64).
    """
    size = _number(_read("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"))
    if size is None and b"\nAnonHugePages:" in (_read("/proc/meminfo") or b""):
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        return page_bytes // 8 * page_bytes
    return size


def facts() -> MachineFacts:
    """Return what verdicts need to know of the machine."""
    now = memory()
    return MachineFacts(
        swap_free_bytes=now.swap_free_bytes,
        huge_page_bytes=huge_page_bytes(),
        swap_cached_bytes=now.swap_cached_bytes,
        swap_is_memory=_swap_is_memory(),
        file_huge_pages=file_huge_pages(),
        shmem_huge_pages=shmem_huge_pages(),
    )


def _swap_is_memory() -> bool | None:
    """Return whether what is in swap is read at once; None where most of it is, perhaps."""
    areas = swaps()
    if areas and all(swap_kind(area.path) is SwapKind.ZRAM for area in areas):
        return True
    return None if zswap_is_on() else False


def shmem_huge_pages() -> bool | None:
    """Return whether COLLAPSE makes huge pages of shared memory; None where the kernel does not say.

    Measured on Linux 6.18: only ``deny`` refuses it, ``never`` does not.
    """
    data = _read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    return None if data is None else b"[deny]" not in data


@cache
def file_huge_pages() -> bool | None:
    """Return whether COLLAPSE makes huge pages of a file system's files; None where nobody tells.

    The kernel's configuration tells; one that does not name the option is of a kernel that may have
    another rule.
    """
    for line in _kernel_config().split(b"\n"):
        if line == b"CONFIG_READ_ONLY_THP_FOR_FS=y":
            return True
        if line == b"# CONFIG_READ_ONLY_THP_FOR_FS is not set":
            return False
    return None


def _kernel_config() -> bytes:
    """Return the configuration of the running kernel; empty where it cannot be read."""
    import gzip
    import zlib

    packed = _read("/proc/config.gz")
    if packed is None:
        return _read(f"/boot/config-{os.uname().release}") or b""
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        # Not what it says it is: as good as not there.
        return b""


def shmem_devices(pid: int) -> frozenset[str]:
    """Return the devices (``major:minor`` in hexadecimal, as in maps) of the tmpfs mounts a process sees.

    They are those of its own mount namespace (a container's /dev/shm), and of ours.
    """
    return frozenset(device for device, kind in file_systems(pid).items() if kind == "tmpfs")


def file_systems(pid: int) -> dict[str, str]:
    """Return the type of the file system on each device (``major:minor`` in hexadecimal, as in maps).

    A process sees the mounts below its root (proc_pid_mountinfo(5)): of one in a chroot ours tell the rest.
    What was unmapped with ``umount -l``, or lies in a namespace of neither, is missing.
    """
    found: dict[str, str] = {}
    for name in ("self", str(pid)):
        for line in decode(_read(f"/proc/{name}/mountinfo") or b"").split("\n"):
            place, _, rest = line.partition(" - ")
            fields = place.split(" ")
            if len(fields) > 2:
                major, _, minor = fields[2].partition(":")
                found[f"{int(major):02x}:{int(minor):02x}"] = rest.partition(" ")[0]
    return found


_DEFAULT_READ_AHEAD_BYTES = 128 * 1024


def raise_file_limit() -> None:
    """Allow ourselves as many open files as we may have: each open target takes three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@cache
def read_ahead_bytes(device: str) -> int:
    """Return what one WILLNEED element reads at most of a file on ``device`` (``major:minor``, hex).

    Beyond it the kernel reads nothing and reports success (force_page_cache_readahead()). Where the
    device does not say, the kernel's default of 128 KiB is assumed: too small only costs elements.
    """
    major, _, minor = device.partition(":")
    number = f"{int(major, 16)}:{int(minor, 16)}"
    for path in (
        f"/sys/class/bdi/{number}/read_ahead_kb",
        f"/sys/dev/block/{number}/queue/read_ahead_kb",
        f"/sys/dev/block/{number}/../queue/read_ahead_kb",
    ):
        kib = _number(_read(path))
        if kib:
            return kib * 1024
    return _DEFAULT_READ_AHEAD_BYTES

"""A VMA in words: in one line, and all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.format import SafeText, address_range, count, safe, size
from memtui.model.vma import MappedVma, VmaKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memtui.model.restore import Sharers

_MAPPERS_TOLD = 40

FLAG_WORDS: Mapping[str, str] = {
    # Documentation/filesystems/proc.rst, "VmFlags", and fs/proc/task_mmu.c.
    "rd": "readable",
    "wr": "writable",
    "ex": "executable",
    "sh": "shared",
    "mr": "may read",
    "mw": "may write",
    "me": "may execute",
    "ms": "may share",
    "gd": "stack segment grows down",
    "pf": "pure PFN range",
    "lo": "pages are locked in memory",
    "io": "memory mapped I/O area",
    "sr": "sequential read advice",
    "rr": "random read advice",
    "dc": "not copied on fork",
    "de": "not expanded on remapping",
    "ac": "accountable",
    "nr": "no swap space reserved",
    "ht": "huge pages of hugetlbfs",
    "sf": "synchronous page fault",
    "ar": "architecture specific flag",
    "wf": "wiped on fork",
    "dd": "not in a core dump",
    "sd": "soft dirty",
    "mm": "mixed map area",
    "hg": "huge pages advised",
    "nh": "no huge pages advised",
    "mg": "mergeable by KSM",
    "bt": "guarded by branch target identification",
    "mt": "memory tagging allowed",
    "um": "userfaultfd: missing pages tracked",
    "uw": "userfaultfd: write protection tracked",
    "ui": "userfaultfd: minor faults tracked",
    "ss": "shadow or guarded control stack",
    "sl": "sealed",
    "lf": "locked on fault",
    "dp": "droppable: lost under pressure",
    "gu": "has guard pages",
}
"""The two letters of a VmFlag, in words."""

NOTABLE_FLAGS = ("lo", "pf", "ht", "io", "um", "uw", "ui", "lf", "dp", "hg", "nh", "mg", "gu", "sl")
"""VmFlags that change what an advice does, the weightiest first."""


def name_of(row: MappedVma) -> SafeText:
    """Return what a VMA is called: the practice's word first."""
    path = row.vma.name
    folder, _, last = path.rpartition("/")
    # The end of a path says most, and a narrow column shows its beginning.
    parts = (row.label, last, folder) if path.startswith("/") and last and folder else (row.label, path)
    return safe("  ".join(part for part in parts if part))


def describe_vma(row: MappedVma) -> SafeText:
    """Return a VMA in one line, its flags in words."""
    vma = row.vma
    parts = [address_range(vma.start, vma.end), vma.perms, row.kind.value]
    if name := name_of(row):
        parts.append(name)
    words = [FLAG_WORDS[flag] for flag in NOTABLE_FLAGS if flag in (row.flags or ())]
    if words:
        parts.append(f"({', '.join(words)})")
    return safe(" ".join(parts))


def explain_vma(row: MappedVma) -> list[SafeText]:
    """Return what a VMA is, and its numbers."""
    vma, details = row.vma, row.details
    whose = "shared: writes reach others" if vma.is_shared else "private"
    lines = [
        f"{address_range(vma.start, vma.end)}  {name_of(row) or '(no name)'}",
        f"kind        {row.kind.value}, {vma.perms} ({whose})",
    ]
    if vma.inode:
        lines.append(f"file        device {vma.device}, inode {vma.inode}, offset {vma.offset:,}")
    lines += [
        f"size        {size(vma.size_bytes):<7} addresses; what is in RAM is RSS",
        f"RSS         {size(row.rss_bytes):<7} in RAM",
        f"swap        {size(row.swap_bytes):<7} in swap",
    ]
    if details is None:
        lines.append("PSS         ?       smaps was not read, or may not be")
        return [safe(line) for line in lines]
    numbers = [
        ("PSS", details.pss_bytes, "its share, where several map the same pages"),
        ("shared", details.shared_bytes, "mapped more than once: COLD and PAGEOUT skip these pages"),
        ("referenced", details.referenced_bytes, "marked as used since the kernel last looked"),
        ("anonymous", details.anonymous_bytes, "has no file behind it: goes to swap"),
        ("huge", details.huge_bytes, "in huge pages"),
        ("locked", details.locked_bytes, "may not leave RAM"),
    ]
    if row.kind is VmaKind.HUGETLB:
        numbers.append(("hugetlb", details.hugetlb_bytes, "in RAM for good; the kernel leaves it out of RSS"))
    lines += [f"{name:<11} {size(number):<7} {words}" for name, number, words in numbers]
    return [safe(line) for line in lines]


def explain_flags(row: MappedVma) -> list[SafeText]:
    """Return the VmFlags in words."""
    lines = ["", "Flags"]
    if row.flags is None:
        lines.append("  ?         smaps was not read, or may not be")
    lines += [
        f"  {flag:<9} {FLAG_WORDS.get(flag, 'a flag that memtui does not know')}" for flag in row.flags or ()
    ]
    return [safe(line) for line in lines]


def explain_mappers(mappers: Sharers | None, words: str) -> list[SafeText]:
    """Return who else maps the file; ``words`` stand where that is not known, or not yet."""
    lines = ["", "Other processes that map it"]
    if mappers is None:
        return [safe(line) for line in (*lines, f"  {words}")]
    lines += [f"  {item.pid:>7} {item.name}" for item in mappers.found[:_MAPPERS_TOLD]]
    if len(mappers.found) > _MAPPERS_TOLD:
        lines.append(f"  and {len(mappers.found) - _MAPPERS_TOLD:,} more")
    unread = f"{count(mappers.unreadable, 'process', 'processes')} could not be looked at"
    if not mappers.found:
        lines.append("  none was seen" if mappers.unreadable or mappers.possible else "  none")
    lines += [
        f"  ? {item.pid:>5} {item.name} (the same file on another device: its pages cannot be compared)"
        for item in mappers.possible[:_MAPPERS_TOLD]
    ]
    if mappers.mapped_again:
        lines.append(f"  this process itself maps it {count(mappers.mapped_again, 'time', 'times')} more")
    if mappers.unreadable:
        lines.append(f"  ? {unread}")
    return [safe(line) for line in lines]

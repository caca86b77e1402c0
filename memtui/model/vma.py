"""A VMA: what it is, its flags in words, and how it is known again when the map has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, cast

from memtui.model.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memtui.model.pages import CacheFacts, HugeFacts, PageFacts
    from memtui.model.process import ProcessId


class VmaKind(str, Enum):
    """What a VMA maps."""

    HEAP = "heap"
    STACK = "stack"
    ANON = "anon"
    FILE = "file"
    SHMEM = "shmem"
    HUGETLB = "hugetlb"
    VDSO = "vdso"
    VVAR = "vvar"
    VSYSCALL = "vsyscall"
    DEVICE = "device"
    OTHER = "other"


ANONYMOUS_KINDS = frozenset({VmaKind.HEAP, VmaKind.STACK, VmaKind.ANON})
"""Kinds whose pages have no file behind them and go to swap."""

CACHED_KINDS = frozenset({VmaKind.FILE, VmaKind.SHMEM})
"""Kinds whose pages stand in the page cache, whether or not a process maps them."""

USERFAULTFD_FLAGS = frozenset({"um", "uw", "ui"})
"""The flags of memory that a userfaultfd serves."""


class VmaIdentity(NamedTuple):
    """What must be equal for a VMA to be the same mapping as before.

    Heap and stack are known by name alone, since they grow and split. ``delta`` is the file offset
    minus the start address, which stays when a mapping is cut or grows at its end; None where there
    is no file. The kind follows from these fields and needs no place of its own.
    """

    name: str
    perms: str
    device: str
    inode: int
    delta: int | None


@dataclass(frozen=True, slots=True)
class Vma:
    """One line of /proc/PID/maps.

    ``perms`` is as in maps (``rw-p``); ``offset`` is in bytes; ``device`` is ``major:minor`` in
    hexadecimal; ``name`` is raw, as the kernel writes it (a newline in a path reads ``\\012``).
    """

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    name: str
    kind: VmaKind
    _identity: VmaIdentity = field(init=False, repr=False, compare=False)

    @property
    def size_bytes(self) -> int:
        """The size of the mapping."""
        return self.end - self.start

    @property
    def range(self) -> Range:
        """The addresses of the mapping."""
        return Range(self.start, self.end)

    @property
    def is_shared(self) -> bool:
        """Whether writes reach others (MAP_SHARED)."""
        return self.perms[3:4] == "s"

    @property
    def identity(self) -> VmaIdentity:
        """How this mapping is known again. Worked out once: a plan asks for it again and again."""
        try:
            return self._identity
        except AttributeError:
            found = identity_of(self.name, self.perms, self.device, self.inode, self.offset, self.start)
            object.__setattr__(self, "_identity", found)
            return found


def identity_of(name: str, perms: str, device: str, inode: int, offset: int, start: int) -> VmaIdentity:
    """Return the identity of a mapping from the fields of maps or of PROCMAP_QUERY."""
    if name == "[heap]" or name.startswith("[stack"):
        return VmaIdentity(name, "", "", 0, None)
    return VmaIdentity(name, perms, device, inode, offset - start if inode else None)


_SPECIAL_KINDS: Mapping[str, VmaKind] = {
    "[heap]": VmaKind.HEAP,
    "[stack]": VmaKind.STACK,
    "[vdso]": VmaKind.VDSO,
    "[vsyscall]": VmaKind.VSYSCALL,
    "[vvar]": VmaKind.VVAR,
    "[vvar_vclock]": VmaKind.VVAR,
}


def kind_of(name: str, device: str, inode: int, perms: str, shmem_devices: frozenset[str]) -> VmaKind:
    """Return the kind that a line of maps tells.

    ``shmem_devices`` are the devices (``major:minor`` in hexadecimal) of tmpfs mounts. A hugetlb
    mapping of a memfd or of System V looks like shared memory here: only its VmFlags tell.
    """
    if not name:
        return VmaKind.ANON
    if name[0] == "[":
        return _kind_in_brackets(name)
    if name.startswith(("/memfd:", "/SYSV", "/dev/shm/")) or device in shmem_devices:
        return VmaKind.SHMEM
    if name.startswith(("/anon_hugepage", "/dev/hugepages/")):
        return VmaKind.HUGETLB
    if name.startswith("/dev/zero"):
        return VmaKind.SHMEM if perms[3:4] == "s" else VmaKind.ANON
    if name.startswith("/dev/"):
        return VmaKind.DEVICE
    return VmaKind.FILE if name[0] == "/" and inode else VmaKind.OTHER


def _kind_in_brackets(name: str) -> VmaKind:
    special = _SPECIAL_KINDS.get(name)
    if special is not None:
        return special
    if name.startswith("[anon:"):
        return VmaKind.ANON
    if name.startswith("[anon_shmem:"):
        return VmaKind.SHMEM
    return VmaKind.STACK if name.startswith("[stack") else VmaKind.OTHER


class VmaDetails(NamedTuple):
    """What only smaps tells of a VMA; bytes.

    ``shared_bytes`` are resident pages that another mapping maps as well (Shared_Clean plus
    Shared_Dirty), which COLD and PAGEOUT skip in silence. ``lazy_free_bytes`` are resident pages that
    their owner gave up with MADV_FREE: reclaim, and so PAGEOUT, drops them. ``merged_bytes`` are resident
    pages that KSM merged (Linux 6.8), ``hugetlb_bytes`` memory of hugetlbfs, which RSS leaves out. ``flags``
    is None where the kernel writes no VmFlags. The last two are found beside
    smaps: ``in_shmem`` that the file is shared memory, though no mount that can be seen says so, and
    ``unevictable`` that its pages never leave RAM (SHM_LOCK, ramfs); own copies of them do.
    """

    flags: tuple[str, ...] | None
    rss_bytes: int
    pss_bytes: int
    shared_bytes: int
    referenced_bytes: int
    anonymous_bytes: int
    huge_bytes: int
    swap_bytes: int
    locked_bytes: int
    size_bytes: int = 0
    lazy_free_bytes: int = 0
    merged_bytes: int = 0
    hugetlb_bytes: int = 0
    in_shmem: bool = False
    unevictable: bool = False

    def has_flag(self, flag: str) -> bool:
        """Whether a flag is known to be set."""
        return self.flags is not None and flag in self.flags


def kind_with(vma: Vma, details: VmaDetails | None) -> VmaKind:
    """Return the kind of a VMA, with what its details add to it."""
    if details is None:
        return vma.kind
    if details.has_flag("ht"):
        return VmaKind.HUGETLB
    return VmaKind.SHMEM if details.in_shmem and vma.kind is VmaKind.FILE else vma.kind


class MappedVma(NamedTuple):
    """A VMA with its live numbers; None is what could not be read. ``label`` is the practice's word.

    ``pages``, ``blocks`` and ``cache`` are looked up for a plan only, each for the advices it serves:
    COLD and PAGEOUT, COLLAPSE, and WILLNEED of a file.
    """

    vma: Vma
    rss_bytes: int | None = None
    swap_bytes: int | None = None
    details: VmaDetails | None = None
    label: str | None = None
    pages: PageFacts | None = None
    blocks: HugeFacts | None = None
    cache: CacheFacts | None = None

    @property
    def flags(self) -> tuple[str, ...] | None:
        """The VmFlags, or None where smaps was not read or has none."""
        return None if self.details is None else self.details.flags

    @property
    def kind(self) -> VmaKind:
        """The kind, with what the flags add to it."""
        return kind_with(self.vma, self.details)


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """One look at the map of a process: the VMAs, ascending, and lists of numbers beside them.

    ``rss_bytes`` and ``swap_bytes`` are None where they could not be read at all. ``details`` is by
    start address, and may be older than the rest. ``swap_by_smaps`` are the starts of VMAs of whose swap the
    page table does not tell the truth; those of shared memory are not among them. ``source`` names what the
    numbers were read from (``scan``, ``pagemap``, ``smaps`` or ``none``); ``cost_ms`` is what reading took.
    """

    process: ProcessId
    vmas: Sequence[Vma]
    rss_bytes: Sequence[int | None] | None
    swap_bytes: Sequence[int | None] | None
    details: Mapping[int, VmaDetails] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    swap_by_smaps: frozenset[int] = frozenset()
    source: str = "none"
    cost_ms: float = 0.0

    def __len__(self) -> int:
        return len(self.vmas)

    def row(self, index: int) -> MappedVma:
        """Return the VMA at ``index`` with all that is known of it."""
        vma = self.vmas[index]
        return MappedVma(
            vma,
            None if self.rss_bytes is None else self.rss_bytes[index],
            None if self.swap_bytes is None else self.swap_bytes[index],
            self.details.get(vma.start),
            self.labels.get(vma.start),
        )

    def rows(self) -> list[MappedVma]:
        """Return all rows."""
        return [self.row(index) for index in range(len(self.vmas))]


def total(numbers: Sequence[int | None] | None) -> int | None:
    """Return the sum; None if a part of it is not known."""
    if numbers is None or None in numbers:
        return None
    return sum(cast("Sequence[int]", numbers))

"""The C declarations, and nothing else.

cffi in ABI mode: no compiler is needed, at the price of about 35 ms for ``cdef``, which is why
nothing on the start-up path imports this module.
"""

from __future__ import annotations

import platform
from typing import Any, Final

import cffi

ffi: Any = cffi.FFI()
ffi.cdef(
    """
    struct iovec { uintptr_t iov_base; size_t iov_len; };
    /* include/uapi/linux/fs.h, Linux 6.7 */
    struct page_region { uint64_t start; uint64_t end; uint64_t categories; };
    struct pm_scan_arg {
        uint64_t size; uint64_t flags; uint64_t start; uint64_t end; uint64_t walk_end;
        uint64_t vec; uint64_t vec_len; uint64_t max_pages;
        uint64_t category_inverted; uint64_t category_mask;
        uint64_t category_anyof_mask; uint64_t return_mask;
    };
    /* include/uapi/linux/fs.h, Linux 6.11 */
    struct procmap_query {
        uint64_t size; uint64_t query_flags; uint64_t query_addr;
        uint64_t vma_start; uint64_t vma_end; uint64_t vma_flags; uint64_t vma_page_size;
        uint64_t vma_offset; uint64_t inode;
        uint32_t dev_major; uint32_t dev_minor;
        uint32_t vma_name_size; uint32_t build_id_size;
        uint64_t vma_name_addr; uint64_t build_id_addr;
    };
    /* include/uapi/linux/mman.h, Linux 6.5 */
    struct cachestat_range { uint64_t off; uint64_t len; };
    struct cachestat {
        uint64_t nr_cache; uint64_t nr_dirty; uint64_t nr_writeback;
        uint64_t nr_evicted; uint64_t nr_recently_evicted;
    };
    ssize_t process_madvise(int, const struct iovec *, size_t, int, unsigned int);
    long syscall(long, ...);
    int ioctl(int, unsigned long, ...);
    long ptrace(int, int, void *, void *);
    int mlockall(int);
    """
)
libc: Any = ffi.dlopen(None)

_IS_MIPS = platform.machine().startswith("mips")
# One number on every architecture but alpha and the MIPS ABIs (KERNEL.md 9.1).
_MIPS_OFFSET = 5000 if platform.architecture()[0] == "64bit" else 4000
_OFFSET = _MIPS_OFFSET if _IS_MIPS else 110 if platform.machine() == "alpha" else 0

SYS_PROCESS_MADVISE: Final = 440 + _OFFSET
SYS_CACHESTAT: Final = 451 + _OFFSET

PAGEMAP_SCAN: Final = 0xC0606610
PROCMAP_QUERY: Final = 0xC0686611
PROCMAP_COVERING_OR_NEXT: Final = 0x10

PTRACE_DETACH: Final = 17
PTRACE_SEIZE: Final = 0x4206
PTRACE_INTERRUPT: Final = 0x4207
PTRACE_EVENT_STOP: Final = 128
WALL: Final = 0x40000000
"""__WALL of waitpid(2): children of every kind, threads too."""

MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2

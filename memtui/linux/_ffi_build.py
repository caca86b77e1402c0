"""The C declarations, and nothing else. ``python -m memtui.linux._ffi_build`` writes ``_ffi.py`` anew.

cffi reads them once, when that module is written, and not at each start: that took 40 ms. No compiler is
needed for it, neither there nor here.
"""

from __future__ import annotations

from pathlib import Path

DECLARATIONS = """
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


def write(path: Path) -> None:
    """Write the module that cffi makes of the declarations."""
    import cffi

    builder = cffi.FFI()
    builder.cdef(DECLARATIONS)
    builder.set_source("memtui.linux._ffi", None)
    builder.emit_python_code(str(path))


if __name__ == "__main__":
    write(Path(__file__).with_name("_ffi.py"))

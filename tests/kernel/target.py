"""A process with a map that a test arranges: stdlib only, one JSON command a line, one answer a line.

Run by ``toolkit.Child``. It reads its commands unbuffered, so that a program that it becomes by exec
goes on where this one stopped.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import zlib
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

PAGE = mmap.PAGESIZE
SHARED, PRIVATE, FIXED, ANONYMOUS, NORESERVE, HUGETLB = 1, 2, 0x10, 0x20, 0x4000, 0x40000
DROPPABLE = 0x08
MFD_HUGETLB, SHM_HUGETLB = 4, 0o4000
SYS_EXIT = {"x86_64": 60, "aarch64": 93}
SYS_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
SYS_IO_URING_SETUP, SYS_IO_URING_REGISTER = 425, 427
IPC_RMID, SHM_LOCK = 0, 11
PR_SET_VMA, PR_SET_VMA_ANON_NAME = 0x53564D41, 0
UFFD_MISSING, UFFD_WP = 1, 2
UFFD_WP_UNPOPULATED, UFFD_POISON, UFFD_WP_ASYNC = 1 << 13, 1 << 14, 1 << 15


def checked(result: int) -> int:
    if result in (-1, ctypes.c_void_p(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def map_memory(
    size: int,
    at: int = 0,
    align: int = PAGE,
    protection: int = 3,
    shared: bool = False,
    no_reserve: bool = False,
    path: str | None = None,
    fill: int | None = None,
    hugetlb: bool = False,
    offset: int = 0,
    read_only: bool = False,
    droppable: bool = False,
) -> int:
    """Map and, with ``fill`` as the seed, write every page; return the address.

    A page that nobody may touch stands on both sides, so that it merges with no other mapping.
    """
    if not at:
        room = checked(libc.mmap(0, size + align + 2 * PAGE, 0, PRIVATE | ANONYMOUS | NORESERVE, -1, 0))
        at = -(-(room + PAGE) // align) * align
    flags = (
        FIXED
        | (DROPPABLE if droppable else SHARED if shared else PRIVATE)
        | (NORESERVE if no_reserve else 0)
        | (HUGETLB if hugetlb else 0)
    )
    if path is None:
        address = checked(libc.mmap(at, size, protection, flags | ANONYMOUS, -1, 0))
    else:
        fd = os.open(path, os.O_RDONLY if read_only else os.O_RDWR)
        address = checked(libc.mmap(at, size, protection, flags, fd, offset))
        os.close(fd)
    if fill is not None:
        write(address, size, fill)
    return address


def map_pages(count: int, fill: int) -> int:
    """Map ``count`` pages that do not merge: each has a hole behind it. Return the first address."""
    address = checked(libc.mmap(0, 2 * count * PAGE, 0, PRIVATE | ANONYMOUS | NORESERVE, -1, 0))
    for number in range(count):
        checked(libc.mprotect(address + 2 * number * PAGE, PAGE, 3))
        write(address + 2 * number * PAGE, PAGE, fill + number)
        checked(libc.munmap(address + (2 * number + 1) * PAGE, PAGE))
    return address


def write(address: int, size: int, seed: int) -> None:
    block = random.Random(seed).randbytes(min(size, 1 << 20))
    for at in range(0, size, len(block)):
        part = block[: size - at]
        ctypes.memmove(address + at, part, len(part))


def repeat(address: int, size: int) -> None:
    """Write the first page over all that follow."""
    for at in range(address + PAGE, address + size, PAGE):
        ctypes.memmove(at, address, PAGE)


def touch(address: int, size: int, step: int = PAGE) -> int:
    """Read one byte of every ``step``."""
    return sum(ctypes.c_ubyte.from_address(at).value for at in range(address, address + size, step))


def dirty(address: int, size: int, step: int) -> None:
    """Write one byte of every ``step``."""
    for at in range(address, address + size, step):
        ctypes.c_ubyte.from_address(at).value = 1


def memfd(size: int, hugetlb: bool = False) -> str:
    """Make shared memory behind a file descriptor; return a path to it."""
    fd = os.memfd_create("test", MFD_HUGETLB if hugetlb else 0)
    os.ftruncate(fd, size)
    return f"/proc/self/fd/{fd}"


def grow_heap(size: int) -> None:
    if libc.sbrk(ctypes.c_long(size)) == -1:
        raise OSError("sbrk")


def checksum(address: int, size: int) -> int:
    return zlib.crc32((ctypes.c_char * size).from_address(address))


def set_name(name: str) -> None:
    """Name the first thread, and so the process: commands are answered by another thread."""
    with open(f"/proc/self/task/{os.getpid()}/comm", "wb", buffering=0) as comm:
        comm.write(os.fsencode(name))


def name_memory(address: int, size: int, name: str) -> None:
    raw = ctypes.create_string_buffer(os.fsencode(name))
    checked(libc.prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, address, size, ctypes.addressof(raw)))


def fork() -> int:
    """Fork a child that shares all pages and sleeps until it is killed."""
    child = os.fork()
    if child == 0:
        os.close(0)
        os.close(1)
        while True:
            signal.pause()
    return child


def serve_faults(address: int, size: int, mode: int = UFFD_MISSING, features: int = 0) -> int:
    """Register memory with a userfaultfd (ioctl_userfaultfd(2)) that nobody reads; return its fd."""
    fd = checked(libc.syscall(SYS_USERFAULTFD[os.uname().machine], 0))
    api = struct.pack("=QQQ", 0xAA, features, 0)
    fcntl.ioctl(fd, 0xC018AA3F, api)
    fcntl.ioctl(fd, 0xC020AA00, struct.pack("=QQQQ", address, size, mode, 0))
    return fd


def protect_from_writes(address: int, size: int) -> int:
    """Have a userfaultfd watch memory for writes (UFFDIO_WRITEPROTECT); return its fd."""
    return write_protect(address, size, 0)


def write_protect(address: int, size: int, features: int = UFFD_WP_UNPOPULATED | UFFD_WP_ASYNC) -> int:
    """Write-protect memory by userfaultfd, also where no page stands: that leaves markers (Linux 6.4)."""
    fd = serve_faults(address, size, UFFD_WP, features)
    fcntl.ioctl(fd, 0xC018AA06, struct.pack("=QQQ", address, size, 1))
    return fd


def system_v(size: int, locked: bool = False, hugetlb: bool = False) -> int:
    """Attach shared memory of System V, which goes with the process; return its address."""
    number = checked(libc.shmget(0, ctypes.c_size_t(size), 0o600 | (SHM_HUGETLB if hugetlb else 0)))
    address = checked(libc.shmat(number, None, 0))
    if locked:
        checked(libc.shmctl(number, SHM_LOCK, None))
    checked(libc.shmctl(number, IPC_RMID, None))
    return address


def pin(address: int, size: int) -> int:
    """Pin memory as a buffer of an io_uring (IORING_REGISTER_BUFFERS); return its fd."""
    fd = checked(libc.syscall(SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)))
    vector = struct.pack("=QQ", address, size)
    checked(libc.syscall(SYS_IO_URING_REGISTER, fd, 0, vector, 1))
    return fd


def run(script: str) -> None:
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr)


def poison(address: int, size: int, skip: int) -> int:
    """Mark memory where no page stands, behind its first ``skip`` bytes, as lost (UFFDIO_POISON)."""
    fd = serve_faults(address, size, UFFD_MISSING, UFFD_POISON)
    fcntl.ioctl(fd, 0xC020AA08, struct.pack("=QQQq", address + skip, size - skip, 0, 0))
    return fd


def set_title(title: str) -> None:
    """Change the command line in place, as setproctitle() does."""
    with open("/proc/self/stat", "rb") as file:
        start, end = map(int, file.read().rpartition(b") ")[2].split()[45:47])
    ctypes.memmove(start, os.fsencode(title).ljust(end - start, b"\0"), end - start)


def fork_zombie() -> int:
    """Fork a child that exits and is not waited for."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return child


def reap(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    finally:
        os.waitpid(child, 0)


def replace_by_exec() -> None:
    """Become a new program, which answers in place of this one."""
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__])


COMMANDS: dict[str, Any] = {
    # ADDR_NO_RANDOMIZE (personality(2)): from the next exec on.
    "do_not_randomise": lambda: checked(libc.personality(0x0040000)),
    "map": map_memory,
    "map_pages": map_pages,
    "unmap": lambda address, size: checked(libc.munmap(address, size)),
    "lock": lambda address, size: checked(libc.mlock(address, size)),
    "protect": lambda address, size, protection: checked(libc.mprotect(address, size, protection)),
    "madvise": lambda address, size, advice: checked(libc.madvise(address, size, advice)),
    "write": write,
    "repeat": repeat,
    "touch": touch,
    "change_folder": os.chdir,
    "change_root": os.chroot,
    "run": run,
    "dirty": dirty,
    "memfd": memfd,
    "set_title": set_title,
    "set_user": lambda user: os.setresuid(user, user, user),
    "write_protect": write_protect,
    "poison": poison,
    "grow_heap": grow_heap,
    "checksum": checksum,
    "set_name": set_name,
    "name_memory": name_memory,
    "fork": fork,
    "fork_zombie": fork_zombie,
    "serve_faults": serve_faults,
    "protect_from_writes": protect_from_writes,
    "system_v": system_v,
    "pin": pin,
    "reap": reap,
    "exec": replace_by_exec,
    "become": lambda program, arguments: os.execv(program, arguments),
    "exit": lambda: os._exit(0),
}


def read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        line += byte
    return line


def serve() -> None:
    answer({"ready": os.getpid()})
    while True:
        name, arguments = json.loads(read_line())
        if name == "end_leader":
            # The first thread ends alone; this one goes on (exit(2), not exit_group(2)).
            leader_may_end.set()
            answer({"result": None})
            continue
        try:
            answer({"result": COMMANDS[name](**arguments)})
        except OSError as error:
            answer({"error": str(error)})


def answer(value: dict[str, object]) -> None:
    os.write(1, json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    leader_may_end = threading.Event()
    threading.Thread(target=serve).start()
    leader_may_end.wait()
    libc.syscall(SYS_EXIT[os.uname().machine], 0)

"""The C library and the numbers of the kernel's interface. The declarations are in ``declarations``."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from memtui.linux import _ffi

ffi: Any = _ffi.ffi
libc: Any = ffi.dlopen(None)

_MACHINE = os.uname().machine
# One number on every architecture but alpha and the MIPS ABIs (docs/kernel-facts.md 9.1).
_MIPS_OFFSET = 5000 if sys.maxsize > 1 << 32 else 4000
_OFFSET = _MIPS_OFFSET if _MACHINE.startswith("mips") else 110 if _MACHINE == "alpha" else 0

SYS_PROCESS_MADVISE: Final = 440 + _OFFSET
SYS_CACHESTAT: Final = 451 + _OFFSET

_WAITS = {
    **dict.fromkeys(("aarch64", "riscv64", "loongarch64"), (260, 95, 137)),
    **dict.fromkeys(("i386", "i586", "i686"), (114, 284, 177)),
    **dict.fromkeys(("ppc64", "ppc64le"), (114, 272, 176)),
    **dict.fromkeys(("armv6l", "armv7l"), (114, 280, 177)),
    "s390x": (114, 281, 177),
    "x86_64": (61, 247, 128),
}
SYS_WAIT4, SYS_WAITID, SYS_RT_SIGTIMEDWAIT = _WAITS.get(_MACHINE, (None, None, None))
"""As /proc/PID/syscall names them (arch/*/kernel/syscalls); None where we do not know."""

WSTOPPED: Final = 2
WCONTINUED: Final = 8

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

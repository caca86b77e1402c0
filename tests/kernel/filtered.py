"""Run a command under a seccomp filter that answers some system calls with an errno.

As root or not: ``python filtered.py ENOSYS 440 434 -- command ...`` (numbers are those of x86-64 and arm64).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
BPF_LD_W_ABS, BPF_JMP_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid(numbers: list[int], answer: int) -> None:
    """Have system calls answered with an errno, in this process and in all that it starts."""
    steps = [(BPF_LD_W_ABS, 0, 0, 0)]
    for number in numbers:
        steps += [(BPF_JMP_JEQ_K, 0, 1, number), (BPF_RET_K, 0, 0, SECCOMP_RET_ERRNO | answer)]
    steps.append((BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "PR_SET_SECCOMP")


if __name__ == "__main__":
    at = sys.argv.index("--")
    forbid([int(word) for word in sys.argv[2:at]], getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[at + 1], sys.argv[at + 1 :])

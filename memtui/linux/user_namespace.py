"""Whether our rights reach beyond the user namespace that we are in."""

from __future__ import annotations

import os

_FIRST = "user:[4026531837]"
"""PROC_USER_INIT_INO (include/linux/proc_ns.h), the same on every kernel."""


def in_user_namespace() -> bool:
    """Whether we are in another user namespace than the first, for which capable() asks (user_namespaces(7)).

    False, too, where that cannot be seen.
    """
    try:
        return os.readlink("/proc/self/ns/user") != _FIRST
    except OSError:
        return False

"""Memory that is given back and taken again: on Linux, what the C library would hand to the system is kept instead."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt(3)."""
MIB = 2**20


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for what it allocates next; return whether the C library could be told so.

    A network without gradients frees the features of each layer as soon as the next has read them. glibc maps blocks of
    that size from the system and unmaps them again, and the system clears each page anew: 60 % of the processor's time
    of EfficientNet-Lite0 (benchmarks/freed.py). The process stays as large as it has once been.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return all((mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1), mallopt(M_TOP_PAD, 64 * MIB)))

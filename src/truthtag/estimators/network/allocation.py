"""Memory that is kept from one step of training to the next."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""Numbers of the settings in the C library, of ``malloc.h``."""

LARGEST_KEPT = 32 * 2**20
"""Arrays up to this size come from memory that is kept, the most that glibc allows [bytes]."""

MOST_KEPT = 2**30
"""So much free memory is kept [bytes]."""


def keep_freed_memory() -> bool:
    """Let the C library of this process keep memory that is freed, for the next array.

    By default it gives the memory of large arrays back to the system, which then clears each page
    anew before the next array has it: 3 to 20% of the time of a training step. What a process takes
    at most stays the same. It stays so until the process ends.

    Returns:
        Whether the C library is one that can be told, glibc.

    Source: mallopt(3) of the Linux manual.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    sizes = library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    trimming = library.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
    return bool(sizes and trimming)

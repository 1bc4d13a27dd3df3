"""Memory that is freed stays with the process, so that a training step doesn't pay for its pages again.

A step's activations are freed when the step ends. glibc may then hand them to the system, and the next step has every
page mapped and zeroed anew: 33 of 245 ms of a stage-2 step on one core. Elsewhere than on glibc nothing happens.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_... of malloc.h
_NEVER = 2**31 - 1  # bytes; mallopt takes an int
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # bytes; glibc refuses more


def keep_freed_memory() -> None:
    """From now on freed memory isn't given back to the system but by `return_freed_memory`.

    Nothing sets it back: glibc's own adjustment of its thresholds ends with the first call of mallopt, and fixed
    smaller ones made the same work ten times slower.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)


def return_freed_memory() -> None:
    """Give the system what is free, as at the end of a training whose peak nothing later needs."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None

"""Freed memory that stays in the process while a loop asks for as much again at each step.

glibc gives large blocks back to the system as soon as they are freed, and each one that is asked for anew is then
filled with zeros page by page: half the time of a step on a CPU.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST = 2**31 - 1
_LARGEST_BLOCK = 32 * 2**20  # from here on a block is always the system's; glibc allows no more
_USUAL = 2 * _LARGEST_BLOCK  # where glibc's own rule ends in a process that has freed such blocks
_LOCK = threading.Lock()
_holders = 0


@contextmanager
def reused_memory(*, given_back: bool = True) -> Iterator[None]:
    """Keeps what is freed within the block for what is allocated next, in all threads.

    given_back: whether all that is free then goes back, which takes some 0.1 s a GiB; else glibc gives back by its own
    rule, as more is freed.

    Without glibc nothing changes.
    """
    global _holders
    library = _glibc()
    if library is None:
        yield
        return
    with _LOCK:
        _holders += 1
        if _holders == 1:
            library.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
            library.mallopt(_TRIM_THRESHOLD, _MOST)
    try:
        yield
    finally:
        with _LOCK:
            _holders -= 1
            if not _holders:
                library.mallopt(_TRIM_THRESHOLD, _USUAL)
                if given_back:
                    library.malloc_trim(0)


@cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        return library if library.gnu_get_libc_version and library.mallopt and library.malloc_trim else None
    except (AttributeError, OSError, TypeError):  # another libc, or Windows, which has no such library
        return None

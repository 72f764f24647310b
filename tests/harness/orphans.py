"""No process of a test outlives it, not even where the test is killed."""

from __future__ import annotations

import ctypes
import signal

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def ends_with_parent() -> None:
    """Has the kernel end this process when its parent does; to be called between fork and exec (`preexec_fn`)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

"""What Ctrl-C leaves: what was made so far, a warning that says so, and the exception for who has to pass it on."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

_PACKAGES = (Path(__file__).parents[1], Path(torch.__file__).parent)


def warn(text: str) -> None:
    """A warning that points at the call outside of this package and of torch."""
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and any(package in Path(frame.f_code.co_filename).parents for package in _PACKAGES):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(text, stacklevel=depth)


def kept(stop: KeyboardInterrupt, said: str = "") -> KeyboardInterrupt:
    """A Ctrl-C or signal without the frames that it came through, which hold all memory of a run.

    said: what is warned of.
    """
    if said:
        warn(said)
    stop.__context__ = stop.__cause__ = None
    return stop.with_traceback(None)

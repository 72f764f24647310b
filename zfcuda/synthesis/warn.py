"""Warnings that point at who called, however deep in the package they come up."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

_PACKAGES = (Path(__file__).parents[1], Path(torch.__file__).parent)


def warn(text: str) -> None:
    """Warns of the call outside of this package and of torch."""
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and any(package in Path(frame.f_code.co_filename).parents for package in _PACKAGES):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(text, stacklevel=depth)

"""Loads the compiled part, and says what is wrong where it cannot be loaded."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

_BUILD = "pip install --no-build-isolation ."


def load() -> ModuleType:
    """The compiled module; importing it registers the operators.

    Raises:
        ImportError: where nothing was built, or it was built for another torch.
    """
    try:
        from zfcuda._built_for import TORCH
    except ImportError:
        raise ImportError(f"zfcuda is not built: run `{_BUILD}` in its folder") from None
    if torch.__version__ != TORCH:
        raise ImportError(
            f"zfcuda was built for torch {TORCH}, found torch {torch.__version__}: run `{_BUILD}` in its folder again"
        )
    return importlib.import_module("zfcuda._C")

"""Training networks on pictures: recipes, checkpoints that lose nothing, transfer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfcuda.train.options import Options
    from zfcuda.train.recipes import RECIPES
    from zfcuda.train.result import Result
    from zfcuda.train.run import train

__all__ = ["RECIPES", "Options", "Result", "train"]
_HOMES = {"RECIPES": "recipes", "Options": "options", "Result": "result", "train": "run"}


def __getattr__(name: str) -> Any:  # the command's --help needs no torch
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

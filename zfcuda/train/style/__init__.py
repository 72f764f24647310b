"""Training of networks that draw any picture in a style: on a folder of pictures, with checkpoints."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfcuda.train.style.options import StyleOptions
    from zfcuda.train.style.run import train_style

__all__ = ["StyleOptions", "train_style"]
_HOMES = {"StyleOptions": "options", "train_style": "run"}


def __getattr__(name: str) -> Any:  # the command's --help needs no torch
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

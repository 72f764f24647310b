"""Whether a model is as it was: its tensors and their numbers, its modules, their settings and hooks."""

from __future__ import annotations

import operator
from itertools import chain, compress
from typing import Any

import torch
from torch import Tensor, nn

# Tables of a module, whose entries are looked at one by one.
_TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")
# What torch gives every module: switched by zfcuda itself, or one of the tables.
_OWN = frozenset(vars(nn.Module()))
_VALUES, _VERSION = operator.methodcaller("values"), operator.attrgetter("_version")


class ModelState:
    """What a model was like at one moment, quickly compared with what it is like now.

    It tells other tensors, those written to since, other modules, settings and hooks. It does not tell what was changed
    inside of a plain object, a list or a dict that a module holds, nor numbers written to a tensor of inference mode or
    behind torch's back (through NumPy, `.data`).
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._device = device
        self._autocast = self._autocasting()
        modules = list(model.modules())
        self._settings = [vars(module) for module in modules]
        self._chosen = [name not in _OWN for settings in self._settings for name in settings]
        self._tables = [settings[name] for settings in self._settings for name in _TABLES]
        self._sizes = self._lengths()
        self._filled = [table for table in self._tables if table]  # an empty one that is filled is told by its length
        self._values = list(self._now())
        found = [value for value in self._values if isinstance(value, Tensor)]
        self._tensors = [value for value in found if not value.is_inference()]
        self._versions = list(map(_VERSION, self._tensors))

    def holds(self) -> bool:
        """Whether the model is still as it was."""
        return (
            self._lengths() == self._sizes
            and all(map(operator.is_, self._values, self._now()))
            and list(map(_VERSION, self._tensors)) == self._versions
            and self._autocasting() == self._autocast
        )

    def _autocasting(self) -> tuple[bool, torch.dtype]:
        kind = self._device.type
        return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

    def _lengths(self) -> list[int]:
        return [*map(len, self._settings), *map(len, self._tables)]

    def _now(self) -> chain[Any]:
        """The settings of all modules, then the entries of their tables."""
        settings = compress(chain.from_iterable(map(dict.values, self._settings)), self._chosen)
        return chain(settings, chain.from_iterable(map(_VALUES, self._filled)))

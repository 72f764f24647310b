"""Rectangles of an image, as a caller gives them: one, or several at once."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Place = int | Sequence[int] | Tensor
_NAMES = ("top", "left", "height", "width")


def rectangles(places: Sequence[Place], size: tuple[int, int]) -> tuple[npt.NDArray[np.int64], bool]:
    """Checks what was given, top, left, height and width, for an image of this size (rows, columns).

    Returns:
        int64 [n,4], (top, left, bottom, right) each, bottom and right exclusive; and whether several were asked for.

    Raises:
        TypeError, ValueError: naming the argument and its value.
    """
    numbers = {name: _integers(name, value) for name, value in zip(_NAMES, places, strict=True)}
    lists = {name: value for name, value in numbers.items() if isinstance(value, list)}
    if len({len(value) for value in lists.values()}) > 1:
        said = ", ".join(f"{len(value)} of {name}" for name, value in lists.items())
        raise ValueError(f"{next(iter(lists))}: expected sequences of equal length, got {said}")
    n = len(next(iter(lists.values()))) if lists else 1
    top, left, height, width = (value if isinstance(value, list) else [value] * n for value in numbers.values())
    _check("top", "height", top, height, size[0])
    _check("left", "width", left, width, size[1])
    table = np.array([top, left, height, width], np.int64).T.copy()
    table[:, 2:] += table[:, :2]
    return table, bool(lists)


def _check(first: str, extent: str, begins: list[int], lengths: list[int], whole: int) -> None:
    for begin, length in zip(begins, lengths, strict=True):
        if not 0 <= begin < whole:
            raise ValueError(f"{first}: expected 0 to {whole - 1}, got {begin}")
        if not 1 <= length <= whole - begin:
            raise ValueError(f"{extent}: expected 1 to {whole - begin} from {first} {begin} on, got {length}")


def _integers(name: str, value: Any) -> int | list[int]:
    """An integer, or a list of some."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iu":
            raise TypeError(f"{name}: expected integers, got {value.dtype}")
        value = torch.from_numpy(value.astype(np.int64))
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{name}: expected integers, got {value.dtype}")
        if value.dim() > 1:
            raise ValueError(f"{name}: expected an integer or a sequence of some, got shape {list(value.shape)}")
        found: int | list[int] = value.tolist()
        return found
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_integer(name, item) for item in value]
    return _integer(name, value)


def _integer(name: str, value: Any) -> int:
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{name}: expected an integer or a sequence of some, got {value!r}")

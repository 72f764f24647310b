"""Where the occluder stands: the grid of windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pair(value: int | Sequence[int], name: str) -> tuple[int, int]:
    """Makes (rows, columns) of an int or of two, all at least 1."""
    both = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(both) != 2 or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in both):
        raise ValueError(f"{name}: expected a positive integer or two, (rows, columns), got {value!r}")
    return both[0], both[1]


def positions(length: int, window: int, stride: int) -> int:
    """How many windows one side has: ceil((length - window) / stride) + 1.

    The last window is cut off at the border.
    Where the stride is larger than the window, no more than start inside the image.
    """
    return min(-(-(length - window) // stride) + 1, -(-length // stride))


def starts(length: int, window: int, stride: int) -> list[int]:
    """The first pixels of the windows of one side."""
    return [i * stride for i in range(positions(length, window, stride))]


def grid(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """The (y, x) of each window's first pixel, int64 [rows,columns,2].

    Raises:
        ValueError: for a window larger than the image.
    """
    if window[0] > size[0] or window[1] > size[1]:
        raise ValueError(f"window: {window[0]} x {window[1]} is larger than the image, {size[0]} x {size[1]}")
    ys, xs = (torch.tensor(starts(size[i], window[i], stride[i])) for i in (0, 1))
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij"), -1)

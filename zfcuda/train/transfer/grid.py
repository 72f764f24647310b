"""How the map of a layer becomes a code: whole, or averaged over the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

MOST = 10_000  # numbers of a code, where nobody chooses a grid

Pool = str | tuple[int, int]  # "auto", "none", or (rows, columns)


@dataclass(frozen=True)
class Layer:
    """A layer and what its code is.

    Attributes:
        name: the dotted name.
        shape: [K,h,w] or [K], what it gives for a picture.
        grid: (rows, columns) that maps are averaged to; None: they are taken whole.
    """

    name: str
    shape: tuple[int, ...]
    grid: tuple[int, int] | None

    @property
    def numbers(self) -> int:
        """How many a code has."""
        count = self.shape[0]
        for side in self.grid or self.shape[1:]:
            count *= side
        return count

    @property
    def form(self) -> str:
        """The code in a few words, as in "256 x 6 x 6 of 13 x 13"."""
        whole = " x ".join(map(str, self.shape))
        return whole if self.grid is None else f"{self.shape[0]} x {self.grid[0]} x {self.grid[1]} of {whole}"

    def code(self, activation: Tensor) -> Tensor:
        """[n,K,h,w] or [n,K] -> [n,numbers], in memory of its own; grids in float32."""
        if self.grid is None or activation.dim() != 4:
            return activation.flatten(1).clone()
        return F.adaptive_avg_pool2d(activation.float(), self.grid).flatten(1)


def as_layer(name: str, shape: Sequence[int], pool: Pool = "auto") -> Layer:
    """A layer with the grid that `pool` means for it.

    Args:
        shape: [K,h,w] or [K].
        pool: "none": the whole map, as the paper's Table 7 takes it. (rows, columns): averages over the cells of such
            a grid, of no more than the map has. "auto": the whole map where it has at most 10,000 numbers, else the
            finest square grid that has no more.
    """
    shape = tuple(shape)
    if len(shape) != 3 or pool == "none":
        return Layer(name, shape, None)
    units, height, width = shape
    if isinstance(pool, tuple):
        rows, columns = min(pool[0], height), min(pool[1], width)
    elif units * height * width <= MOST:
        return Layer(name, shape, None)
    else:
        side = max(1, int((MOST / units) ** 0.5))
        rows, columns = min(side, height), min(side, width)
    return Layer(name, shape, None if (rows, columns) == (height, width) else (rows, columns))


def as_pool(text: str) -> Pool:
    """What --pool says: auto, none, 2 or 2x3.

    Raises:
        ValueError: it is none of these.
    """
    if text in ("auto", "none"):
        return text
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"pool: expected auto, none, or rows x columns, as in 1, 2 or 2x3, got {text!r}")
    return int(words[0]), int(words[-1])

"""Textures of a sample's neighbourhoods: Wei & Levoy, "Fast Texture Synthesis using Tree-structured Vector
Quantization" (SIGGRAPH 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from zfcuda.ops.texture import texture_pixels
from zfcuda.synthesis.interrupted import kept
from zfcuda.synthesis.texture.codebook import Codebook, codebook, whole
from zfcuda.synthesis.texture.neighbourhoods import Bytes, Neighbourhoods, depth, neighbourhoods, pyramid

_ROWS = 4  # that are made between two looks at the keyboard


@dataclass(frozen=True)
class Search:
    """How the nearest neighbourhood is looked for.

    Attributes:
        leaf: how many neighbourhoods a leaf of the tree holds, at most; None: no tree, all of them are compared.
        leaves: how many leaves are searched for a pixel.
    """

    leaf: int | None = 256
    leaves: int = 3

    def codebook(self, windows: Bytes, seed: int) -> Codebook:
        """The tree over neighbourhoods [N,P]."""
        return whole(windows) if self.leaf is None else codebook(windows, self.leaf, seed)


@dataclass(frozen=True)
class Grown:
    """What came of it.

    Attributes:
        pixels: uint8 [H,W,C], the last level that was begun.
        levels: how many there were to be.
        chosen: int64 [H,W], by level from the coarsest: which of the sample's neighbourhoods each pixel became.
        interrupted: the Ctrl-C that ended it.
    """

    pixels: Bytes
    levels: int
    chosen: list[NDArray[np.int64]]
    interrupted: KeyboardInterrupt | None = None


def grow(
    sample: Bytes, size: tuple[int, int], *, window: int, search: Search, seed: int, progress: bool = False
) -> Grown:
    """A texture (width, height) of a sample [H,W,C], from coarse to fine; Ctrl-C ends it with what is there.

    Each level begins as the one above it, its pixels replaced by those of the sample that lie where they came from; the
    coarsest begins as pixels of the sample in any order, and is gone over twice, as there is nothing around its first
    pixels but those.
    """
    levels = pyramid(sample, depth(sample.shape[:2], window))
    sides = [tuple(-(-side // 2**level) for side in size) for level in range(len(levels))]
    result: list[NDArray[np.int64]] = []
    coarser: Bytes | None = None
    came_from: NDArray[np.int64] | None = None
    passes = [2 if level == len(levels) - 1 else 1 for level in range(len(levels))]
    total = sum(height * times for (_, height), times in zip(sides, passes, strict=True))
    with tqdm(total=total, desc="texture", unit="row", disable=not progress, leave=False) as bar:
        for level in range(len(levels) - 1, -1, -1):
            width, height = sides[level]
            above = levels[level + 1] if level + 1 < len(levels) else None
            if came_from is None:
                random = np.random.default_rng(seed)
                pixels = levels[level].reshape(-1, sample.shape[2])
                output = pixels[random.integers(len(pixels), size=(height, width))]
            else:
                output = finer(levels[level], came_from, height, width)
            chosen = np.full((height, width), -1, np.int64)
            result.append(chosen)
            try:
                around = neighbourhoods(levels[level], above, window)
                searched = Level(around, search.codebook(around.windows, seed), window // 2, search.leaves)
                for _ in range(passes[level]):
                    for row in range(0, height, _ROWS):
                        searched.choose(output, chosen, coarser, row * width, min(row + _ROWS, height) * width)
                        bar.update(min(_ROWS, height - row))
            except KeyboardInterrupt as stop:
                return Grown(output, len(levels), result, kept(stop))
            coarser, came_from = output, around.places[chosen]
    assert coarser is not None
    return Grown(coarser, len(levels), result)


class Level:
    """One level of the sample, searched for the pixels of an output."""

    def __init__(self, around: Neighbourhoods, tree: Codebook, radius: int, leaves: int) -> None:
        self._tables = [
            torch.from_numpy(each)
            for each in (around.values, around.windows[tree.order], tree.order, tree.centres, tree.nodes)
        ]
        self._radius, self._leaves = radius, leaves

    def choose(self, output: Bytes, chosen: NDArray[np.int64], coarser: Bytes | None, first: int, last: int) -> None:
        above: Tensor | None = None if coarser is None else torch.from_numpy(coarser)
        texture_pixels(
            torch.from_numpy(output),
            torch.from_numpy(chosen),
            above,
            *self._tables,
            radius=self._radius,
            leaves=self._leaves,
            first=first,
            last=last,
        )


def finer(level: Bytes, came_from: NDArray[np.int64], height: int, width: int) -> Bytes:
    """The pixels [height,width,C] of a level of the sample where those of a coarser output [h,w,2] came from."""
    ys, xs = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    places = 2 * came_from[ys // 2, xs // 2] + np.stack([ys % 2, xs % 2], -1)
    return level[places[..., 0].clip(0, level.shape[0] - 1), places[..., 1].clip(0, level.shape[1] - 1)]


def equal_choices(
    sample: Bytes, size: tuple[int, int], *, window: int, search: Search, seed: int, every: int = 1
) -> float:
    """The share of pixels for which a search finds the same neighbourhood as exhaustive search does.

    Both are asked for the pixels of the finest level of a texture that exhaustive search has made, one at a time, so
    that no choice depends on another.

    Args:
        every: asks for every so many pixels.
    """
    exhaustive = Search(leaf=None)
    made = grow(sample, size, window=window, search=exhaustive, seed=seed)
    levels = [*pyramid(sample, len(made.chosen)), None]
    coarser = None
    if levels[1] is not None:
        coarser = neighbourhoods(levels[1], levels[2], window).values[made.chosen[-2]]
    assert levels[0] is not None
    around = neighbourhoods(levels[0], levels[1], window)
    sides = [
        Level(around, each.codebook(around.windows, seed), window // 2, each.leaves) for each in (search, exhaustive)
    ]
    output, flat = made.pixels, made.pixels.reshape(-1, sample.shape[2])
    chosen = np.zeros(output.shape[:2], np.int64)
    equal = 0
    asked = range(0, len(flat), every)
    for at in asked:
        before, found = flat[at].copy(), []
        for side in sides:
            side.choose(output, chosen, coarser, at, at + 1)
            found.append(chosen.flat[at])
            flat[at] = before
        equal += found[0] == found[1]
    return equal / len(asked)

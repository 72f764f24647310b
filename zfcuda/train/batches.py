"""Batches out of a pool, never twice the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zfcuda.data import Preprocess
from zfcuda.train.pool import Pool

CLOSE_UP = 112  # pixels: conv5's map is then as large as pool5's is for a whole picture, so fc6 fits
_SHIFT = 16  # pixels that a whole picture is moved by, each way
_ERASE = (20, 56)  # side of the erased square, pixels
_Box = list[int]  # top, bottom, left, right


def batches(
    pool: Pool, preprocess: Preprocess, size: int, dice: np.random.Generator, *, close_up: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order: pairs of float32 [size, 3, H, H] (channels_last) and int64 [size].

    Every batch is moved about, mirrored or turned over its diagonal (no class depends on that), and half of the whole
    pictures lose a square to the mean colour somewhere off the defining part, as they do under an occluder.
    A last batch that would be smaller than the others is left out.
    """
    grey = torch.tensor([round(255 * mean) for mean in preprocess.mean], dtype=torch.uint8)
    order = dice.permutation(len(pool.labels))
    for start in range(0, len(order) - size + 1, size):
        chosen = np.sort(order[start : start + size])
        cuts = []
        for i in chosen:
            pixels, box = pool.pixels[i], pool.boxes[i].tolist()
            cuts.append(_close_up(pixels, box, dice) if close_up else _whole(pixels, box, dice, grey))
        batch = torch.stack(cuts)  # bytes, [size, H, H, 3], until all is in place
        if dice.random() < 0.5:
            batch = batch.flip(2)
        if dice.random() < 0.5:
            batch = batch.transpose(1, 2).contiguous()
        yield preprocess.normalized(batch.permute(0, 3, 1, 2)), pool.labels[chosen]


def _close_up(pixels: Tensor, box: _Box, dice: np.random.Generator) -> Tensor:
    """A window of uint8 [224, 224, 3] with the whole part in it, anywhere within it."""
    corner = []
    for low, high in (box[:2], box[2:]):
        first, last = max(0, high - CLOSE_UP), min(len(pixels) - CLOSE_UP, low)
        corner.append(int(dice.integers(min(first, last), max(first, last) + 1)))
    y, x = corner
    return pixels[y : y + CLOSE_UP, x : x + CLOSE_UP]


def _whole(pixels: Tensor, box: _Box, dice: np.random.Generator, grey: Tensor) -> Tensor:
    """uint8 [224, 224, 3] moved, no farther than keeps the part inside (grey comes in), and partly erased."""
    side = len(pixels)
    top, bottom, left, right = box
    dy = int(dice.integers(-min(_SHIFT, top), min(_SHIFT, side - bottom) + 1))
    dx = int(dice.integers(-min(_SHIFT, left), min(_SHIFT, side - right) + 1))
    moved = grey.expand_as(pixels).contiguous()
    moved[max(dy, 0) : side + min(dy, 0), max(dx, 0) : side + min(dx, 0)] = pixels[
        max(-dy, 0) : side + min(-dy, 0), max(-dx, 0) : side + min(-dx, 0)
    ]
    if dice.random() < 0.5:
        _erase(moved, [top + dy, bottom + dy, left + dx, right + dx], dice, grey)
    return moved


def _erase(pixels: Tensor, box: _Box, dice: np.random.Generator, grey: Tensor) -> None:
    """Paints a random square that does not touch the part grey, in place."""
    top, bottom, left, right = box
    side = int(dice.integers(*_ERASE))
    for _ in range(4):
        y, x = (int(v) for v in dice.integers(0, len(pixels) - side, 2))
        if y + side <= top or y >= bottom or x + side <= left or x >= right:
            pixels[y : y + side, x : x + side] = grey
            return

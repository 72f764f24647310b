"""The neighbourhoods of a sample's pixels, level by level, as Wei & Levoy's textures compare them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_LINE = 64  # what the kernel reads windows in


@dataclass(frozen=True)
class Neighbourhoods:
    """The pixels of one level of a sample whose neighbourhoods lie inside it.

    Attributes:
        values: uint8 [N,C], the pixels.
        windows: uint8 [N,P], what lies around each, P a multiple of 64.
        places: int64 [N,2], (y, x) of each.
    """

    values: Bytes
    windows: Bytes
    places: NDArray[np.int64]


def pyramid(sample: Bytes, levels: int) -> list[Bytes]:
    """A Gaussian pyramid of a picture [H,W,C], the picture first: each level is half as large, rounded up."""
    result = [sample]
    for _ in range(levels - 1):
        blurred = _blurred(_blurred(result[-1].astype(np.float32), 0), 1)
        result.append(np.rint(blurred[::2, ::2]).astype(np.uint8))
    return result


def depth(sides: tuple[int, int], window: int, most: int = 4) -> int:
    """How many levels a pyramid has whose coarsest one still holds two windows along its short side."""
    levels = 1
    while levels < most and -(-min(sides) // 2**levels) >= 2 * window:
        levels += 1
    return levels


def neighbourhoods(level: Bytes, coarser: Bytes | None, window: int) -> Neighbourhoods:
    """The neighbourhoods of a level [H,W,C] with the level above it [h,w,C], if there is one.

    A neighbourhood is so many pixels wide, an odd number. In its own level it is what comes before the pixel in
    scan-line order, in the level above the whole square: what will come after the pixel shows there alone.
    """
    r = window // 2
    square = [(y, x) for y in range(-r, r + 1) for x in range(-r, r + 1)]
    height, width, channels = level.shape
    edge = r if coarser is None else 2 * r
    bottom, right = height, width - r
    if coarser is not None:
        bottom, right = min(bottom, 2 * (coarser.shape[0] - r)), min(right, 2 * (coarser.shape[1] - r))
    ys, xs = np.arange(edge, bottom), np.arange(edge, right)
    seen = [level[ys[0] + y : ys[-1] + 1 + y, xs[0] + x : xs[-1] + 1 + x] for y, x in square if (y, x) < (0, 0)]
    if coarser is not None:
        seen += [coarser[np.ix_(ys // 2 + y, xs // 2 + x)] for y, x in square]
    count, size = len(ys) * len(xs), len(seen) * channels
    windows = np.zeros((count, -(-size // _LINE) * _LINE), np.uint8)
    windows[:, :size] = np.stack(seen, 2).reshape(count, size)
    values = np.ascontiguousarray(level[np.ix_(ys, xs)].reshape(count, channels))
    places = np.stack(np.meshgrid(ys, xs, indexing="ij"), -1).reshape(count, 2).astype(np.int64)
    return Neighbourhoods(values, windows, places)


def _blurred(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The binomial filter 1 4 6 4 1 along an axis, whose borders are mirrored."""
    padded = np.pad(values, [(2, 2) if i == axis else (0, 0) for i in range(3)], mode="symmetric")
    length = values.shape[axis]
    parts = [padded.take(range(i, i + length), axis) for i in range(5)]
    return (parts[0] + 4 * parts[1] + 6 * parts[2] + 4 * parts[3] + parts[4]) / np.float32(16)

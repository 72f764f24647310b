"""The histograms of two pictures: how far they lie apart, and one given to the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]


def earth_movers(picture: Image.Image, other: Image.Image) -> list[float]:
    """The earth mover's distance between the histograms of two pictures, one for each of red, green and blue.

    Returns:
        How far the values of one have to be moved on average to become those of the other, in pixel values of 255. The
        pictures may be of different sizes.
    """
    ours, theirs = (_cumulated(each) for each in (picture, other))
    return [float(each) for each in np.abs(ours - theirs).sum(1)]


def matched(picture: Image.Image, like: Image.Image) -> Image.Image:
    """A picture whose values are moved, monotonically and channel by channel, to the histogram of another one."""
    ours, theirs = _cumulated(picture), _cumulated(like)
    tables = []
    for mine, other in zip(ours, theirs, strict=True):
        middle = mine - np.diff(mine, prepend=0) / 2  # of the pixels of a value, the one in the middle stands for them
        tables.append(np.searchsorted(other, middle - 1e-12).clip(0, 255).astype(np.uint8))
    pixels = np.asarray(picture.convert("RGB"))
    return Image.fromarray(np.stack([table[pixels[..., i]] for i, table in enumerate(tables)], -1))


def _cumulated(picture: Image.Image) -> NDArray[np.float64]:
    """[3,256]: the share of each channel's pixels up to a value."""
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    counts = np.stack([np.bincount(pixels[:, i], minlength=256) for i in range(3)])
    return counts.cumsum(1) / len(pixels)

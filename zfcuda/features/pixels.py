"""Pictures as codes of their own pixels: pixel space, beside which the codes of a network are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.data.collection import Collection
from zfcuda.features.mosaic import square
from zfcuda.inputs import integer


def pixels(pictures: Any, *, size: int = 32, preprocess: Any = None, model: nn.Module | None = None) -> Tensor:
    """Pictures as codes of their pixels, for :func:`zfcuda.nearest` in pixel space.

    Args:
        pictures: as :func:`zfcuda.codes` takes them.
        size: each is cut to its central square and scaled to so many pixels on a side. At 32 two pictures are far apart
            by what is in them, rather than by edges that are moved by a pixel.
        preprocess, model: what cuts the pictures before, so that they are compared as the network sees them; None: the
            whole pictures.

    Returns:
        float32 [N, 3 * size * size], red, green, blue from 0 to 1.

    Raises:
        TypeError, ValueError: pictures or size is none, or a picture cannot be read.
    """
    size = integer("size", size)
    if size < 1:
        raise ValueError(f"size: expected at least 1, got {size}")
    given = isinstance(pictures, Collection)
    collection = pictures if given else Collection.of(pictures, preprocess=preprocess, model=model)
    values = torch.empty(len(collection), 3 * size * size)
    for index, row in enumerate(values):
        row.copy_(pixels_of(collection.picture(index), size))
    return values


def pixels_of(picture: Image.Image, size: int = 32) -> Tensor:
    """The pixels of one picture, float32 [3 * size * size], as a row of :func:`pixels`."""
    tile = np.asarray(square(picture, size), np.float32) / 255
    return torch.from_numpy(tile.transpose(2, 0, 1).ravel().copy())

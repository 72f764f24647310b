"""A mosaic of pictures in which near ones stand near: each picture once, in a cell of a grid."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageOps
from torch import Tensor

from zfcuda.complaint import one_line, out_of_memory, own, reason
from zfcuda.data.collection import Collection
from zfcuda.features.places import places
from zfcuda.render import NAN_COLOUR

_SIDE = (16, 64)  # pixels of a cell, at least and at most
_AREA = 64_000_000  # pixels of a mosaic for which cells are made smaller


def mosaic(pictures: Any, points: Any, *, columns: int = 32) -> Image.Image:
    """Pictures on a grid, one in each cell, none twice, those near whose points are near.

    Where each stands, :func:`zfcuda.features.places.places` decides: by linear assignment, in parts where there are
    more than 2,000. The grid has ceil(N / columns) rows, and is full but for the end of the last one. Cells are squares
    of 64 pixels, of less (16 at least) where the mosaic would have more than 64 million; each picture is cut to its
    central square. Needs the extra: ``pip install zfcuda[features]``.

    Args:
        pictures: a folder, a list of paths or pictures, Parts, a torch Dataset or images [N,C,H,W], as
            :func:`zfcuda.codes` takes them. One that cannot be read leaves its cell grey, with a warning.
        points: Tensor [N,2], x and y of each, as :func:`zfcuda.embed` gives them.
        columns: how many cells a row has.

    Returns:
        An RGB picture.

    Raises:
        TypeError, ValueError: pictures, points or columns is not as above, or there are not as many points as pictures.
        ImportError: SciPy is not installed.

    Source: the course notes' grid of the nearest pictures; each stands once here.
    """
    collection = pictures if isinstance(pictures, Collection) else Collection.of(pictures)
    if isinstance(points, Tensor) and points.dim() and len(points) != len(collection):
        raise ValueError(f"points: expected {len(collection)}, one for each picture, got {len(points)}")
    return laid_out(collection, range(len(collection)), places(points, columns=columns))


def laid_out(collection: Collection, indices: Sequence[int], cells: Sequence[tuple[int, int]]) -> Image.Image:
    """The pictures of those indices, each in its cell (row, column), as :func:`mosaic` draws them."""
    count = len(cells)
    side = min(max(math.isqrt(_AREA // count), _SIDE[0]), _SIDE[1])
    rows, columns = (1 + max(cell[i] for cell in cells) for i in (0, 1))
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    broken = []
    for index, (row, column) in zip(indices, cells, strict=True):
        try:
            tile = square(collection.picture(index), side)
        except Exception as error:  # a broken file, or anything that a user's own data set raises
            if out_of_memory(error):
                raise
            broken.append(one_line(str(error) if own(error) else reason(error)))
            tile = Image.new("RGB", (side, side), NAN_COLOUR)
        sheet.paste(tile, (column * side, row * side))
    if broken:
        warnings.warn(
            f"mosaic: {len(broken)} of {count} pictures cannot be read and are grey: {broken[0]}", stacklevel=3
        )
    return sheet


def square(picture: Image.Image, side: int) -> Image.Image:
    """The central square of a picture, scaled to side x side pixels."""
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)

"""A picture of a run, whatever it lies in, as views take it."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from zfcuda.data.pictures import as_picture
from zfcuda.train.seeded import seeded
from zfcuda.train.sets import Labelled
from zfcuda.train.sets.images import picture_of_image
from zfcuda.train.sets.subset import Subset


def picture_of(source: Labelled, index: int, *key: int) -> Image.Image:
    """A picture, upright, in RGB.

    Args:
        key: what the generators of torch, NumPy and Python are seeded with while a data set of the user's own makes it:
            its transforms may throw dice.

    Raises:
        Exception: whatever a broken file or the data set raises.
    """
    if isinstance(source, Subset):
        with seeded(*key):
            item = source.item(index)
    else:
        item = source.item(index)
    return picture_of_image(item) if isinstance(item, Tensor) else as_picture(item)

"""Images in their full size and in smaller ones: what begins on a small scale has large shapes."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from zfcuda.data.pictures import PICTURES
from zfcuda.inputs import checked_image
from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.pixel_range import PixelRange


def full_size(image: Any, model: nn.Module, pixel_range: PixelRange, name: str = "image") -> tuple[Tensor, torch.dtype]:
    """An image as it is, or a picture in its full size, neither scaled nor cut.

    Args:
        image: [C,H,W] or [1,C,H,W] in the network's input units; or a PIL picture, a path or an array uint8 [H,W,C].
        model: unwrapped.
        name: of the argument.

    Returns:
        (float32 [1,C,H,W] on the model's device, the dtype in which the model is shown it).

    Raises:
        TypeError, ValueError: naming the argument: it is none of these, or a picture while the range is not known.
    """
    try:
        if isinstance(image, PICTURES):
            device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
            return pixel_range.image(image).to(device), image_dtypes(model)[0]
        given = checked_image(image, model)
        return given.float(), given.dtype
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {str(error).removeprefix('image: ')}") from error


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [N,C,H,W] in another size (high, wide); the same, where it is theirs."""
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)


def with_short_side(size: tuple[int, int], short: int, name: str) -> tuple[int, int]:
    """A size (high, wide) in proportion whose short side is so long.

    Raises:
        ValueError: naming the picture, which would be larger than any file that is read.
    """
    high, wide = (max(1, round(side * short / min(size))) for side in size)
    if Image.MAX_IMAGE_PIXELS is not None and wide * high > Image.MAX_IMAGE_PIXELS:
        raise ValueError(
            f"{name}: expected a picture of at most {Image.MAX_IMAGE_PIXELS:,} pixels when its short side is scaled to "
            f"{short}, got {wide} x {high}; cut it, or choose a smaller style_size"
        )
    return high, wide


def shrunk(size: tuple[int, int], level: int) -> tuple[int, int]:
    """A size whose sides are 2**level times as short, rounded up."""
    high, wide = (math.ceil(side / 2**level) for side in size)
    return high, wide


def level_count(short_side: int, coarsest: int, most: int) -> int:
    """How many sizes there are, each half as large as the one before, whose short side is still so long."""
    return min(most, 1 + int(math.log2(max(1.0, short_side / coarsest))))

"""Images of data sets, [C,H,W], as pictures."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from zfcuda.data.pictures import as_picture


def picture_of_image(image: Tensor) -> Image.Image:
    """A picture in RGB of an image [C,H,W] or [1,C,H,W] of 1 or 3 channels: bytes, or floating numbers of 0 to 1.

    Raises:
        ValueError: it is none of these.
    """
    image = image[0] if image.dim() == 4 and len(image) == 1 else image
    if image.dim() != 3 or not image.numel() or image.shape[0] not in (1, 3):
        raise ValueError(f"expected an image [C,H,W] of 1 or 3 channels, got a Tensor {list(image.shape)}")
    pixels = image.detach().cpu()
    if pixels.is_floating_point():
        low, high = (float(value) for value in pixels.aminmax())
        if not (low >= 0 and high <= 1):  # NaN neither
            raise ValueError(
                f"expected an image of 0 to 1, got values of {low:.4g} to {high:.4g}; leave Normalize out: the mean is "
                "subtracted when the network sees it"
            )
        pixels = (255 * pixels).round().to(torch.uint8)
    elif pixels.dtype != torch.uint8:
        raise ValueError(f"expected an image of floating numbers or uint8, got {image.dtype}")
    return as_picture(pixels.permute(1, 2, 0).contiguous().numpy())

"""How Caffe's networks want their pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

#: Blue, green, red of ImageNet's pictures, 0 to 255.
IMAGENET_MEAN = (104.0, 117.0, 123.0)

_SHORT_SIDE = 256  # to which pictures were scaled before their centre was cut out


@dataclass(frozen=True)
class CaffePreprocess:
    """Scales the short side to 256, cuts out the centre, subtracts the mean; all in Caffe's units and order.

    Caffe's own tools scale a picture to 256 x 256 whatever its shape; here it keeps its shape.

    Attributes:
        size: (height, width) of the cut, pixels.
        mean: per channel, 0 to 255: three, of blue, green and red, or one of grey.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = IMAGENET_MEAN

    def __call__(self, picture: Image.Image) -> Tensor:
        """A picture of any size and mode -> float32 [1,C,H,W]: 0 to 255 less the mean, channels blue, green, red."""
        pixels = np.asarray(self.crop(picture), np.float32)
        planes = pixels.reshape(*pixels.shape[:2], -1)[:, :, ::-1].transpose(2, 0, 1)
        mean = np.asarray(self.mean, np.float32).reshape(-1, 1, 1)
        return torch.from_numpy(np.ascontiguousarray(planes - mean))[None]

    def crop(self, picture: Image.Image) -> Image.Image:
        """The part of the picture that the network sees: RGB, or grey where it has one channel."""
        picture = picture.convert("L" if len(self.mean) == 1 else "RGB")
        high, wide = self.size
        if picture.size == (wide, high):
            return picture
        # The largest cut of this shape, less the border that is left of 256.
        scale = min(picture.width / wide, picture.height / high) * min(1.0, max(self.size) / _SHORT_SIDE)
        left, top = (picture.width - wide * scale) / 2, (picture.height - high * scale) / 2
        # Cut and scaled in one step: scaling first would blow a picture of 10000 x 1 up to gigabytes.
        box = (left, top, left + wide * scale, top + high * scale)
        return picture.resize((wide, high), Image.Resampling.BILINEAR, box=box)

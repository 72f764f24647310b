"""From a picture to what a network reads, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

#: Mean and standard deviation of Parts' pixels, per channel, in 0 to 1.
PARTS_MEAN = (0.53, 0.51, 0.5)
PARTS_STD = (0.17, 0.17, 0.17)


@dataclass(frozen=True)
class Preprocess:
    """Scales the short side to ``size``, crops the centre, subtracts the mean, divides by the standard deviation.

    So 0 is the mean colour, and an occluder filled with 0 is the grey of the paper.

    Attributes:
        size: side of what the network sees, pixels.
        mean, std: per channel, in 0 to 1.
    """

    size: int = 224
    mean: tuple[float, float, float] = PARTS_MEAN
    std: tuple[float, float, float] = PARTS_STD

    def __call__(self, picture: Image.Image) -> Tensor:
        """A picture of any size and mode (taken as RGB) -> float32 [1, 3, size, size]."""
        return self.normalized(torch.from_numpy(np.array(self.crop(picture))).permute(2, 0, 1)[None])

    def crop(self, picture: Image.Image) -> Image.Image:
        """The part of the picture that the network sees: RGB, size x size."""
        picture = picture.convert("RGB")
        if picture.size == (self.size, self.size):
            return picture
        width, height = picture.size
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        return picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)

    def normalized(self, pixels: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> float32 [N, 3, H, W], in the same memory format."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return pixels.float().sub_(mean * 255).div_(std * 255)

    def restored(self, image: Tensor) -> Tensor:
        """float [N, 3, H, W] -> uint8 [N, 3, H, W]: the inverse of :meth:`normalized`, clipped."""
        mean, std = (torch.tensor(v, device=image.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((image.float() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

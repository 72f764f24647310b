"""How a picture enters a network: what published weights were trained on.

Each is a function PIL image -> Tensor [1,C,H,W] float32 on the CPU. The picture may have any size and mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class ImageNetPreprocess:
    """torchvision's: shorter side scaled to `short_side`, `size` x `size` from its centre, 0 to 1, mean and deviation.

    Attributes:
        size, short_side: pixels.
        mean, std: of each channel, red first.
    """

    size: int = 224
    short_side: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __call__(self, picture: Image.Image) -> Tensor:
        """-> [1,3,size,size]."""
        pixels = _pixels(centre_crop(picture.convert("RGB"), self.size, self.short_side))
        return (pixels / 255 - _channels(self.mean)) / _channels(self.std)


@dataclass(frozen=True)
class DigitPreprocess:
    """LeNet-5's (LeCun et al. 1998, sections II-B and III-A): the picture of 28x28 in the middle of 32x32, background
    -0.1, strokes 1.175. Strokes are bright and the background dark, as in MNIST's files.

    Attributes:
        size: pixels of the whole, digit: of the picture inside.
    """

    size: int = 32
    digit: int = 28

    def __call__(self, picture: Image.Image) -> Tensor:
        """-> [1,1,size,size]."""
        inside = _pixels(centre_crop(picture.convert("L"), self.digit, self.digit)) / 255
        before = (self.size - self.digit) // 2
        after = self.size - self.digit - before
        return torch.nn.functional.pad(inside, (before, after, before, after)) * 1.275 - 0.1


def centre_crop(picture: Image.Image, size: int, short_side: int) -> Image.Image:
    """The middle `size` x `size` of a picture whose shorter side is scaled to `short_side`, as torchvision crops.

    Cut and scaled in one step: scaling first would blow a picture of 10000 x 1 up to gigabytes.
    """
    short = min(picture.size)
    if short < 1:
        raise ValueError(f"picture: is empty ({picture.width} x {picture.height})")
    box: list[float] = []
    for length in picture.size:
        scaled = short_side * length // short
        start = round((scaled - size) / 2)
        box.append(start * length / scaled)
        box.append((start + size) * length / scaled)
    left, right, top, bottom = box
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))


def _pixels(picture: Image.Image) -> Tensor:
    """-> [1,C,H,W] float32, 0 to 255."""
    values = np.atleast_3d(np.asarray(picture, np.float32)).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(values))[None]


def _channels(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)

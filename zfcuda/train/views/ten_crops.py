"""Ten sub-crops of the centre: the corners and the middle, each mirrored or not (section 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zfcuda.data.dice import Dice
from zfcuda.data.preprocess import Preprocess, centre_crop
from zfcuda.train.views.normalised import Normalised
from zfcuda.train.views.view import Cropped

COUNT = 10


def corners(side: int, size: int) -> list[tuple[int, int]]:
    """Top and left of the five sub-crops: four corners and the middle."""
    far, middle = side - size, (side - size) // 2
    return [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]


@dataclass(frozen=True)
class TenCrops:
    """One of the ten, drawn for each picture and epoch; the mean of each pixel is subtracted where it lies.

    Attributes:
        preprocess: what the network reads.
        means: float32 [10,C,H,W], 0 to 255: the mean picture's own ten sub-crops; None: the preprocess knows of none.
    """

    preprocess: Preprocess
    means: Tensor | None = None
    normalised: Normalised = field(default_factory=Normalised, repr=False, compare=False)

    def __call__(self, picture: Image.Image, dice: Dice, epoch: int) -> Cropped:
        return self.crop(self.centre(picture), dice.below(COUNT))

    def centre(self, picture: Image.Image) -> Image.Image:
        """The square of the short side that the sub-crops lie in."""
        side = self.preprocess.short_side
        return centre_crop(picture, (side, side), side, self.preprocess.interpolation)

    def crop(self, centre: Image.Image, number: int) -> Cropped:
        """One of the ten: 0 to 4 as :func:`corners` has them, 5 to 9 mirrored."""
        high, wide = self.preprocess.sides
        top, left = corners(self.preprocess.short_side, high)[number % 5]
        seen = torch.from_numpy(np.array(centre.crop((left, top, left + wide, top + high)))).permute(2, 0, 1)
        return Cropped(seen.flip(2) if number >= 5 else seen, number)

    def images(self, pixels: Tensor, crops: Tensor) -> Tensor:
        return self.normalised(self.preprocess, pixels, self.means, crops)


def ten_means(mean: Tensor, size: int) -> Tensor:
    """float32 [C,S,S], the mean picture -> [10,C,size,size], its ten sub-crops."""
    five = [mean[:, top : top + size, left : left + size] for top, left in corners(mean.shape[-1], size)]
    return torch.stack(five + [crop.flip(2) for crop in five]).contiguous()

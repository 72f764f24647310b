"""A random part of the picture, scaled to what the network sees (Szegedy et al. 2015), mirrored, recoloured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageStat
from torch import Tensor

from zfcuda.data.dice import Dice
from zfcuda.data.preprocess import INTERPOLATIONS, Preprocess
from zfcuda.train.views.normalised import Normalised
from zfcuda.train.views.view import Cropped

_GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue in a grey (ITU-R BT.601)
_LONGEST = 4 / 3  # of the sides of a part, to one another


@dataclass(frozen=True)
class ResizedCrops:
    """A part of ``smallest`` to all of the area, of sides 3:4 to 4:3.

    Attributes:
        preprocess: what the network reads.
        smallest: share of the area.
        colour: brightness, contrast and saturation are multiplied by 1 - colour to 1 + colour.
    """

    preprocess: Preprocess
    smallest: float
    colour: float
    normalised: Normalised = field(default_factory=Normalised, repr=False, compare=False)

    def __call__(self, picture: Image.Image, dice: Dice, epoch: int) -> Cropped:
        high, wide = self.preprocess.sides
        box = _box(picture.size, self.smallest, dice)
        seen = picture.resize((wide, high), INTERPOLATIONS["bilinear"], box=box, reducing_gap=2.0)
        if dice.chance(0.5):
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.colour:
            seen = _recoloured(seen, *(dice.between(1 - self.colour, 1 + self.colour) for _ in range(3)))
        return Cropped(torch.from_numpy(np.array(seen)).permute(2, 0, 1))

    def images(self, pixels: Tensor, crops: Tensor) -> Tensor:
        return self.normalised(self.preprocess, pixels)


def _recoloured(picture: Image.Image, brightness: float, contrast: float, saturation: float) -> Image.Image:
    """What Pillow's ImageEnhance makes of a picture in three steps, in one: only the last result is clipped.

    Contrast is that to the mean grey, saturation that to a pixel's own grey.
    """
    mean = brightness * ImageStat.Stat(picture.convert("L")).mean[0]
    gain = brightness * contrast
    matrix: list[float] = []
    for channel in range(3):
        matrix += [gain * ((1 - saturation) * grey + saturation * (channel == k)) for k, grey in enumerate(_GREY)]
        matrix.append((1 - contrast) * mean)
    return picture.convert("RGB", tuple(matrix))  # type: ignore[arg-type]


def _box(size: tuple[int, int], smallest: float, dice: Dice) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a random part of a picture of (width, height); its middle where ten do not fit."""
    wide, high = size
    for _ in range(10):
        area = wide * high * dice.between(smallest, 1.0)
        ratio = math.exp(dice.between(-math.log(_LONGEST), math.log(_LONGEST)))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= wide and h <= high:
            left, top = dice.between(0, wide - w), dice.between(0, high - h)
            return left, top, min(left + w, wide), min(top + h, high)
    w, h = min(wide, high * _LONGEST), min(high, wide * _LONGEST)
    left, top = (wide - w) / 2, (high - h) / 2
    return left, top, left + w, top + h

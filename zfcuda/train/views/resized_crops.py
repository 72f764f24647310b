"""A random part of the picture, scaled to what the network sees (Szegedy et al. 2015), mirrored, recoloured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from zfcuda.data.dice import Dice
from zfcuda.data.preprocess import INTERPOLATIONS, Preprocess
from zfcuda.train.views.view import Seen, as_read

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

    def __call__(self, picture: Image.Image, dice: Dice, epoch: int) -> Seen:
        high, wide = self.preprocess.sides
        box = _box(picture.size, self.smallest, dice)
        seen = picture.resize((wide, high), INTERPOLATIONS["bilinear"], box=box, reducing_gap=2.0)
        if dice.chance(0.5):
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.colour:
            for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                seen = change(seen).enhance(dice.between(1 - self.colour, 1 + self.colour))
        return Seen(torch.from_numpy(np.array(seen)).permute(2, 0, 1))

    def images(self, pixels: Tensor, crops: Tensor) -> Tensor:
        return as_read(self.preprocess, pixels)


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

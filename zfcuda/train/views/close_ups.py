"""Parts, closely and then whole: without close-ups a network takes long to find out where to look."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zfcuda.data.dice import Dice
from zfcuda.data.preprocess import Preprocess
from zfcuda.data.sources import PART
from zfcuda.train.views.normalised import Normalised
from zfcuda.train.views.view import Cropped

CLOSE_UP = 112  # pixels: conv5's map is then as large as pool5's is for a whole picture, so fc6 fits
_SHIFT = 16  # pixels that a whole picture is moved by, each way
_ERASE = (20, 56)  # side of the erased square, pixels
_Box = tuple[int, int, int, int]  # top, left, bottom, right (exclusive)


@dataclass(frozen=True)
class CloseUps:
    """Windows with the whole defining part in them, for some epochs; then whole pictures.

    A whole picture is moved about, no farther than keeps the part inside, and half of them lose a square to the mean
    colour somewhere off the part, as they do under an occluder. All are mirrored or turned over their diagonal: no
    class of Parts depends on that.

    Attributes:
        preprocess: what the network reads.
        epochs: of close-ups.
    """

    preprocess: Preprocess
    epochs: int
    normalised: Normalised = field(default_factory=Normalised, repr=False, compare=False)

    def __call__(self, picture: Image.Image, dice: Dice, epoch: int) -> Cropped:
        pixels, box = np.array(picture), picture.info.get(PART)
        if box is None:
            raise ValueError("crops: expected pictures of Parts for close_ups, got one whose part is not known")
        if epoch < self.epochs:
            seen = _close_up(pixels, box, dice)
        else:
            seen = _whole(pixels, box, dice, np.array([round(255 * mean) for mean in self.preprocess.mean], np.uint8))
        if dice.chance(0.5):
            seen = seen[:, ::-1]
        if dice.chance(0.5):
            seen = seen.transpose(1, 0, 2)
        return Cropped(torch.from_numpy(np.ascontiguousarray(seen)).permute(2, 0, 1))

    def images(self, pixels: Tensor, crops: Tensor) -> Tensor:
        return self.normalised(self.preprocess, pixels)


def _close_up(pixels: np.ndarray, box: _Box, dice: Dice) -> np.ndarray:
    corner = []
    for low, high in ((box[0], box[2]), (box[1], box[3])):
        first, last = max(0, high - CLOSE_UP), min(len(pixels) - CLOSE_UP, low)
        corner.append(_between(min(first, last), max(first, last), dice))
    y, x = corner
    return pixels[y : y + CLOSE_UP, x : x + CLOSE_UP]


def _whole(pixels: np.ndarray, box: _Box, dice: Dice, grey: np.ndarray) -> np.ndarray:
    side = len(pixels)
    top, left, bottom, right = box
    dy = _between(-min(_SHIFT, top), min(_SHIFT, side - bottom), dice)
    dx = _between(-min(_SHIFT, left), min(_SHIFT, side - right), dice)
    moved = np.empty_like(pixels)
    moved[:] = grey
    moved[max(dy, 0) : side + min(dy, 0), max(dx, 0) : side + min(dx, 0)] = pixels[
        max(-dy, 0) : side + min(-dy, 0), max(-dx, 0) : side + min(-dx, 0)
    ]
    if dice.chance(0.5):
        _erase(moved, (top + dy, left + dx, bottom + dy, right + dx), dice, grey)
    return moved


def _erase(pixels: np.ndarray, box: _Box, dice: Dice, grey: np.ndarray) -> None:
    """Paints a random square that does not touch the part, in place."""
    top, left, bottom, right = box
    side = _ERASE[0] + dice.below(_ERASE[1] - _ERASE[0])
    for _ in range(4):
        y, x = dice.below(len(pixels) - side), dice.below(len(pixels) - side)
        if y + side <= top or y >= bottom or x + side <= left or x >= right:
            pixels[y : y + side, x : x + side] = grey
            return


def _between(low: int, high: int, dice: Dice) -> int:
    """An integer of low to high, both included."""
    return low + dice.below(high - low + 1)

"""Random views of images, one for each image and step: what holds for all of them is no accident of single pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.synthesis.dice import Dice

Transform = Callable[[Tensor, Dice], Tensor]


@dataclass(frozen=True)
class Affine:
    """Shifts, scales and turns each image about its centre; what lies outside is its mirror image.

    Attributes:
        jitter: largest shift, in pixels.
        scale: largest change of size, as a share: 0.1 is from 0.9 to 1.1.
        degrees: largest turn.
    """

    jitter: float = 8.0
    scale: float = 0.1
    degrees: float = 5.0

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        count, _, high, wide = images.shape
        draw = dice.uniform(4) * 2 - 1
        zoom = 1 + self.scale * draw[:, 0]
        turn = math.radians(self.degrees) * draw[:, 1]
        cos, sin = turn.cos() / zoom, turn.sin() / zoom
        theta = torch.zeros(count, 2, 3, device=images.device)
        theta[:, 0, 0], theta[:, 0, 1], theta[:, 0, 2] = cos, -sin * high / wide, 2 * self.jitter * draw[:, 2] / wide
        theta[:, 1, 0], theta[:, 1, 1], theta[:, 1, 2] = sin * wide / high, cos, 2 * self.jitter * draw[:, 3] / high
        grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class Jitter:
    """Shifts each image by whole pixels, what leaves at one side comes in at the other.

    Attributes:
        pixels: the largest shift.
    """

    pixels: int

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        shifts = ((2 * self.pixels + 1) * dice.uniform(2)).floor().int() - self.pixels
        return torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(images, shifts.tolist(), strict=True)])

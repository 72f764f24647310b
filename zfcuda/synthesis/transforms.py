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
        zoom: the smallest and the largest scale, drawn evenly in their logarithms. Of an enlarged image any part is
            seen, not its middle alone.
        degrees: largest turn.
    """

    jitter: float = 8.0
    zoom: tuple[float, float] = (0.9, 1.1)
    degrees: float = 5.0

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        high, wide = images.shape[2:]
        share, *draw = dice.uniform(4).T
        low, wider = math.log(self.zoom[0]), math.log(self.zoom[1] / self.zoom[0])
        turn, right, down = (2 * each - 1 for each in draw)
        zoom = (low + wider * share).exp()
        room = (1 - 1 / zoom).clamp_min(0)
        turn = math.radians(self.degrees) * turn
        cos, sin = turn.cos() / zoom, turn.sin() / zoom
        across = [cos, -sin * high / wide, (2 * self.jitter / wide + room) * right]
        along = [sin * wide / high, cos, (2 * self.jitter / high + room) * down]
        theta = torch.stack([torch.stack(across, 1), torch.stack(along, 1)], 1).to(images.device)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

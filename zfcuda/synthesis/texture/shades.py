"""Shades: how bright and colourful a texture is by and large, which a network's layers hardly see."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.synthesis.gram import gram
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.watched import Seen

_LEAST = 1 / 256  # deviation of pixels of 0 to 1 below which nobody sees a difference


def shades(sample: Tensor, unit: Callable[[Tensor], Tensor], short_side: int) -> Objective:
    """Minus the distance of the mean and covariance of colours from a sample's, of means over ever larger squares.

    The first layers of most networks look for edges: pictures with the same Gram matrices may be darker here and
    brighter there, which this forbids. As Gram matrices are compared, |G - A|^2 / |A|^2, of the colours less the
    sample's mean and of a constant as large as their deviation; the mean over squares of 1, 2, 4 ... pixels.

    Args:
        sample: [1,C,H,W].
        unit: what makes pixels of 0 to 1 of images.
        short_side: of the images that are looked at, in pixels; squares are at most a quarter of it wide.
    """
    pixels = unit(sample.float())
    mean = pixels.mean((2, 3), keepdim=True)
    most = max(1, min(short_side, *sample.shape[2:]) // 4)
    squares = [2**k for k in range(most.bit_length())]
    sizes = [max(_LEAST, float(_means(pixels - mean, side).square().mean().sqrt())) for side in squares]

    def told(images: Tensor) -> list[Tensor]:
        less = unit(images.float()) - mean
        return [_gram(_means(less, side), size) for side, size in zip(squares, sizes, strict=True)]

    wanted = told(sample)

    def value(seen: Seen) -> Tensor:
        pairs = zip(told(seen.images), wanted, strict=True)
        far = [(found - target).square().sum((1, 2)) / target.square().sum() for found, target in pairs]
        return -torch.stack(far).mean(0)

    return Objective(value, text="shades")


def _means(images: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(images, side)


def _gram(colours: Tensor, constant: float) -> Tensor:
    return gram(torch.cat([torch.full_like(colours[:, :1], constant), colours], 1))

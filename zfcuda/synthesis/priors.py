"""What keeps pixels from becoming noise, after each step: the four regularisers of Yosinski et al. 2015."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.inputs import integer, number, weight


@dataclass(frozen=True)
class Regularizers:
    """Changes images towards what is natural, each step a little.

    Their zero is the zero of the network's input units, the mean colour of most networks. Source: Yosinski, Clune,
    Nguyen, Fuchs & Lipson, "Understanding Neural Networks Through Deep Visualization", 2015, section 4; there by random
    search, here chosen by looking.

    Attributes:
        decay: the share that each value loses in each step.
        blur: the width (standard deviation) of a Gaussian blur, in pixels of an image of 224; of other images in
            proportion. 0: none.
        blur_every: steps between two blurs.
        small_norm: the share of pixels that become 0, those with the smallest norm over the channels.
        small_contribution: the share of pixels that become 0, those that would change the objective least.

    Raises:
        TypeError, ValueError: one of them is none of this.
    """

    decay: float = 0.0
    blur: float = 0.0
    blur_every: int = 4
    small_norm: float = 0.0
    small_contribution: float = 0.0

    def __post_init__(self) -> None:
        for name in ("decay", "small_norm", "small_contribution"):
            if not 0 <= number(name, getattr(self, name)) < 1:
                raise ValueError(f"{name}: expected a share of 0 to 1, below 1, got {getattr(self, name)}")
        weight("blur", self.blur)
        integer("blur_every", self.blur_every, 1)

    def __call__(self, images: Tensor, gradients: Tensor | None, step: int) -> Tensor:
        """Images after a step.

        Args:
            images: [N,C,H,W].
            gradients: of them; None: contributions are not known.
            step: its number, from 0.
        """
        if self.decay:
            images = images * (1 - self.decay)
        if self.blur and (step + 1) % self.blur_every == 0:
            images = gaussian_blur(images, self.blur * min(images.shape[-2:]) / 224)
        if self.small_norm:
            images = _without(images, images.square().sum(1).sqrt(), self.small_norm)
        if self.small_contribution and gradients is not None:
            images = _without(images, (images * gradients).sum(1).abs(), self.small_contribution)
        return images


def gaussian_blur(images: Tensor, width: float) -> Tensor:
    """Images [N,C,H,W], each value the mean of its neighbours with the weights of a Gaussian of this deviation."""
    for dim in (2, 3):
        reach = min(max(1, math.ceil(3 * width)), images.shape[dim] - 1)
        if reach < 1 or width <= 0:
            continue
        at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
        weights = (-(at**2) / (2 * width**2)).exp()
        shape, pad = ((-1, 1), (0, 0, reach, reach)) if dim == 2 else ((1, -1), (reach, reach, 0, 0))
        channels = images.shape[1]
        kernel = (weights / weights.sum()).view(1, 1, *shape).expand(channels, -1, -1, -1)
        images = F.conv2d(F.pad(images, pad, mode="reflect"), kernel, groups=channels)
    return images


def _without(images: Tensor, sizes: Tensor, share: float) -> Tensor:
    """Images [N,C,H,W] in which this share of the pixels, those of the smallest sizes [N,H,W], is 0."""
    count = round(share * sizes[0].numel())
    if not count:
        return images
    smallest = sizes.flatten(1).kthvalue(count, dim=1).values
    return images * (sizes > smallest.view(-1, 1, 1))[:, None]

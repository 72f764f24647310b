"""The layers of a network that stylises: convolutions of mirrored borders, norms of each image with a scale a style."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """Gives each map of each image mean 0 and deviation 1, then the scale and shift of a style.

    With one style it is instance normalisation (Ulyanov, Vedaldi & Lempitsky 2016), with several the conditional one
    (Dumoulin, Shlens & Kudlur 2017), where styles differ in nothing but these numbers, so that they can be mixed.

    Attributes:
        weight, bias: [styles,K].
        eps: what is added to the variance.
    """

    def __init__(self, units: int, styles: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(styles, units))
        self.bias = nn.Parameter(torch.zeros(styles, units))

    def forward(self, maps: Tensor, shares: Tensor) -> Tensor:
        """The maps in a style.

        Args:
            maps: [N,K,h,w].
            shares: of each style in each image: [N,styles], or [1,styles] for all of them.
        """
        count, units = maps.shape[:2]
        weight, bias = (shares @ numbers for numbers in (self.weight, self.bias))
        rows = maps.reshape(1, count * units, *maps.shape[2:])  # each map of each image is a channel of its own
        scale, shift = (numbers.expand(count, -1).reshape(-1) for numbers in (weight, bias))
        return F.batch_norm(rows, None, None, scale, shift, training=True, eps=self.eps).view_as(maps)

    def with_statistics(self, maps: Tensor, shares: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """The same of a part of the maps of an image, by the mean and variance [K] of all of them, in float32."""
        scale, shift = ((shares @ numbers)[0].float() for numbers in (self.weight, self.bias))
        return F.batch_norm(maps.float(), mean, variance, scale, shift, eps=self.eps).to(maps.dtype)


def convolution(of: int, to: int, side: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    """A convolution that sees the mirror image beyond the border, and gives a map of the size over the stride."""
    return nn.Conv2d(of, to, side, stride, padding=side // 2, padding_mode="reflect", bias=bias)


class Layer(nn.Module):
    """A convolution, a norm, a ReLU; doubled: of maps that are made twice as large before, each pixel to four.

    Odena, Dumoulin & Olah 2016: a convolution of enlarged maps draws no checkerboard, as a transposed one does.
    """

    def __init__(self, of: int, to: int, side: int, stride: int = 1, *, styles: int, doubled: bool = False) -> None:
        super().__init__()
        self.doubled = doubled
        self.conv = convolution(of, to, side, stride)
        self.norm = InstanceNorm(to, styles)

    def forward(self, maps: Tensor, shares: Tensor) -> Tensor:
        if self.doubled:
            maps = F.interpolate(maps, scale_factor=2, mode="nearest")
        return F.relu(self.norm(self.conv(maps), shares))


class Residual(nn.Module):
    """Maps plus what two convolutions make of them, without a ReLU behind (Johnson, Alahi & Fei-Fei 2016)."""

    def __init__(self, units: int, styles: int) -> None:
        super().__init__()
        self.first = Layer(units, units, 3, styles=styles)
        self.conv = convolution(units, units, 3)
        self.norm = InstanceNorm(units, styles)

    def forward(self, maps: Tensor, shares: Tensor) -> Tensor:
        added: Tensor = self.norm(self.conv(self.first(maps, shares)), shares)
        return maps + added

"""Caffe's local response normalisation within a channel."""

from __future__ import annotations

from torch import Tensor, nn

from zfcuda.network.kinds import lrn_within


class WithinChannelNorm(nn.Module):
    """x / (1 + alpha * m)^beta, where m is the mean of x^2 over the size x size window around the place.

    What lies outside the map counts as zeros, and is counted: the divisor is size^2 everywhere. Caffe's constant k has
    no part in it. Caffe's LRNParameter with norm_region WITHIN_CHANNEL.
    """

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, input: Tensor) -> Tensor:
        """[N,C,H,W] -> [N,C,H,W]."""
        return lrn_within(input, self.size, self.alpha, self.beta)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}"

"""SmoothGrad, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.smooth_grad import smooth_grad
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return smooth_grad(model, images, target=list(targets)).abs().amax(1)


METHOD = Method(
    name="smoothgrad",
    title="SmoothGrad",
    source="Smilkov et al. 2017",
    signed=False,
    reading="How strongly the network's answer changes when the pixel changes, on average over noisy copies.",
    compute=_maps,
)

"""The data gradient, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.gradient import gradient
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return gradient(model, images, target=list(targets)).sum(1)


METHOD = Method(
    name="gradient",
    title="Gradient",
    source="Simonyan et al. 2013, section 3",
    signed=True,
    reading="How much more the network speaks for the class when the pixel becomes a little brighter.",
    compute=_maps,
)

"""Guided backpropagation, as a map for each pixel: the largest magnitude over the channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.guided_backprop import guided_backprop
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return guided_backprop(model, images, target=list(targets)).abs().amax(1)


METHOD = Method(
    name="guided",
    title="Guided backpropagation",
    source="Springenberg et al. 2014, section 3.4",
    signed=False,
    reading="How much a change of the pixel raises the class score, by the paths that raise it at every rectifier.",
    compute=_maps,
)

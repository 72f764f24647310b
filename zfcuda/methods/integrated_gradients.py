"""Integrated gradients, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.integrated_gradients import integrated_gradients
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return integrated_gradients(model, images, target=list(targets)).sum(1)


METHOD = Method(
    name="integrated",
    title="Integrated gradients",
    source="Sundararajan et al. 2017",
    signed=True,
    reading="How much of the class's score the pixel brings, compared with an image of plain mean colour.",
    compute=_maps,
)

"""Saliency, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.saliency import saliency
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return saliency(model, images, target=list(targets))


METHOD = Method(
    name="saliency",
    title="Saliency",
    source="Simonyan et al. 2013, section 3.1",
    signed=False,
    reading="How strongly the network's answer changes when the pixel changes a little, for or against the class.",
    compute=_maps,
)

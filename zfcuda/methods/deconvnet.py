"""The deconvnet from a class score, as a map for each pixel: the largest magnitude over the channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.deconvnet import deconvnet_rules
from zfcuda.backward.from_class import walk_from_class
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return walk_from_class(model, images, list(targets), deconvnet_rules("identity")).abs().amax(1)


METHOD = Method(
    name="deconvnet",
    title="Deconvnet",
    source="Zeiler & Fergus 2013, section 2.1",
    signed=False,
    reading="How brightly the class score lights the pixel up, sent back through filters and pooling switches.",
    compute=_maps,
)

"""Grad-CAM, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.grad_cam import grad_cam
from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return grad_cam(model, images, target=list(targets))


METHOD = Method(
    name="gradcam",
    title="Grad-CAM",
    source="Selvaraju et al. 2017",
    signed=False,
    reading="Where the network's last maps see something that speaks for the class; only as sharp as those maps.",
    compute=_maps,
)

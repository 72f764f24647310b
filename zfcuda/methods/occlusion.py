"""Occlusion sensitivity, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zfcuda.methods.method import Method
from zfcuda.occlusion import occlusion_map


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    # The usual window, smaller where the image is small: a map of one window says nothing.
    side = min(images.shape[2:])
    window = max(1, min(32, side // 4))
    stride = max(1, window // 4)
    maps = [
        occlusion_map(model, image, window=window, stride=stride, target=target).heatmap(of="log_odds")
        for image, target in zip(images, targets, strict=True)
    ]
    return torch.stack(maps).to(images) if maps else images.new_zeros(0, *images.shape[2:])


METHOD = Method(
    name="occlusion",
    title="Occlusion",
    source="Zeiler & Fergus 2013, section 4.2",
    signed=True,
    reading="How much less likely the class becomes, in log-odds, when a plain square covers the pixel.",
    compute=_maps,
)

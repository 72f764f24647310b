"""The centre point: what every other method has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zfcuda.methods.method import Method


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    count, (height, width) = len(images), images.shape[2:]
    y = (torch.arange(height, device=images.device) - (height - 1) / 2) / height
    x = (torch.arange(width, device=images.device) - (width - 1) / 2) / width
    distance = (y[:, None] ** 2 + x[None, :] ** 2).sqrt()
    return (1 - distance / distance.max().clamp(min=1e-12)).to(images.dtype).expand(count, -1, -1).contiguous()


METHOD = Method(
    name="centre",
    title="The centre of the image",
    source="the control of the pointing game, Zhang et al. 2016",
    signed=False,
    reading="How near the pixel is to the middle, whatever the image and the network.",
    compute=_maps,
)

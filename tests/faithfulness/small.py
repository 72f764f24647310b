"""Small networks whose answers can be written down."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SIDE = 12


class Corners(nn.Module):
    """Two classes: the mean of the upper left and of the lower right quarter; linear, without parameters."""

    def forward(self, images: Tensor) -> Tensor:
        half = SIDE // 2
        first, second = images[..., :half, :half], images[..., half:, half:]
        return torch.stack([first.mean((1, 2, 3)), second.mean((1, 2, 3))], 1) * 8


def layered(seed: int = 0) -> nn.Sequential:
    """Convolutions and a classifier, of random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 4)
        )


def quarter(top: bool = True) -> Tensor:
    """bool [SIDE,SIDE]: the upper left quarter, or the lower right one."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    half = slice(0, SIDE // 2) if top else slice(SIDE // 2, SIDE)
    mask[half, half] = True
    return mask


def gradients(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    """Maps [N,H,W]: the gradient of the class, added up over the channels."""
    with torch.inference_mode(False), torch.enable_grad():
        images = images.clone().requires_grad_()
        score = model(images).gather(1, torch.tensor(targets)[:, None]).sum()
        return torch.autograd.grad(score, images)[0].sum(1)


def noise(side: int = SIDE, seed: int = 0) -> Tensor:
    return torch.rand(side, side, generator=torch.Generator().manual_seed(seed))

"""The optimiser, how its rate changes, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from zfcuda.train.options import Options


def optimiser(network: nn.Module, options: Options) -> torch.optim.Optimizer:
    """SGD with momentum or AdamW over what learns; what has one dimension (biases, norms) does not decay."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decay = options.weight_decay or 0.0
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in learning if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = options.rate or 0.0
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, rate, momentum=options.momentum or 0.0, fused=True)
    return torch.optim.AdamW(groups, rate, fused=True)


def schedule(optimizer: torch.optim.Optimizer, options: Options, steps: int) -> LambdaLR | ReduceLROnPlateau:
    """How the rate changes over a run of so many steps. It rises in half of them at most."""
    if options.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=options.factor or 0.1, patience=options.patience or 0, threshold=0.0)
    rising = min(options.warm_up or 0, steps // 2)

    def share(step: int) -> float:
        warm = min(1.0, (step + 1) / rising) if rising else 1.0
        return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps)))

    return LambdaLR(optimizer, share)


def average(network: nn.Module, decay: float) -> AveragedModel:
    """A moving average of weights and buffers; at the start it forgets faster, so that short runs have one too."""

    def mix(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
            return
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(averaged), list(current), 1 - kept)

    return AveragedModel(network, multi_avg_fn=mix, use_buffers=True)  # type: ignore[arg-type]


@torch.no_grad()
def renormalise(network: nn.Module, radius: float) -> None:
    """Filters of convolutions whose root mean square passes the radius are scaled back to it (section 3)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.requires_grad:  # what is frozen stays
            rms = layer.weight.square().mean((1, 2, 3), keepdim=True).sqrt_()
            layer.weight.mul_((radius / rms).clamp_(max=1.0).nan_to_num_(1.0))

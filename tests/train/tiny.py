"""A tiny network, and what it is trained with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import zfcuda


class Tiny(nn.Sequential):
    """Reads squares of 12 alone."""

    def __init__(self, num_classes: int = 2) -> None:
        conv = nn.Conv2d(3, 4, 3, stride=2)
        super().__init__(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(100, num_classes))


def drawn(num_classes: int = 2) -> nn.Module:
    """A network whose first weights NumPy draws."""
    network = Tiny(num_classes)
    with torch.no_grad():
        network[5].bias.copy_(torch.from_numpy(np.random.rand(num_classes)))
    return network


def plain(num_classes: int = 2) -> nn.Module:
    """A network without dropout."""
    return nn.Sequential(nn.Conv2d(3, 4, 12), nn.ReLU(), nn.Flatten(), nn.Linear(4, num_classes))


MODEL = f"{__name__}:Tiny"
OPTIONS = {"model": MODEL, "size": 12, "short_side": 14, "epochs": 3, "batch": 4, "workers": 0, "precision": "float32"}
WISE = zfcuda.Preprocess(12, 14, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2))

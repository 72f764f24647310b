"""A small network with names and a preprocess, and maps of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.data import Preprocess

NAMES = ("tabby cat", "tiger & <b>lion</b>", "heart", "a very long name, " * 20)


class Named(nn.Module):
    """3 channels -> 4 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.head = nn.Linear(5, len(NAMES))
        self.classes = list(NAMES)

    def forward(self, x: Tensor) -> Tensor:
        return 8 * self.head(self.conv(x).relu().mean((2, 3)))


def a_model(seed: int = 0) -> Named:
    torch.manual_seed(seed)
    return Named().eval()


def an_image(height: int = 22, width: int = 30) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(1))


def a_map(model: nn.Module | None = None, image: Tensor | None = None, **arguments: Any) -> zfcuda.OcclusionMap:
    model = a_model() if model is None else model
    image = an_image() if image is None else image
    return zfcuda.occlusion_map(model, image, **({"window": (6, 8), "stride": (4, 5)} | arguments))


def with_preprocess(model: nn.Module, order: str = "rgb") -> Preprocess:
    """Gives the model a preprocess of its own."""
    preprocess = Preprocess((22, 30), 30, (0.3, 0.5, 0.6), (0.2, 0.3, 0.1), order=order)
    model.preprocess = preprocess
    return preprocess

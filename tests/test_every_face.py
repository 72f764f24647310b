"""What holds for every function that runs a user's model: the model stays the user's, and all take the same models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda

IMAGE = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
WINDOWS: dict[str, Any] = {"window": 6, "stride": 6}

# Each runs a model whose layer "body.0" is a convolution, on IMAGE.
FACES: dict[str, Callable[[nn.Module], Any]] = {
    "occlusion_map": lambda model: zfcuda.occlusion_map(model, IMAGE, **WINDOWS),
    "batched": lambda model: zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS),
    "mapper": lambda model: zfcuda.OcclusionMapper(model, IMAGE, **WINDOWS)(IMAGE),
    "Occlusion": lambda model: zfcuda.Occlusion(model.eval()).attribute(IMAGE[None], (3, 6, 6), (3, 6, 6), target=0),
    "project": lambda model: zfcuda.project(model, IMAGE, "body.0"),
    "Projector": lambda model: zfcuda.Projector(model, IMAGE, "body.0")(IMAGE),
    "summary": lambda model: zfcuda.models.summary(model, (3, 12, 12)),
}
face = pytest.mark.parametrize("face", FACES.values(), ids=FACES)


class Net(nn.Module):
    """A small network, whose subclasses have habits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x).mean((2, 3)))
        return y


class Lazy(Net):
    """Makes a grid at its first call, and keeps it."""

    grid: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1], device=x.device)
        y: Tensor = self.head((x * self.grid).mean((2, 3)))
        return y


@face
def test_what_a_model_makes_and_keeps_can_be_trained_with(face: Callable[[nn.Module], Any]) -> None:
    model = Lazy()
    face(model)
    image = IMAGE[None].clone().requires_grad_()
    model(image).sum().backward()
    assert image.grad is not None and model.head.weight.grad is not None

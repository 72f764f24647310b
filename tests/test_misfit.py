"""An image that does not fit is refused with the layer, and with what the network was made for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda

METHODS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "occlusion_map": lambda model, image: zfcuda.occlusion_map(model, image, window=4),
    "mapper": lambda model, image: zfcuda.OcclusionMapper(model, image, window=4),
    "project": lambda model, image: zfcuda.project(model, image, zfcuda.network.layers(model)[-1]),
    "projector": lambda model, image: zfcuda.Projector(model, image, zfcuda.network.layers(model)[-1]),
}


# What a model says of its images, in the places where it may.
KNOWN: dict[str, Any] = {
    "input_size": (3, 8, 8),
    "preprocess": zfcuda.Preprocess(8, 9),
    "pretrained_cfg": {"input_size": (3, 8, 8)},
}


class Net(nn.Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 3), nn.Linear(72, 2)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


def said(method: str, model: nn.Module, image: Tensor) -> str:
    with pytest.raises(ValueError) as refused:
        METHODS[method](model.eval(), image)
    return str(refused.value)


@pytest.mark.parametrize("method", METHODS)
def test_channels(method: str) -> None:
    expected = "does not fit layer 'conv' (Conv2d): expected 3 channels, got"
    assert said(method, Net(), torch.zeros(1, 8, 8)) == f"image: [1,1,8,8] {expected} 1"
    assert said(method, Net(), torch.zeros(4, 8, 8)) == f"image: [1,4,8,8] {expected} 4"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", KNOWN)
def test_sizes(method: str, name: str) -> None:
    end = "shapes cannot be multiplied (1x128 and 72x2)"
    start = "image: [1,3,10,10] does not fit layer 'fc' (Linear): mat1 and mat2 "
    assert said(method, Net(), torch.zeros(3, 10, 10)) == start + end
    assert said(method, Net(**{name: KNOWN[name]}), torch.zeros(3, 10, 10)).endswith(
        f"{end}; the network was made for [3,8,8]"
    )


@pytest.mark.parametrize("raised", [KeyError("mine"), RuntimeError("mine"), ValueError("mine")])
def test_other_errors_come_through(raised: Exception) -> None:
    class Failing(Net):
        def forward(self, x: Tensor) -> Tensor:
            raise raised

    with pytest.raises(type(raised)) as came:
        zfcuda.occlusion_map(Failing().eval(), torch.zeros(3, 8, 8), window=4)
    assert came.value is raised

"""The methods that autograd computes, and a small network for their tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda

IMAGES = torch.randn(3, 3, 12, 14, generator=torch.Generator().manual_seed(0))

METHODS: dict[str, Callable[..., Tensor]] = {
    "gradient": zfcuda.gradient,
    "saliency": zfcuda.saliency,
    "integrated_gradients": lambda *x, **y: zfcuda.integrated_gradients(*x, steps=4, **y),
    "smooth_grad": lambda *x, **y: zfcuda.smooth_grad(*x, samples=3, **y),
    "grad_cam": zfcuda.grad_cam,
}
every = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


class Net(nn.Module):
    """A small network, whose subclasses have habits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(6, 8, 3)
        self.head = nn.Linear(8, 4)
        nn.init.normal_(self.bn.running_mean, std=0.1)
        nn.init.uniform_(self.head.weight, 0.1, 1)  # whatever the class, something speaks for it

    def maps(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.pool(F.relu(self.bn(self.conv(x)))))
        return y

    def forward(self, x: Tensor) -> Any:
        return self.head(F.relu(self.maps(x)).mean((2, 3)))


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    assert expected.abs().max() > 0

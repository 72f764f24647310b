"""A small network and pictures for it, whose sums are exact in float32 in whatever order they are added."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Net(nn.Module):
    """Two convolutions with a ReLU in place between them, pooling and a linear layer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(5, 7, 3, padding=1)
        self.fc = nn.Linear(7, 4)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randint(-3, 4, parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        y: Tensor = self.fc(self.relu(self.conv2(x)).amax((2, 3)))
        return y


LAYERS = ["conv1", "relu", "conv2", "fc"]


def images(count: int, seed: int = 1, size: tuple[int, int] = (13, 11)) -> Tensor:
    """Whole numbers from -2 to 2: there are many ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (count, 3, *size), generator=generator).float()


class Slow(Dataset[Tensor]):
    """Images that take a while; `broken` ones cannot be had."""

    def __init__(self, every: Tensor, seconds: float = 0.0, broken: tuple[int, ...] = ()) -> None:
        self.every, self.seconds, self.broken = every, seconds, broken

    def __len__(self) -> int:
        return len(self.every)

    def __getitem__(self, index: int) -> Tensor:
        if self.seconds:
            import time

            time.sleep(self.seconds)
        if index in self.broken:
            raise OSError(f"sector {index} is gone")
        return self.every[index]


def activations(model: nn.Module, every: Tensor, layers: list[str]) -> dict[str, np.ndarray]:
    """What the layers give, image by image, by hooks of our own: [N,K,h,w] or [N,K]."""
    found: dict[str, list[Any]] = {layer: [] for layer in layers}
    for image in every:
        kept: dict[str, Tensor] = {}
        hooks = [
            model.get_submodule(layer).register_forward_hook(
                lambda module, inputs, output, layer=layer, kept=kept: kept.__setitem__(layer, output.detach().clone())
            )
            for layer in layers
        ]
        with torch.no_grad():
            model(image[None])
        for hook in hooks:
            hook.remove()
        for layer in layers:
            found[layer].append(kept[layer][0].float().numpy())
    return {layer: np.stack(each) for layer, each in found.items()}

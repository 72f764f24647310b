"""A tiny data set and a network for it, whose classes differ in colour."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.train.sets import Sets, read_sets

CLASSES = ["red", "green", "blue"]


class Images(list[Any]):
    """Images and labels, with the names of the classes."""

    classes = CLASSES


def images(per_class: int, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    found = Images()
    for index in range(per_class * len(CLASSES)):
        image = 0.3 * torch.rand(3, 16, 16, generator=generator)
        image[index % 3] += 0.7
        found.append((image, index % 3))
    return found


def sets(train: int = 8, validation: int = 3, test: int | None = 4) -> Sets:
    parts: dict[str, Any] = {"train": images(train, 1), "validation": images(validation, 2)}
    return read_sets({**parts, **({} if test is None else {"test": images(test, 3)})})


class Network(nn.Module):
    """Two convolutions and a linear layer, of random weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu2(self.conv2(self.relu1(self.conv1(x)))))
        return self.fc(x.flatten(1))  # type: ignore[no-any-return]


class Counting(Network):
    """Counts the images that it is run for."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += len(x)
        return super().forward(x)

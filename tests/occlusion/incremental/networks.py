"""Networks and images that several of these tests share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tests.harness.random_networks import Code
from tests.occlusion.incremental.definition import prepared

SIZE = (3, 26, 31)  # of the picture, where nothing depends on it


class Plain(nn.Module):
    """Every common step once."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 6, 5, stride=2, padding=1), nn.BatchNorm2d(6)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.drop, self.head = nn.Conv2d(6, 8, 3, padding=1), nn.Dropout(), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.conv1(x))))
        return self.head(self.drop(F.relu(self.conv2(x)).mean((2, 3))))


class Layered(nn.Module):
    """Layers whose outputs are overwritten, read twice, called twice, of each shape."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.body = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 1))
        self.drop, self.pool = nn.Dropout(0.5), nn.MaxPool2d(2)
        self.gate, self.mix = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1)), nn.GroupNorm(2, 6)
        self.flat, self.fc1, self.fc2 = nn.Flatten(), nn.Linear(6 * 6 * 7, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.body(x)
        y += x
        y = self.pool(self.relu(self.drop(y)))
        y = y * self.gate(y).sigmoid()
        y = self.pool(self.mix(y))
        return self.fc2(self.relu(self.fc1(self.flat(y))))


class ByShape(Plain):
    """Branches on sizes, as many models do."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        x = self.norm(self.conv1(x))
        if x.shape[2] > 8:
            x = self.pool(x)
        for _ in range(x.dim() - 2):
            x = F.relu(x)
        x = self.conv2(x)
        x = x.view(x.shape[0], x.shape[1], -1)
        if min(x.shape[1:]) < 1:
            raise ValueError("too small")
        return self.head(x.mean(2).view(x.size(0), -1))


def sandwich(middle: nn.Module, image: Tensor) -> nn.Module:
    """The step between two convolutions, the second the costlier, so that completing the maps would show."""
    before = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), middle)
    channels = before.eval()(image[None].cpu()).shape[1]
    after = nn.Conv2d(channels, 24, 3, padding=1)
    head = Code("return self.fc(F.relu(x).mean((2, 3)))", fc=nn.Linear(24, 5))
    layers = OrderedDict(before=before[0], middle=middle, after=after, head=head)
    return prepared(nn.Sequential(layers).to(image.device), image)


def conv(*args: Any, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(8, *args, **kwargs)


def code(text: str, **parts: Callable[[], Any]) -> Callable[[], nn.Module]:
    return lambda: Code(text, **{name: part() for name, part in parts.items()})


def same(kernel: int) -> Callable[[], nn.Module]:
    return conv(8, kernel, padding=kernel // 2)

"""Blocks added to their input, beyond the plain ResNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.families.chain import classifier, norm_after


def _stem(maps: int) -> nn.Module:
    conv = nn.Conv2d(3, maps, 3, 2, 1, bias=False)
    return nn.Sequential(*norm_after(conv), nn.ReLU(inplace=True))


class Grouped(nn.Module):
    """A bottleneck whose middle filters work in groups."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = norm_after(nn.Conv2d(maps, maps // 2, 1, bias=False))
        self.conv2, self.bn2 = norm_after(nn.Conv2d(maps // 2, maps // 2, 3, 1, 1, groups=4, bias=False))
        self.conv3, self.bn3 = norm_after(nn.Conv2d(maps // 2, maps, 1, bias=False))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + x)


def resnext() -> nn.Module:
    """Xie et al. 2016, and RegNetX."""
    return classifier(_stem(16), Grouped(16), nn.MaxPool2d(3, 2, 1), Grouped(16), maps=16)


class Split(nn.Module):
    """Groups of maps are filtered one after another, each with the last one's answer added."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.width = maps // 4
        self.conv1 = nn.Sequential(*norm_after(nn.Conv2d(maps, maps, 1, bias=False)), nn.ReLU(inplace=True))
        convs = [nn.Conv2d(self.width, self.width, 3, 1, 1, bias=False) for _ in range(3)]
        self.convs = nn.ModuleList([nn.Sequential(*norm_after(c), nn.ReLU(inplace=True)) for c in convs])

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(self.conv1(x), self.width, 1)
        done: list[Tensor] = []
        for i, conv in enumerate(self.convs):
            done.append(conv(parts[i] if i == 0 else parts[i] + done[-1]))
        return torch.cat([*done, parts[3]], 1) + x


def res2net() -> nn.Module:
    """Gao et al. 2019."""
    return classifier(_stem(16), Split(16), nn.MaxPool2d(2), Split(16), nn.ReLU(), maps=16)


class Standardised(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        variance, mean = torch.var_mean(weight, (1, 2, 3), keepdim=True, correction=0)
        weight = (weight - mean) / torch.sqrt(variance + 1e-6)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class WithoutNorm(nn.Module):
    """A residual block of standardised filters, its branches scaled by numbers."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Standardised(maps, maps, 3, 1, 1), Standardised(maps, maps, 1)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(x) * 1.7139588594436646 * 0.9)
        y = self.conv2(F.relu(y).mul_(1.7139588594436646))
        return y * self.gain * 0.2 + x


def nfnet() -> nn.Module:
    """Brock et al. 2021, with ReLU."""
    return classifier(Standardised(3, 16, 3, 2, 1), WithoutNorm(16), nn.AvgPool2d(2), WithoutNorm(16), maps=16)


class Before(nn.Module):
    """Norm and ReLU before each convolution; norms of groups of maps see the whole of them."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, maps), nn.GroupNorm(4, maps)
        self.conv1, self.conv2 = Standardised(maps, maps, 3, 1, 1), Standardised(maps, maps, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


def big_transfer() -> nn.Module:
    """Kolesnikov et al. 2019: ResNet v2 with norms of groups."""
    stem = nn.Sequential(Standardised(3, 16, 3, 2, 1), nn.ConstantPad2d(1, 0.0), nn.MaxPool2d(3, 2))
    return classifier(stem, Before(16), nn.ReLU(), maps=16)


class Blur(nn.Module):
    """A fixed filter of each map, after reflection at the border, and every other place of it."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filter", (row[:, None] * row)[None, None].repeat(maps, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.get_buffer("filter"), stride=2, groups=x.shape[1])


def antialiased() -> nn.Module:
    """Zhang 2019, and ResNet-D's mean on the way past."""
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 1), Blur(16))
    return classifier(stem, Grouped(16), nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), maps=16)


class ThreeWays(nn.Module):
    """A filter of nine places, one of a single place and the map itself, each with a norm."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.large = nn.Sequential(*norm_after(nn.Conv2d(maps, maps, 3, 1, 1, bias=False)))
        self.small = nn.Sequential(*norm_after(nn.Conv2d(maps, maps, 1, bias=False)))
        self.identity = nn.BatchNorm2d(maps)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.large(x) + self.small(x) + self.identity(x))


def repvgg() -> nn.Module:
    """Ding et al. 2021, as it is trained."""
    return classifier(_stem(16), ThreeWays(16), nn.MaxPool2d(2), ThreeWays(16), maps=16)

"""Blocks added to their input: ResNet with channel attention, and MobileNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.made import Chain, averaged, made
from zfcuda.models.architectures.resnet import BasicBlock, resnet


class _Attention(nn.Module):
    """Squeeze and excitation (Hu et al. 2017): every channel times a gate that sees the whole map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(maps, maps // 16)
        self.excite = nn.Linear(maps // 16, maps)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate.unsqueeze(-1).unsqueeze(-1)


class _Attentive(BasicBlock):
    """A residual block whose residual is gated."""

    def __init__(self, before: int, maps: int, stride: int = 1) -> None:
        super().__init__(before, maps, stride)
        self.se = _Attention(maps)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.se(self.bn2(self.conv2(residual)))
        residual += x if self.downsample is None else self.downsample(x)
        return self.relu(residual)


def se_resnet(num_classes: int = 1000) -> nn.Module:
    """ResNet-18 with channel attention; no torchvision network."""
    return made(lambda: resnet(_Attentive, (2, 2, 2, 2), num_classes))


class _Inverted(nn.Module):
    """Makes maps more, filters each alone, makes them fewer; added to the input where the shapes allow."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        widen = [_six(before, wide, 1)] if expansion != 1 else []
        narrow = [nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after)]
        self.conv = nn.Sequential(*widen, _six(wide, wide, 3, stride, groups=wide), *narrow)
        self.added = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.added else self.conv(x)


def _six(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU6(inplace=True))


def mobilenet_v2(num_classes: int = 1000) -> nn.Module:
    """Sandler et al. 2018."""

    def build() -> nn.Module:
        features: list[nn.Module] = [_six(3, 32, 3, 2)]
        before = 32
        for expansion, maps, count, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            for i in range(count):
                features.append(_Inverted(before, maps, 1 if i else stride, expansion))
                before = maps
        features.append(_six(before, 1280, 1))
        classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        return Chain({"features": nn.Sequential(*features), "classifier": classifier}, {"features": averaged})

    return made(build)

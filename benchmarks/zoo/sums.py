"""Blocks added to their input: ResNet, with channel attention too, and MobileNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.made import Chain, averaged, flat, made


class _Attention(nn.Module):
    """Squeeze and excitation (Hu et al. 2017): every channel times a gate that sees the whole map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(maps, maps // 16)
        self.excite = nn.Linear(maps // 16, maps)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate.unsqueeze(-1).unsqueeze(-1)


class _Residual(nn.Module):
    """Two 3x3 convolutions, or three where `after` is more than `width`, added to the input."""

    def __init__(self, before: int, width: int, after: int, stride: int, attention: bool) -> None:
        super().__init__()
        plain = [(before, width, 3, stride), (width, after, 3, 1)]
        bottleneck = [(before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1)]
        shapes = plain if width == after else bottleneck
        for i, (inputs, outputs, kernel, step) in enumerate(shapes, 1):
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        self.depth = len(shapes)
        self.relu = nn.ReLU(inplace=True)
        self.se = _Attention(after) if attention else None
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, input: Tensor) -> Tensor:
        x = input
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            if i < self.depth:
                x = self.relu(x)
        if self.se is not None:
            x = self.se(x)
        x += input if self.downsample is None else self.downsample(input)
        return self.relu(x)


def _resnet(blocks: Sequence[int], expansion: int, num_classes: int, attention: bool = False) -> nn.Module:
    def build() -> nn.Module:
        layers: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            "bn1": nn.BatchNorm2d(64),
            "relu": nn.ReLU(inplace=True),
            "maxpool": nn.MaxPool2d(3, 2, 1),
        }
        before = 64
        for stage, count in enumerate(blocks):
            width = 64 << stage
            made = []
            for i in range(count):
                made.append(_Residual(before, width, width * expansion, 2 if stage and not i else 1, attention))
                before = width * expansion
            layers[f"layer{stage + 1}"] = nn.Sequential(*made)
        layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "fc": nn.Linear(before, num_classes)}
        return Chain(layers, {"avgpool": flat})

    return made(build)


def resnet18(num_classes: int = 1000) -> nn.Module:
    """He et al. 2015."""
    return _resnet((2, 2, 2, 2), 1, num_classes)


def resnet50(num_classes: int = 1000) -> nn.Module:
    """With bottlenecks, the stride in their 3x3."""
    return _resnet((3, 4, 6, 3), 4, num_classes)


def se_resnet(num_classes: int = 1000) -> nn.Module:
    """ResNet-18 with channel attention; no torchvision network."""
    return _resnet((2, 2, 2, 2), 1, num_classes, attention=True)


class _Inverted(nn.Module):
    """Wider, one filter per map, narrower again; added to the input where the shapes allow."""

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
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(count):
                features.append(_Inverted(before, maps, 1 if i else stride, expansion))
                before = maps
        features.append(_six(before, 1280, 1))
        classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        return Chain({"features": nn.Sequential(*features), "classifier": classifier}, {"features": averaged})

    return made(build)

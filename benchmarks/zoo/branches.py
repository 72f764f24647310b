"""Branches side by side: SqueezeNet, Inception, DenseNet."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.made import Chain, averaged, flat, made


class _Branches(nn.Module):
    """Branches that all read the same input; their maps stand side by side."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


class _Fire(nn.Module):
    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        small, large = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([small, large], 1)


def squeezenet1_1(num_classes: int = 1000) -> nn.Module:
    """Iandola et al. 2016, the smaller version."""

    def build() -> nn.Module:
        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2),
            nn.ReLU(inplace=True),
            pool(),
            _Fire(64, 16, 64),
            _Fire(128, 16, 64),
            pool(),
            _Fire(128, 32, 128),
            _Fire(256, 32, 128),
            pool(),
            _Fire(256, 48, 192),
            _Fire(384, 48, 192),
            _Fire(384, 64, 256),
            _Fire(512, 64, 256),
        )
        classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, num_classes, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )
        return Chain({"features": features, "classifier": classifier}, {"classifier": flat})

    return made(build)


class _ConvNorm(nn.Module):
    """Convolution, batch norm, functional ReLU; the kernel may be (rows, columns)."""

    def __init__(self, before: int, maps: int, kernel: int | tuple[int, int] = 1, stride: int = 1) -> None:
        super().__init__()
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.conv = nn.Conv2d(before, maps, (rows, columns), stride, (rows // 2, columns // 2), bias=False)
        self.bn = nn.BatchNorm2d(maps, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def inception_like(num_classes: int = 1000) -> nn.Module:
    """The 1x7 and 7x1 convolutions and averaging branches of Inception v3, in small; no torchvision network."""

    def build() -> nn.Module:
        def block(before: int, pool: nn.Module) -> nn.Module:
            long = [_ConvNorm(before, 48), _ConvNorm(48, 48, (1, 7)), _ConvNorm(48, 64, (7, 1))]
            longer = [_ConvNorm(before, 48), _ConvNorm(48, 48, (7, 1)), _ConvNorm(48, 64, (1, 7))]
            return _Branches(
                branch1x1=_ConvNorm(before, 64),
                branch7x7=nn.Sequential(*long),
                branch7x7dbl=nn.Sequential(*longer, _ConvNorm(64, 64, (1, 3))),
                branch_pool=nn.Sequential(pool, _ConvNorm(before, 64)),
            )

        reduction = _Branches(branch3x3=_ConvNorm(256, 128, 3, 2), branch_pool=nn.MaxPool2d(3, 2, 1))
        layers = {
            "conv1": _ConvNorm(3, 32, 3, 2),
            "conv2": _ConvNorm(32, 64, 3, 2),
            "maxpool": nn.MaxPool2d(3, 2),
            "mixed1": block(64, nn.AvgPool2d(3, 1, 1)),
            "mixed2": block(256, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
            "reduction": reduction,
            "mixed3": block(384, nn.AvgPool2d((5, 3), 1, (2, 1), ceil_mode=True, count_include_pad=False)),
            "pool": nn.AvgPool2d(2, ceil_mode=True),
            "avgpool": nn.AdaptiveAvgPool2d(1),
            "fc": nn.Linear(256, num_classes),
        }
        return Chain(layers, {"avgpool": flat})

    return made(build)


class _Dense(nn.Sequential):
    """Puts 32 new maps beside those that it was given."""

    def __init__(self, before: int) -> None:
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(before),
                relu1=nn.ReLU(inplace=True),
                conv1=nn.Conv2d(before, 128, 1, bias=False),
                norm2=nn.BatchNorm2d(128),
                relu2=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(128, 32, 3, padding=1, bias=False),
            )
        )

    def forward(self, input: Tensor) -> Tensor:
        return torch.cat([input, super().forward(input)], 1)


def densenet121(num_classes: int = 1000) -> nn.Module:
    """Huang et al. 2016."""

    def build() -> nn.Module:
        features: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            "norm0": nn.BatchNorm2d(64),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        maps = 64
        for block, count in enumerate((6, 12, 24, 16), 1):
            dense: OrderedDict[str, nn.Module] = OrderedDict(
                (f"denselayer{i + 1}", _Dense(maps + 32 * i)) for i in range(count)
            )
            features[f"denseblock{block}"] = nn.Sequential(dense)
            maps += 32 * count
            if block < 4:
                features[f"transition{block}"] = nn.Sequential(
                    OrderedDict(
                        norm=nn.BatchNorm2d(maps),
                        relu=nn.ReLU(inplace=True),
                        conv=nn.Conv2d(maps, maps // 2, 1, bias=False),
                        pool=nn.AvgPool2d(2),
                    )
                )
                maps //= 2
        features["norm5"] = nn.BatchNorm2d(maps)
        layers = {"features": nn.Sequential(OrderedDict(features)), "classifier": nn.Linear(maps, num_classes)}
        return Chain(layers, {"features": lambda x: averaged(F.relu(x, inplace=True))})

    return made(build)

"""One layer after another: AlexNet, VGG."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from benchmarks.zoo.made import Chain, flat, made


def alexnet(num_classes: int = 1000) -> nn.Module:
    """Krizhevsky 2014, "One weird trick"."""

    def build() -> nn.Module:
        relu, pool = nn.ReLU, nn.MaxPool2d
        features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), relu(inplace=True), pool(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), relu(inplace=True), pool(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), relu(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), relu(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1), relu(inplace=True), pool(3, 2),
        )  # fmt: skip
        classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(256 * 36, 4096), relu(inplace=True),
            nn.Dropout(), nn.Linear(4096, 4096), relu(inplace=True), nn.Linear(4096, num_classes),
        )  # fmt: skip
        layers = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(6), "classifier": classifier}
        return Chain(layers, {"avgpool": flat})

    return made(build)


def _vgg(convolutions: Sequence[int], num_classes: int, normed: bool) -> nn.Module:
    def build() -> nn.Module:
        features: list[nn.Module] = []
        before = 3
        for maps, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
            for _ in range(count):
                norm = [nn.BatchNorm2d(maps)] if normed else []
                features += [nn.Conv2d(before, maps, 3, padding=1), *norm, nn.ReLU(inplace=True)]
                before = maps
            features.append(nn.MaxPool2d(2))
        classifier = nn.Sequential(
            nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, num_classes),
        )  # fmt: skip
        layers = {"features": nn.Sequential(*features), "avgpool": nn.AdaptiveAvgPool2d(7), "classifier": classifier}
        return Chain(layers, {"avgpool": flat})

    return made(build)


def vgg16(num_classes: int = 1000) -> nn.Module:
    """Simonyan & Zisserman 2014, configuration D."""
    return _vgg((2, 2, 3, 3, 3), num_classes, normed=False)


def vgg11_bn(num_classes: int = 1000) -> nn.Module:
    """Configuration A, with batch norm."""
    return _vgg((1, 1, 2, 2, 2), num_classes, normed=True)

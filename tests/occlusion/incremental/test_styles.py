"""Whole networks: the package's own, those of torchvision, and the styles that people use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from tests.harness.random_networks import Code, normal
from tests.occlusion.incremental.definition import check, prepared
from zfcuda.models import load_demo, zfnet


def test_networks_of_the_package(device: torch.device) -> None:
    image = normal((3, 224, 224), 1).to(device)
    check(prepared(zfnet(10, width=0.1).to(device), image), image, window=50, stride=70, fill=0.3, layer="conv3")
    demo = load_demo().to(device)
    size = demo.preprocess(Image.new("RGB", (64, 64))).shape[1:]
    check(demo, normal(size, 2).to(device), window=16, stride=19, together=8)


def unit(
    channels: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Any = nn.ReLU
) -> nn.Sequential:
    filters = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(filters, nn.BatchNorm2d(out), act(inplace=True))


def resnet() -> nn.Module:
    def basic(channels: int, out: int, stride: int) -> nn.Module:
        body = nn.Sequential(unit(channels, out, 3, stride), nn.Conv2d(out, out, 3, 1, 1), nn.BatchNorm2d(out))
        down = nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out)) if stride > 1 else nn.Identity()
        return Code(
            "y = self.body(x); y += self.down(x); return self.relu(y)", body=body, down=down, relu=nn.ReLU(True)
        )

    stem = [unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1), basic(8, 8, 1), basic(8, 12, 2), basic(12, 12, 1)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1), nn.Linear(12, 7))


def mobilenet() -> nn.Module:
    def inverted(channels: int, out: int, kernel: int, stride: int) -> nn.Module:
        wide = 2 * channels
        squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.ReLU(), nn.Conv2d(4, wide, 1))
        attend = Code("return self.scale(self.squeeze(x)) * x", squeeze=squeeze, scale=nn.Hardsigmoid())
        deep = unit(wide, wide, kernel, stride, groups=wide, act=nn.Hardswish)
        body = nn.Sequential(unit(channels, wide, 1, act=nn.Hardswish), deep, attend, nn.Conv2d(wide, out, 1))
        return Code("return x + self.body(x)" if (channels, stride) == (out, 1) else "return self.body(x)", body=body)

    layers = [unit(3, 8, 3, 2, act=nn.Hardswish), inverted(8, 8, 3, 1), inverted(8, 12, 5, 2), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(12, 16), nn.Hardswish(True), nn.Dropout(0.2), nn.Linear(16, 7)
    )


def densenet() -> nn.Module:
    def dense(channels: int) -> nn.Module:
        body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, 4, 3, 1, 1, bias=False)
        )
        return Code("return torch.cat([x, self.body(x)], 1)", body=body)

    layers = [unit(3, 8, 5, 2), nn.MaxPool2d(3, 2, 1), dense(8), dense(12), dense(16)]
    layers += [nn.BatchNorm2d(20), nn.ReLU(True), nn.Conv2d(20, 8, 1), nn.AvgPool2d(2), dense(8), nn.BatchNorm2d(12)]
    head = Code("return self.f(F.adaptive_avg_pool2d(F.relu(x, inplace=True), (1, 1)).flatten(1))", f=nn.Linear(12, 7))
    return nn.Sequential(*layers, head)


def inception() -> nn.Module:
    def mixed(channels: int) -> nn.Module:
        parts = {"a": unit(channels, 4, 1), "b": nn.Sequential(unit(channels, 3, 1), unit(3, 4, 3))}
        parts["c"] = nn.Sequential(unit(channels, 2, 1), unit(2, 3, 5))
        parts["d"] = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(channels, 3, 1))
        return Code("return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)", **parts)

    layers = [unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5, 0.1), mixed(8), mixed(14)]
    return nn.Sequential(
        *layers,
        nn.MaxPool2d(3, 2, ceil_mode=True),
        mixed(14),
        nn.Dropout(0.4),
        nn.Conv2d(14, 7, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for channels, out in ((3, 6), (6, 8), (8, 8)):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2, 2)]
    layers += [nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Linear(8 * 49, 20), nn.ReLU(True), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(20, 7))


def convnext() -> nn.Module:
    norm = "return self.n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"
    mlp = "y = self.d(x).permute(0, 2, 3, 1); y = self.b(F.gelu(self.a(self.n(y)))).permute(0, 3, 1, 2); "
    mlp += "return x + self.s * y"
    parts = {
        "d": nn.Conv2d(8, 8, 7, padding=3, groups=8),
        "n": nn.LayerNorm(8),
        "a": nn.Linear(8, 16),
        "b": nn.Linear(16, 8),
    }
    stem = [nn.Conv2d(3, 8, 4, 4), Code(norm, n=nn.LayerNorm(8)), Code(mlp, **parts, s=torch.ones(8, 1, 1))]
    head = Code("return self.f(self.n(x.mean([-2, -1])))", n=nn.LayerNorm(8), f=nn.Linear(8, 7))
    return nn.Sequential(*stem, nn.Conv2d(8, 8, 2, 2), head)


STYLES = [resnet, mobilenet, densenet, inception, vgg, convnext]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)
def test_networks_in_the_styles_that_people_use(style: Callable[[], nn.Module], device: torch.device) -> None:
    image = normal((3, 70, 61), 1).to(device)
    model = prepared(style().to(device), image)
    check(model, image, window=9, stride=13, together=8)
    check(model.double().to(memory_format=torch.channels_last), image.double(), window=(1, 20), stride=17, fill=0.5)


@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "efficientnet_b0"],
)
def test_networks_of_torchvision(name: str, device: torch.device) -> None:
    try:
        from torchvision import models
    except (ImportError, RuntimeError):  # the second where its build does not fit that of torch
        pytest.skip("no torchvision")
    image = normal((3, 64, 64), 1).to(device)
    model = getattr(models, name)(num_classes=7)
    check(prepared(model.to(device), image), image, window=12, stride=20, together=4)

"""The layer that Grad-CAM is drawn of where none is named."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from zfcuda.methods import METHODS
from zfcuda.methods.grad_cam import layer_before_pooling

IMAGE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def features() -> list[nn.Module]:
    return [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()]


class Functional(nn.Module):
    """Pools by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Sequential(*features()), nn.Linear(5 * 64, 3)

    def forward(self, images: Tensor) -> Tensor:
        y: Tensor = self.head(F.max_pool2d(self.features(images), 2).flatten(1))
        return y


class Container(nn.Module):
    """Pools at the end of its features, and again before the classifier, as VGG does."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*features(), nn.MaxPool2d(2))
        self.avgpool, self.head = nn.AdaptiveAvgPool2d(8), nn.Linear(5 * 64, 3)

    def forward(self, images: Tensor) -> Tensor:
        y: Tensor = self.head(self.avgpool(self.features(images)).flatten(1))
        return y


class Aside(Container):
    """Computes a map last that the answer does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        y = super().forward(images)
        self.aside(images)
        return y


def test_the_layer_before_the_last_pooling() -> None:
    flat = nn.Sequential(*features(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(320, 3))
    assert layer_before_pooling(flat, IMAGE) == "3" == layer_before_pooling(nn.DataParallel(flat), IMAGE)
    assert layer_before_pooling(Container(), IMAGE) == "features.3"
    assert layer_before_pooling(Functional(), IMAGE) == "features"
    assert layer_before_pooling(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 3)), IMAGE) is None


def test_the_map_is_that_of_this_layer() -> None:
    model = Container()
    found = METHODS["gradcam"].compute(model, IMAGE, [1])
    torch.testing.assert_close(found, zfcuda.grad_cam(model, IMAGE, layer="features.3", target=[1]))
    twin = Functional()
    twin.features.load_state_dict({k: v for k, v in model.features.state_dict().items()})
    twin.head.load_state_dict(model.head.state_dict())
    torch.testing.assert_close(METHODS["gradcam"].compute(twin, IMAGE, [1]), found)


def test_a_layer_that_the_score_does_not_depend_on_is_passed_over() -> None:
    model = Aside()
    assert layer_before_pooling(model, IMAGE) == "aside"
    found = METHODS["gradcam"].compute(model, IMAGE, [2])
    torch.testing.assert_close(found, zfcuda.grad_cam(model, IMAGE, target=[2]))
    pooled = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 3))
    assert METHODS["gradcam"].compute(pooled, IMAGE, [0]).shape == (1, 16, 16)
    assert METHODS["gradcam"].compute(pooled, IMAGE[:0], []).shape == (0, 16, 16)

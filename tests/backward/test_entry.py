"""Sums go back through the first convolution at once: only where it alone reads the image, and then with one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from zfcuda.backward import averaged
from zfcuda.backward.entry import Entry, entry_of

IMAGES = torch.randn(3, 3, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A small network, whose subclasses read the image in ways of their own."""

    def __init__(self, conv: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1) if conv is None else conv
        self.head = nn.LazyLinear(4)
        self.double().eval()(IMAGES[:1])

    def read(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.tanh(self.read(x)).flatten(1))


class Twice(Net):
    def read(self, x: Tensor) -> Tensor:
        return super().read(x) * x.mean()


class Overwriting(Net):
    def read(self, x: Tensor) -> Tensor:
        return super().read(x.mul_(2))


class PartlyOverwriting(Net):
    def read(self, x: Tensor) -> Tensor:
        x[:, 0] *= 3
        return super().read(x)


class Prepared(Net):
    def read(self, x: Tensor) -> Tensor:
        return super().read(x.sigmoid())


class Hooked(Net):
    def read(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(lambda gradient: gradient.clamp(min=0))
        return super().read(x)


class OfItsOwnWeight(Net):
    """Its filters depend on the image, in a way that autograd does not see."""

    def read(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.conv.weight * x.detach().mean())  # type: ignore[arg-type,operator]


class OfTheImage(Net):
    def read(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.conv.weight * x.mean())  # type: ignore[arg-type,operator]


class AsTheFilter(Net):
    """The images of a batch are the filters."""

    def read(self, x: Tensor) -> Tensor:
        return F.conv2d(self.conv.weight, x[:, :, :3, :3]).transpose(0, 1)  # type: ignore[arg-type]


class HookedBehind(Net):
    def read(self, x: Tensor) -> Tensor:
        y = super().read(x)
        if y.requires_grad:
            y.register_hook(lambda gradient: gradient.clamp(min=0))
        return y.mul_(2)


PLAIN: dict[str, Callable[[], nn.Module]] = {
    "hooked behind": HookedBehind,
    "strided": Net,
    "grouped and dilated": lambda: Net(nn.Conv2d(3, 6, 3, groups=3, dilation=2, bias=False)),
    "same": lambda: Net(nn.Conv2d(3, 6, (3, 5), padding="same")),
    "transposed": lambda: Net(nn.ConvTranspose2d(3, 6, 3, stride=2, output_padding=1)),
}
OTHERS = [Twice, Overwriting, PartlyOverwriting, Prepared, Hooked, OfItsOwnWeight, OfTheImage, AsTheFilter]
MODELS: list[Callable[[], nn.Module]] = [*PLAIN.values(), *OTHERS]


def is_found(model: nn.Module) -> bool:
    image = IMAGES[:1].clone().requires_grad_().clone()
    end = image.grad_fn
    return entry_of(model, image, end, model(image)[:, 1]) is not None


@pytest.mark.parametrize("build", PLAIN.values(), ids=PLAIN)
def test_a_convolution_that_alone_reads_the_image_is_found(build: Callable[[], nn.Module]) -> None:
    assert is_found(build())


@pytest.mark.parametrize("build", OTHERS, ids=lambda kind: kind.__name__)
def test_what_is_read_in_another_way_is_not(build: Callable[[], nn.Module]) -> None:
    assert not is_found(build())


@pytest.mark.parametrize("build", MODELS, ids=[*PLAIN, *(kind.__name__ for kind in OTHERS)])
def test_the_sum_is_that_of_the_gradients(build: Callable[[], nn.Module]) -> None:
    model, weights, targets = build(), [0.5, -1.0, 0.25], [1, 0, 3]
    found = averaged.weighted_gradients(model, IMAGES, targets, lambda part, k: IMAGES[part] * (k + 1), weights)
    gradients = [zfcuda.gradient(model, IMAGES * (k + 1), target=targets) for k in range(3)]
    expected = sum(weight * gradient for weight, gradient in zip(weights, gradients, strict=True))
    assert isinstance(expected, Tensor) and expected.abs().max() > 0
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_the_convolution_changes_from_run_to_run() -> None:
    class Changing(Net):
        second: nn.Module

        def read(self, x: Tensor) -> Tensor:
            larger = x.detach().abs().mean() > IMAGES[0].abs().mean() * 1.5
            y: Tensor = self.second(x) if larger else self.conv(x)
            return y

    model, image = Changing(), IMAGES[:1]
    model.second = nn.Conv2d(3, 6, 3, stride=2, padding=1, dtype=torch.float64)
    found = averaged.weighted_gradients(model, image, 1, lambda part, k: image[part] * (k + 1), [1.0, 1.0])
    expected = zfcuda.gradient(model, image, target=1) + zfcuda.gradient(model, image * 2, target=1)
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_the_image_is_returned_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    back = Entry.back

    def counted(self: Any, signals: Tensor, images: Tensor) -> Tensor:
        calls.append(len(signals))
        return back(self, signals, images)

    monkeypatch.setattr(Entry, "back", counted)
    zfcuda.smooth_grad(Net(), IMAGES, target=1, samples=7)
    assert calls == [3]

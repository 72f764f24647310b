"""The walk back through whole networks: the gradient is torch.autograd's, the guided signal that of guided ReLUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.backward.networks import inception, mobile, resnet, trained, vgg
from tests.backward.test_rules import EXACT, assert_exact, gradients
from zfcuda.backward.rules import Rules
from zfcuda.backward.units import UnitSelection
from zfcuda.backward.walk import walk_back
from zfcuda.models import zfnet
from zfcuda.network import trace
from zfcuda.network.kinds import lrn_within


class Head(nn.Module):
    """What the others lack: normalisation within channels, functional and in-place ReLUs, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x), inplace=True)
        x = torch.relu(self.conv2(lrn_within(x, 3, 0.5, 0.75)))
        return self.fc(x.mean((2, 3)))


def small_zfnet() -> nn.Module:
    model = zfnet(9, width=0.1)
    for module in model.modules():
        if isinstance(module, nn.LocalResponseNorm):
            module.alpha = 0.1  # far from the identity
    return model


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "vgg": (vgg, (30, 35)),
    "resnet": (lambda: resnet("modules"), (41, 50)),
    "resnet, functional": (lambda: resnet("functional"), (41, 50)),
    "resnet, one ReLU in place": (lambda: resnet("shared"), (41, 50)),
    "resnet, functions in place": (lambda: resnet("in place"), (41, 50)),
    "inception": (inception, (33, 30)),
    "mobile": (mobile, (31, 26)),
    "head": (Head, (12, 15)),
    "zfnet": (small_zfnet, (224, 224)),
}


def built(name: str, device: torch.device) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    build, size = NETWORKS[name]
    return trained(build(), device, torch.float64), torch.randn(1, 3, *size, dtype=torch.float64, device=device)


def parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Some layers, each with the network up to it."""
    if not isinstance(model, nn.Sequential):
        return [("", model)]
    names = [name for name, _ in model.named_children()]
    return [(names[i], nn.Sequential(*list(model)[: i + 1])) for i in (3, len(names) // 2, len(names) - 1)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_that_of_autograd(name: str, device: torch.device) -> None:
    model, image = built(name, device)
    network = trace(model)
    for layer, part in parts(model):
        with torch.no_grad():
            seeds = torch.randn(2, *part(image).shape[1:], dtype=torch.float64, device=device)
        assert_exact(walk_back(network, image, layer, lambda _, s=seeds: s, EXACT), gradients(part, image, seeds))


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, high: float) -> Tensor:
        ctx.save_for_backward(input)
        ctx.high = high
        return input.clamp(0, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (input,) = ctx.saved_tensors
        return grad.clamp(min=0) * (input > 0) * (input < ctx.high), None


class Guided(nn.Module):
    def __init__(self, high: float) -> None:
        super().__init__()
        self.high = high

    def forward(self, x: Tensor) -> Tensor:
        return _GuidedReLU.apply(x, self.high)


@pytest.mark.parametrize("name", ["vgg", "resnet", "inception", "zfnet", "mobile"])
def test_guided_relus(name: str, device: torch.device) -> None:
    model, image = built(name, device)
    ours = {}
    for layer, part in parts(model):
        with torch.no_grad():
            seeds = torch.randn(2, *part(image).shape[1:], dtype=torch.float64, device=device)
        ours[layer] = seeds, walk_back(model, image, layer, lambda _, s=seeds: s, Rules("guided", "exact"))
    for module in list(model.modules()):
        for child, inner in module.named_children():
            if isinstance(inner, nn.ReLU | nn.Hardtanh):  # a ReLU6 is one
                setattr(module, child, Guided(getattr(inner, "max_val", torch.inf)))
    for layer, part in parts(model):
        seeds, signal = ours[layer]
        assert_exact(signal, gradients(part, image, seeds))


@pytest.mark.parametrize(
    "selection",
    [
        UnitSelection("4", 3, None, 2),
        UnitSelection("4", 2, (1, 2), 1),
        UnitSelection("4", 1, "all", 1),
        UnitSelection("11", None, None, 3),
    ],
)
def test_a_seed_of_one_gives_the_gradient_of_the_chosen_activations(
    selection: UnitSelection, device: torch.device
) -> None:
    model, image = built("vgg", device)
    layer = selection.layer

    def seeds(activation: Tensor) -> Tensor:
        return selection.seeds(activation, selection.chosen(activation), 1)

    signals = walk_back(model, image, layer, seeds, EXACT)
    assert isinstance(model, nn.Sequential)
    x = image.clone().requires_grad_()
    activation = model[: int(layer) + 1](x)[0]
    selected = selection.chosen(activation.detach())
    for i, signal in enumerate(signals):
        own = activation[int(selected.units[i])]
        whole = selection.whole or selected.places is None
        value = own.sum() if whole else own.flatten()[int(selected.places[i])]  # type: ignore[index]
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
        assert_exact(signal, gradient[0])

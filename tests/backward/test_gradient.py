"""The data gradient and saliency: closed forms, autograd, Captum, and the walk with the gradient's rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import zfcuda
from tests.backward.networks import inception, mobile, resnet, trained, vgg
from tests.backward.test_random_networks import EXAMPLES, NO_RULE, RANDOM, drawn
from tests.backward.test_rules import EXACT
from zfcuda.backward import UnprojectableError
from zfcuda.backward.units import strongest_units
from zfcuda.backward.walk import walk_back
from zfcuda.network import trace

CPU = torch.device("cpu")


class Branching(nn.Module):
    """Written with functions alone; the first layer is called twice, and what follows overwrites it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.conv(x).relu_())
        x.relu_()
        y: Tensor = self.head(x.mean((2, 3)))
        return y


def test_of_a_linear_model_it_is_the_weight() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 2)).eval()
    images = torch.randn(2, 3, 4, 5)
    weight = model[1].weight.detach().view(2, 3, 4, 5)
    assert torch.equal(zfcuda.gradient(model, images, target=[1, 0]), weight[[1, 0]])
    assert torch.equal(zfcuda.saliency(model, images, target=1), weight[[1, 1]].abs().amax(1))
    best = model(images).argmax(1)
    assert torch.equal(zfcuda.gradient(model, images), weight[best])


@pytest.mark.parametrize("make", [lambda: resnet("in place"), mobile, vgg])
def test_against_captum(make: Any) -> None:
    captum = pytest.importorskip("captum.attr")
    model, images = trained(make(), CPU), torch.randn(3, 3, 40, 40)
    if make is vgg:
        images = images[..., :32, :32]
    target = torch.tensor([1, 0, 3])
    for absolute, found in (
        (False, zfcuda.gradient(model, images, target=target)),
        (True, zfcuda.saliency(model, images, target=target)),
    ):
        expected = captum.Saliency(model).attribute(images.clone(), target=target, abs=absolute)
        expected = expected.amax(1) if absolute else expected
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def by_autograd(model: nn.Module, images: Tensor, layer: str, seeds: Any) -> Tensor:
    """The gradient of the last value of a layer, weighted by what `seeds` makes of it."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.clone())

    handle = model.get_submodule(layer).register_forward_hook(keep)
    x = images.clone().requires_grad_()
    model(x * 1)
    handle.remove()
    return torch.autograd.grad(seen[-1], x, seeds(seen[-1].detach()))[0]


@pytest.mark.parametrize("layer", ["conv", "head"])
@pytest.mark.parametrize("unit", [None, 2])
@pytest.mark.parametrize("position", [None, (3, 4), "all"])
def test_from_an_activation(layer: str, unit: int | None, position: Any) -> None:
    torch.manual_seed(0)
    model, images = Branching().double().eval(), torch.randn(3, 3, 7, 8).double()
    if layer == "head" and position == (3, 4):
        with pytest.raises(ValueError, match="position: expected None, as layer 'head' is a vector"):
            zfcuda.gradient(model, images, layer=layer, unit=unit, position=position)
        return

    def seeds(value: Tensor) -> Tensor:
        result = torch.zeros_like(value)
        for mine, of in zip(result, value, strict=True):
            if layer == "head":
                mine[unit if unit is not None else of.argmax()] = 1
                continue
            at = of[:, 3, 4] if position == (3, 4) else of.flatten(1).amax(1)
            k = unit if unit is not None else int(at.argmax())
            y, x = (3, 4) if position == (3, 4) else divmod(int(of[k].argmax()), 8)
            if position == "all":
                mine[k] = 1
            else:
                mine[k, y, x] = 1
        return result

    found = zfcuda.gradient(model, images, layer=layer, unit=unit, position=position)
    expected = by_autograd(model, images, layer, seeds)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    for i in range(3):
        alone = zfcuda.gradient(model, images[i], layer=layer, unit=unit, position=position)
        torch.testing.assert_close(found[i : i + 1], alone, rtol=1e-12, atol=1e-14)


def test_what_fails_behind_the_layer_does_not_matter() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7, 2)).eval()
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(zfcuda.gradient(model, images, layer="1"), zfcuda.gradient(model[:2], images, layer="1"))
    with pytest.raises(ValueError, match=r"image: .* does not fit layer '3'"):
        zfcuda.gradient(model, images)


@settings(max_examples=EXAMPLES or 40, **RANDOM)
@given(data=st.data())
def test_it_is_the_walk_with_the_rules_of_the_gradient(data: st.DataObject) -> None:
    model, image, layer, value = drawn(data, 24)
    if value.ndim not in (2, 4) or not value.isfinite().all():
        return
    unit = int(strongest_units(value[0], layer, 1).units)
    network, images = trace(model, image), torch.cat([image, image.flip(3), image])

    def seeds(value: Tensor) -> Tensor:
        result = torch.zeros_like(value)
        result.view(len(value), -1)[unit, value[unit].argmax()] = 1
        return result[None]

    try:
        expected = [walk_back(network, each[None], layer, seeds, EXACT) for each in images]
    except (UnprojectableError, ValueError) as error:  # what those steps of the harness draw that no rule is for
        assert NO_RULE.search(str(error)), error
        return
    try:
        found = zfcuda.gradient(model, images, layer=layer, unit=unit)
    except ValueError as error:
        assert "does not depend on the image" in str(error) and not torch.cat(expected).any()
        return
    assert (found - torch.cat(expected)).abs().max() <= 1e-9 * found.abs().max() + 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": 1}, "unit: expected None without layer=, got 1"),
        ({"position": "all"}, "position: expected None without layer=, got 'all'"),
        ({"layer": "conv", "target": 1}, "target: expected None with layer='conv', .* got 1"),
        ({"layer": "cnv"}, "layer: Branching has no layer 'cnv'; .*did you mean conv"),
        ({"layer": "conv", "unit": 3}, "unit: expected 0 to 2, the units of layer 'conv', got 3"),
        ({"layer": "conv", "position": (9, 0)}, r"position: expected a place on the 7 x 8 map of layer 'conv'"),
        ({"layer": "unused"}, "layer: 'unused' is never called by the model's forward"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    model = Branching()
    model.unused = nn.ReLU()
    with pytest.raises(ValueError, match=message):
        zfcuda.gradient(model, torch.randn(2, 3, 7, 8), **arguments)


def test_layers_that_give_no_map() -> None:
    class Odd(Branching):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.whole, self.constant = Applying(), Applying(), Applying()

        def forward(self, x: Tensor) -> Tensor:
            self.pair(x, lambda x: (x, x)), self.whole(x, Tensor.long), self.constant(x, Tensor.detach)
            return super().forward(x)

    class Applying(nn.Module):
        def forward(self, x: Tensor, function: Any) -> Any:
            return function(x)

    for layer, message in (
        ("pair", r"layer: expected a map \[N,K,h,w\] or a vector \[N,K\], got tuple from 'pair'"),
        ("whole", "layer: expected floating values, got torch.int64 from 'whole'"),
        (
            "constant",
            r"layer: 'constant' does not depend on the image by gradients; they end in .*layer 'constant' \(Applying\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            zfcuda.gradient(Odd(), torch.randn(2, 3, 7, 8), layer=layer)


def test_a_map_of_any_family() -> None:
    for model in (trained(inception(), CPU), trained(mobile(), CPU)):
        layer = zfcuda.network.layers(model)[-1] if isinstance(model[-1], nn.ReLU) else "6"
        found = zfcuda.gradient(model, torch.randn(2, 3, 40, 40), layer=layer)
        assert found.shape == (2, 3, 40, 40) and found.flatten(1).abs().amax(1).min() > 0

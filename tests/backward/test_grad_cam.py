"""Grad-CAM: by hand on a network of two maps, against Captum, and which layer is taken where none is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.backward.networks import inception, mobile, resnet, trained, vgg
from zfcuda.backward.maps import maps

CPU = torch.device("cpu")
IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class TwoMaps(nn.Module):
    """Two maps of 2 x 2, which are the image's two channels; each class weighs each place."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Identity(), nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0, 0, 0, 1, -1, -1, 0, 0], [-1, -1, -1, -1, 0, 0, 0, 0]]))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.maps(x).flatten(1))
        return y


def test_by_hand() -> None:
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [2.0, 1.0]]])
    # The class's gradient is its weights: their mean over each map is 1/2 and -1/2, and -1 and 0.
    first = (image[0] / 2 - image[1] / 2).relu()
    found = zfcuda.grad_cam(TwoMaps(), torch.stack([image, image]), layer="maps", target=[0, 1])
    assert torch.equal(found, torch.stack([first, torch.zeros(2, 2)]))
    assert first.tolist() == [[0, 1], [0.5, 1.5]]


def test_it_is_resized_bilinearly() -> None:
    class Small(TwoMaps):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.avg_pool2d(x, 4))

    found = zfcuda.grad_cam(Small(), torch.ones(2, 8, 8).cumsum(2), target=0, layer="maps")
    small = zfcuda.grad_cam(TwoMaps(), F.avg_pool2d(torch.ones(1, 2, 8, 8).cumsum(3), 4), target=0, layer="maps")
    assert torch.equal(found, F.interpolate(small[None], (8, 8), mode="bilinear")[0])


@pytest.mark.parametrize(
    ("make", "layer", "size"), [(lambda: resnet("modules"), "4", 40), (mobile, "6", 40), (vgg, "8", 32)]
)
def test_against_captum(make: Any, layer: str, size: int) -> None:
    captum = pytest.importorskip("captum.attr")
    model, images, target = trained(make(), CPU), torch.randn(3, 3, size, size), torch.tensor([1, 0, 3])
    module = model.get_submodule(layer)
    small = captum.LayerGradCam(model, module).attribute(images, target=target, relu_attributions=True)
    expected = captum.LayerAttribution.interpolate(small, (size, size), "bilinear")[:, 0].detach()
    found = zfcuda.grad_cam(model, images, target=target, layer=layer)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.max()))


class Functional(nn.Module):
    """Its layers are called from functions, what follows the last one overwrites it, and a side branch comes later."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.ModuleDict({"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(4, 5, 3, padding=1)})
        self.side, self.head = nn.Conv2d(5, 2, 1), nn.Linear(5, 3)
        nn.init.uniform_(self.head.weight)
        self.seen: Any = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner["b"](F.max_pool2d(F.relu(self.inner["a"](x)), 2))
        self.seen = self.side(y).sum()
        y.relu_()
        z: Tensor = self.head(y.mean((2, 3)))
        return z


def by_autograd(model: nn.Module, images: Tensor, before: Tensor, rest: Any, target: int) -> Tensor:
    """The map, from what the layer gives and the function from there to the logits."""
    value = before.detach().requires_grad_()
    gradient = torch.autograd.grad(rest(value)[:, target].sum(), value)[0]
    small = (gradient.mean((2, 3), keepdim=True) * value).sum(1, keepdim=True).relu().detach()
    return F.interpolate(small, images.shape[2:], mode="bilinear")[:, 0]


def test_the_last_layer_that_the_score_depends_on() -> None:
    model = Functional().eval()
    value = model.inner["b"](F.max_pool2d(F.relu(model.inner["a"](IMAGES)), 2))
    expected = by_autograd(model, IMAGES, value, lambda v: model.head(v.relu().mean((2, 3))), 1)
    assert list(maps(model, IMAGES[:1])) == ["inner.a", "inner.b", "side"] and expected.max() > 0
    for layer in (None, "inner.b"):
        torch.testing.assert_close(zfcuda.grad_cam(model, IMAGES, layer=layer, target=1), expected)
    with pytest.raises(ValueError, match="layer: expected one that the score depends on by gradients, got 'side'"):
        zfcuda.grad_cam(model, IMAGES, layer="side", target=1)


class Statement(nn.Module):
    """A ReLU in place whose result nobody takes, a layer of a frozen body, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.relu, self.twice = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)
        nn.init.uniform_(self.head.weight)

    def after_body(self, x: Tensor) -> Tensor:
        self.relu(x)
        return self.rest(self.twice(x.relu()))

    def rest(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.twice(x).mean((2, 3)))
        return y

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.body(x)
        return self.after_body(x)


def test_layers_whose_value_goes_on_in_odd_ways() -> None:
    model = Statement().eval()
    body = model.body(IMAGES).detach()
    first = model.twice(body.relu())
    for layer, value, rest in (
        ("body", body, lambda v: model.rest(model.twice(v.relu()))),
        ("twice", model.twice(first), lambda v: model.head(v.mean((2, 3)))),
    ):
        expected = by_autograd(model, IMAGES, value, rest, 1)
        torch.testing.assert_close(zfcuda.grad_cam(model, IMAGES, layer=layer, target=1), expected)
        assert expected.max() > 0
    with pytest.raises(ValueError, match="layer: expected one that the score depends on by gradients, got 'relu'"):
        zfcuda.grad_cam(model, IMAGES, layer="relu", target=1)  # behind torch.no_grad autograd follows nothing of it
    without = nn.Sequential(Unfrozen(), model.twice, nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.head)
    expected = by_autograd(without, IMAGES, body.relu(), lambda v: model.head(model.twice(v).mean((2, 3))), 1)
    without[0].body.load_state_dict(model.body.state_dict())
    torch.testing.assert_close(zfcuda.grad_cam(without, IMAGES, layer="0.relu", target=1), expected)


class Unfrozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        self.relu(y)
        return y


@pytest.mark.parametrize("make", [lambda: resnet("in place"), lambda: resnet("functional"), inception, mobile, vgg])
def test_a_default_layer_for_every_family(make: Any) -> None:
    model = trained(make(), CPU)
    if make is inception:
        model = nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(2, 3, 32, 32)
    found = zfcuda.grad_cam(model, images)
    last = list(maps(model, images[:1]))[-1]
    assert found.shape == (2, 32, 32) and found.min() >= 0 and found.max() > 0
    torch.testing.assert_close(found, zfcuda.grad_cam(model, images, layer=last))


class Attentive(nn.Module):
    """Tokens of patches, whose attention has four dimensions and is no map."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.attention, self.head = nn.Conv2d(3, 8, 4, 4), nn.Identity(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        weights = self.attention((heads @ heads.mT).softmax(-1))
        y: Tensor = self.head((weights @ heads).transpose(1, 2).flatten(2).mean(1))
        return y


def test_attention_is_no_map() -> None:
    torch.manual_seed(0)
    model, images = Attentive().eval(), torch.randn(2, 3, 20, 20)
    assert list(maps(model, images[:1])) == ["patches", "attention"]
    torch.testing.assert_close(zfcuda.grad_cam(model, images), zfcuda.grad_cam(model, images, layer="patches"))


def test_a_map_of_zeros() -> None:
    model = TwoMaps()
    images = torch.rand(2, 2, 4, 4)[:, :, :2, :2].contiguous()
    found = zfcuda.grad_cam(model, images, layer="maps", target=1)
    assert found.shape == (2, 2, 2) and not found.any()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "head",
            r"a map \[N,K,h,w\] of more than one place, got a Tensor of shape \[2, 5\] from 'head'; .* do: 0, 1, 2$",
        ),
        ("3", r"got a Tensor of shape \[2, 4, 1, 1\] from '3'; those that do: 0, 1, 2$"),
        ("odd", "layer: Sequential has no layer 'odd'"),
        (3, "layer: expected the dotted name of a submodule, got 3"),
    ],
)
def test_layers_that_do_not_fit(layer: Any, message: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.add_module("head", nn.Linear(4, 5))
    with pytest.raises((ValueError, TypeError), match=message):
        zfcuda.grad_cam(model, IMAGES, layer=layer)


def test_a_model_without_a_map() -> None:
    with pytest.raises(
        ValueError, match=r"layer: expected one that gives a map of more than one place, .*Sequential has none"
    ):
        zfcuda.grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), IMAGES)

"""Activations are the model's own values; their picture marks what is dead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.features.activation_sheet import activation_sheet
from zfcuda.features.rectifiers import rectified_layers


class Net(nn.Module):
    """Rectifies in every form, and uses one module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 5, 3)
        self.bn, self.relu, self.leaky = nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.LeakyReLU()
        self.six = nn.ReLU6()
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.bn(self.conv2(x)))
        x = F.relu_(self.conv3(self.leaky(x)))
        y: Tensor = self.head(self.six(x.mean((2, 3))))
        return y.clamp(min=0)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 12, 12)


def test_values_are_the_models_own(net: Net, images: Tensor, device: torch.device) -> None:
    net, images = net.to(device).eval(), images.to(device)
    found = zfcuda.activations(net.train(), images, ["head", "conv1", "relu", "conv3"])
    net.eval()
    with torch.no_grad():
        conv1 = net.conv1(images)
        second = net.bn(net.conv2(conv1.relu())).relu()
        conv3 = net.conv3(second)
        head = net.head(conv3.relu().mean((2, 3)).clamp(max=6))
    assert list(found) == ["head", "conv1", "relu", "conv3"]
    # What works in place behind a layer does not show, and of a layer that is called twice the last call counts.
    for name, value in {"conv1": conv1, "relu": second, "conv3": conv3, "head": head}.items():
        torch.testing.assert_close(found[name], value)
        assert found[name].device == images.device


def test_a_batch_gives_what_each_image_gives(net: Net, images: Tensor) -> None:
    together = zfcuda.activations(net, images, "conv3")["conv3"]
    for image, values in zip(images, together, strict=True):
        torch.testing.assert_close(zfcuda.activations(net, image, "conv3")["conv3"][0], values)
    assert torch.equal(zfcuda.activations(net, images.flip(0), "conv3")["conv3"].flip(0), together)


class Coupled(Net):
    """Scales by the largest value of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / x.amax())


def test_images_that_a_model_mixes_run_one_by_one(images: Tensor) -> None:
    model = Coupled()
    images[0] *= 0.1
    together = zfcuda.activations(model, images, "conv1")["conv1"]
    for image, values in zip(images, together, strict=True):
        assert torch.equal(zfcuda.activations(model, image, "conv1")["conv1"][0], values)


def test_hooks_of_the_users_count(net: Net, images: Tensor) -> None:
    net.conv1.register_forward_hook(lambda module, inputs, output: 2 * output)
    torch.testing.assert_close(
        zfcuda.activations(net, images, "conv1")["conv1"], 2 * F.conv2d(images, net.conv1.weight, net.conv1.bias)
    )
    assert len(net.conv1._forward_hooks) == 1 and net.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes_layouts_and_modes(net: Net, images: Tensor, dtype: torch.dtype) -> None:
    net = net.to(dtype).to(memory_format=torch.channels_last)
    images = images.to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = zfcuda.activations(nn.DataParallel(net), images, ["module.conv1", "conv1"])
    assert found["conv1"].dtype == dtype and torch.equal(found["conv1"], found["module.conv1"])
    assert net.conv1.weight.requires_grad and net.conv1.weight.grad is None


def test_what_fails_behind_the_layers_does_not_matter(net: Net) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 2))
    large = torch.rand(3, 20, 20)
    torch.testing.assert_close(zfcuda.activations(model, large, "1")["1"], model[:2](large[None]).detach())
    assert model(torch.rand(1, 3, 12, 12)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"image: \[1,3,20,20\] does not fit layer '3' \(Linear\)"):
        zfcuda.activations(model, large, ["1", "3"])
    twice = nn.Sequential(model[0], model[1], model[3], model[1])
    with pytest.raises(ValueError, match="does not fit layer '2'"):  # of a layer that would run again, too
        zfcuda.activations(twice, large, "1")


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.two, self.never = Two(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.two(x)[0]
        return y


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("ask", "kind", "said"),
    [
        (lambda m, x: zfcuda.activations(m, x, "convl"), ValueError, "has no layer 'convl'.* did you mean conv"),
        (lambda m, x: zfcuda.activations(m, x, []), ValueError, "layers: expected the name of at least one layer"),
        (lambda m, x: zfcuda.activations(m, x, 3), TypeError, "layers: expected the name of a layer, .* got 3"),
        (lambda m, x: zfcuda.activations("m", x, "conv1"), TypeError, "model: expected a torch.nn.Module, got str"),
        (lambda m, x: zfcuda.activations(m, x[:, :2], "conv1"), ValueError, "image: .*expected 3 channels, got 2"),
        (lambda m, x: zfcuda.activations(m, x.double(), "conv1"), TypeError, "image: expected the model's dtype"),
        (lambda m, x: zfcuda.activations(Pair(), x, "two"), ValueError, "got 'two': tuple"),
        (lambda m, x: zfcuda.activations(Pair(), x, "never"), ValueError, "layer: 'never' is not called"),
    ],
)
def test_bad_input(ask: Callable[..., Any], kind: type[Exception], said: str, net: Net, images: Tensor) -> None:
    with pytest.raises(kind, match=said):
        ask(net, images)


def test_where_a_model_rectifies(net: Net) -> None:
    # Not the leaky one. A ReLU that is called again, or is no module, goes by the layer before it.
    assert rectified_layers(net) == ["conv1", "relu", "conv3", "six", "head"]
    assert rectified_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU())) == []
    assert rectified_layers(nn.Sequential(nn.Hardtanh(0, 4), nn.Hardtanh(-1, 1), nn.ReLU())) == ["0", "2"]


def pixels(picture: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in picture.getcolors(1 << 24) or []}  # type: ignore[misc]


RED, NAVY, YELLOW = (190, 30, 30), (0, 0, 4), (252, 255, 164)


def test_dead_maps_are_marked_and_counted() -> None:
    maps = torch.zeros(5, 4, 6)
    maps[1, 2, 3], maps[3] = 1.0, 0.5
    sheet = activation_sheet(maps, "conv9")
    assert sheet.dead == [0, 2, 4] and RED in pixels(sheet.picture)
    assert sheet.said == [
        "conv9: 5 maps of 4 x 6, from 0 to 1",
        "3 are zero everywhere for this picture (60 %), crossed out in grey",
    ]
    alive = activation_sheet(maps[[1, 3]], "conv9")
    assert alive.dead == [] and RED not in pixels(alive.picture) and NAVY in pixels(alive.picture)
    assert alive.said[1] == "none is zero everywhere for this picture"


def test_maps_have_one_scale() -> None:
    maps = torch.stack([torch.full((4, 4), 1.0), torch.full((4, 4), 0.5)])
    both, weak = (pixels(activation_sheet(m, "a").picture) for m in (maps, maps[1:]))
    middle = (188, 55, 84)  # inferno's, at a half
    near = {c for c in both if max(abs(a - b) for a, b in zip(c, middle, strict=True)) < 12}
    assert YELLOW in both and near and YELLOW in weak


def test_a_scale_with_negative_values_has_zero_in_the_middle() -> None:
    maps = torch.tensor([[[0.0, 2.0]], [[-2.0, -1.0]]])
    sheet = activation_sheet(maps, "conv9")
    assert {(247, 247, 247), (178, 24, 43), (33, 102, 172)} <= pixels(sheet.picture)
    assert sheet.said[-1] == "1 is nowhere above zero"


@pytest.mark.parametrize("shape", [(1,), (1000,), (3, 1, 1), (33, 300, 20), (700, 2, 2)])
@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e-30])
def test_every_layer_can_be_drawn(shape: tuple[int, ...], value: float) -> None:
    sheet = activation_sheet(torch.full(shape, value, dtype=torch.bfloat16), "a layer of a long name" * 9)
    assert sheet.picture.width < 2400 and len(sheet.dead) == (shape[0] if value == 0 else 0)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"layer: expected one with maps .* 'tokens' gives \[4, 5\]"):
        activation_sheet(torch.zeros(4, 5), "tokens")


def test_a_picture_by_its_path(net: Net, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    net.preprocess = zfcuda.Preprocess(size=12, short_side=12)
    by_path = zfcuda.activations(net, tmp_path / "a.png", "conv1")["conv1"]
    assert torch.equal(by_path, zfcuda.activations(net, net.preprocess(tmp_path / "a.png"), "conv1")["conv1"])

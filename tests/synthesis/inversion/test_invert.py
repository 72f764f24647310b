"""Inversion: an orthogonal layer gives the image itself, priors choose, every mistake is one line before the work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.data import Preprocess
from zfcuda.synthesis import Inversion
from zfcuda.synthesis.redirected import straight_through


def orthogonal(size: int = 12) -> nn.Sequential:
    """Patches of 2 x 2 pixels of three colours, turned: no number is lost."""
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 12, 2, stride=2, bias=False)
    conv.weight.data = torch.linalg.qr(torch.randn(12, 12))[0].view(12, 3, 2, 2)
    return nn.Sequential(conv, nn.Flatten(), nn.Linear(3 * size * size, 4))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
    )


@pytest.mark.parametrize("seed", [0, 7])
def test_the_inversion_of_an_orthogonal_layer_is_the_image(seed: int) -> None:
    image = torch.randn(1, 3, 12, 12)
    found = zfcuda.invert(orthogonal(), image, "0", tv=0, steps=50, seed=seed)
    assert isinstance(found, Inversion) and found.error < 1e-4
    assert float((found.image - image).norm() / image.norm()) < 1e-4


def test_the_inversion_of_an_orthogonal_matrix_is_the_image() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(75, 75, bias=False))
    nn.init.orthogonal_(model[1].weight)
    image = torch.rand(3, 5, 5)
    found = zfcuda.invert(model, image, "1", tv=0, steps=100)
    assert found.error < 1e-4 and float((found.image[0] - image).norm() / image.norm()) < 1e-4


def test_within_limits_too_where_pixels_are_black_and_white() -> None:
    model = orthogonal()
    model.preprocess = zfcuda.Preprocess(12, 12, (0.5,) * 3, (0.5,) * 3)  # type: ignore[assignment]
    image = torch.randn(1, 3, 12, 12).clamp(-1, 1)
    found = zfcuda.invert(model, image, "0", tv=0, steps=100)
    assert found.error < 1e-4 and float(found.image.min()) >= -1 and float(found.image.max()) <= 1


def test_the_error_is_what_it_says() -> None:
    model, image = network(), torch.rand(1, 3, 16, 16)
    found = zfcuda.invert(model, image, "4", steps=20)
    code0, code = (zfcuda.activations(model, each, ["4"])["4"] for each in (image, found.image))
    assert found.error == pytest.approx(float((code - code0).norm() / code0.norm()), rel=1e-4)
    assert 0 < found.error < 0.9 and found.layer == "4" and found.image.shape == image.shape


@pytest.mark.parametrize("layer", ["7", "5", "6", "2"])
def test_maps_and_vectors(layer: str) -> None:
    found = zfcuda.invert(network(), torch.rand(1, 3, 16, 16), layer, steps=60, tv=0)
    assert found.error < 0.1


def test_total_variation_makes_images_smoother_and_codes_less_alike() -> None:
    model, image = network(), torch.rand(1, 3, 16, 16)
    rough, smooth = (zfcuda.invert(model, image, "1", steps=60, tv=tv, limits=(0, 1)) for tv in (0.0, 100.0))
    assert smooth.image.diff(dim=3).square().mean() < 0.3 * rough.image.diff(dim=3).square().mean()
    assert smooth.error > rough.error


def test_the_alpha_norm_holds_values_together_where_there_are_no_limits() -> None:
    model, image = network(), torch.rand(1, 3, 16, 16)
    free, held = (zfcuda.invert(model, image, "7", steps=40, tv=0, norm=norm) for norm in (0.0, 10.0))
    assert float((held.image - 0.5).abs().max()) < 1.2 and not torch.equal(free.image, held.image)


def test_a_seed_gives_one_image_and_another_seed_another() -> None:
    model, image = network(), torch.rand(1, 3, 16, 16)
    first, again, other = (zfcuda.invert(model, image, "7", steps=5, seed=seed).image for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    found = zfcuda.invert(network().to(dtype), torch.rand(1, 3, 16, 16, dtype=dtype), "1", steps=10)
    assert found.image.dtype == dtype and found.error < 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer": "conv9"}, "'conv9'"),
        ({"layer": 3}, "layer: expected the dotted name of a submodule, got 3"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"steps": 2.5}, "steps: expected an integer, got 2.5"),
        ({"tv": -1}, "tv: expected a number of at least 0, got -1"),
        ({"tv": float("nan")}, "tv: expected a number of at least 0, got nan"),
        ({"norm": -0.5}, "norm: expected a number of at least 0, got -0.5"),
        ({"norm": "x"}, "norm: expected a number, got 'x'"),
        ({"limits": 3}, "limits: expected a pair"),
        ({"image": torch.rand(2, 3, 16, 16)}, "image: expected"),
        ({"image": torch.rand(1, 3, 9, 9), "model": orthogonal(), "layer": "2"}, "does not fit layer '2'"),
        ({"image": torch.full((1, 3, 16, 16), float("nan"))}, "image: expected finite values"),
    ],
)
def test_mistakes(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"model": network(), "image": torch.rand(1, 3, 16, 16), "layer": "4", "steps": 2, **change}
    with pytest.raises((TypeError, ValueError)) as caught:
        zfcuda.invert(**given)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_layer_that_is_zero_has_no_inversion() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    nn.init.constant_(model[0].bias, -100)
    with pytest.raises(ValueError, match="layer: '1' is zero for this image"):
        zfcuda.invert(model, torch.rand(1, 3, 4, 4), "1")


def test_an_image_that_is_not_found_is_told() -> None:
    with pytest.warns(UserWarning, match=r"layer: '4' was not reached, its code is \d+% off"):
        found = zfcuda.invert(network(), torch.rand(1, 3, 16, 16) * 9 - 4, "4", steps=1)
    assert found.error > 0.5


def test_units_that_are_all_0_for_noise_are_woken() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 24, 4, 4), nn.ReLU(inplace=True))
    model[0].weight.data.normal_(0, 1 / 4)
    nn.init.constant_(model[0].bias, -0.5)  # more than the noise of the start overcomes anywhere
    model.preprocess = Preprocess(16, 16, (0.5,) * 3, (0.25,) * 3)
    image = (torch.rand(1, 3, 8, 8) - 0.5).sign().repeat_interleave(2, 2).repeat_interleave(2, 3) * 1.8
    found = zfcuda.invert(model, image, "1", tv=0.0, steps=120)
    assert found.error < 0.3  # 1 without
    assert not model[1]._forward_hooks and not model[1]._forward_pre_hooks


@pytest.mark.parametrize("in_place", [False, True])
def test_a_rectifier_that_gradients_pass_gives_what_it_gave(in_place: bool) -> None:
    values, module = torch.tensor([-2.0, 0.5, 7.0], requires_grad=True), nn.ReLU6(in_place)
    with straight_through(module):
        given = module(values * 1)
        given.backward(torch.ones(3))
    assert given.tolist() == [0.0, 0.5, 6.0]
    assert values.grad is not None and values.grad.tolist() == [1.0, 1.0, 1.0]
    with torch.no_grad(), straight_through(nn.Linear(3, 3)):  # no rectifier: as it is
        assert module(-values).tolist() == [2.0, 0.0, 0.0]


def test_a_layer_without_gradients() -> None:
    class Signs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().sign()

    with pytest.raises(ValueError, match="does not depend on the image by gradients"):
        zfcuda.invert(nn.Sequential(nn.Conv2d(3, 2, 1), Signs()), torch.rand(1, 3, 4, 4), "1")

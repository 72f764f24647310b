"""DeepDream against closed forms, on images of any size, and every mistake in one line before the work."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import layer, total_variation
from zfcuda.synthesis.dream.deep_dream import dreamed

ONCE: dict[str, Any] = {"octaves": 1, "steps": 1, "jitter": 0}


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)),
    )


def test_the_first_step_on_a_linear_layer_is_along_the_layer_carried_back() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(75, 20, bias=False))
    image = torch.randn(1, 3, 5, 5)
    step = zfcuda.deep_dream(model, image, "1", **ONCE, limits=(-9, 9), rate=2.0) - image
    weight = model[1].weight.detach()
    along = (weight.T @ weight @ image.flatten()).view_as(image)
    torch.testing.assert_close(step, along / along.abs().mean() * 18 * 2 / 255, rtol=1e-4, atol=1e-5)


def test_the_layer_says_more_afterwards() -> None:
    model, image = network(), torch.rand(1, 3, 40, 50)
    found = dreamed(model, image, "3", octaves=2, steps=4, jitter=2, limits=(0, 1))
    before, after = (zfcuda.activations(model, each, ["3"])["3"].square().mean() for each in (image, found.images))
    assert after > 1.05 * before and found.values.shape == (8, 1) and found.stopped == ""
    assert float(found.images.min()) >= 0 and float(found.images.max()) <= 1


@pytest.mark.parametrize("size", [(31, 57), (8, 8), (64, 19)])
def test_a_picture_of_any_size_in_octaves_and_tiles(size: tuple[int, int]) -> None:
    image = torch.rand(3, *size)
    found = zfcuda.deep_dream(network(), image, "3", octaves=3, steps=2, jitter=40, tile=32)
    assert found.shape == (1, 3, *size) and found.isfinite().all() and not torch.equal(found[0], image)


def test_a_seed_gives_one_picture_and_another_seed_another() -> None:
    model, image = network(), torch.rand(1, 3, 30, 30)
    first, again, other = (zfcuda.deep_dream(model, image, "3", steps=2, octaves=2, seed=s) for s in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_tiles_change_nothing_where_they_overlap_by_what_a_unit_sees() -> None:
    model, image = network(), torch.rand(1, 3, 100, 70)
    whole, cut = (zfcuda.deep_dream(model, image, "3", steps=3, octaves=2, tile=tile) for tile in (100, 64))
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-4)


def test_objectives_in_words_and_composed_ones() -> None:
    model, image = network(), torch.rand(1, 3, 24, 24)
    for wanted in ("2:4", "2:1@3,3", "2", "2", layer("2") - 0.1 * total_variation()):
        assert zfcuda.deep_dream(model, image, wanted, octaves=1, steps=1).isfinite().all()


def test_a_picture_is_taken_in_its_full_size(tmp_path: Path) -> None:
    model = network()
    model.preprocess = zfcuda.Preprocess(16, 16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), order="bgr")  # type: ignore[assignment]
    picture = Image.new("RGB", (33, 21), (250, 120, 5))
    picture.putpixel((3, 4), (0, 0, 0))
    picture.save(tmp_path / "a.png")
    found = zfcuda.deep_dream(model, tmp_path / "a.png", "3", **ONCE, rate=1e-6)
    pixels = torch.tensor([5.0, 120.0, 250.0]).view(3, 1, 1) / 255
    expected = (pixels - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    assert found.shape == (1, 3, 21, 33)
    torch.testing.assert_close(found[0, :, :1, :1], expected, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"image: expected a Tensor, since the model has no \.preprocess"):
        zfcuda.deep_dream(network(), picture, "3")


def test_limits_are_those_of_the_preprocess() -> None:
    model = network()
    model.preprocess = zfcuda.Preprocess(16, 16, (0.5,) * 3, (0.5,) * 3)  # type: ignore[assignment]
    found = zfcuda.deep_dream(model, torch.rand(1, 3, 20, 20), "3", octaves=1, rate=50)
    assert float(found.min()) == -1 and float(found.max()) == 1


def test_an_octave_that_the_network_cannot_take_is_left_out_with_a_word() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 9), nn.ReLU())
    with pytest.warns(UserWarning, match=r"octaves: 3 of 9, since 6 x 10 pixels are too small"):
        found = dreamed(model, torch.rand(1, 3, 18, 28), "1", octaves=9, octave_scale=1.4142, steps=1)
    assert found.values.shape == (3, 1)
    with pytest.warns(UserWarning, match=r"octaves: 1 of 3, since 0 x 1 pixels .* no pixel left"):
        zfcuda.deep_dream(nn.Sequential(nn.Conv2d(3, 4, 1)), torch.rand(1, 3, 1, 3), "0", octaves=3, octave_scale=2.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    image = torch.rand(1, 3, 20, 20, dtype=dtype)
    found = zfcuda.deep_dream(network().to(dtype), image, "3", octaves=2, steps=1)
    assert found.dtype == dtype and found.isfinite().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer": "conv9"}, "'conv9'"),
        ({"layer": "3:9"}, "unit: layer '3' has units 0 to 4, got 9"),
        ({"layer": 3.5}, "objective: expected a string, a class index"),
        ({"octaves": 0}, "octaves: expected at least 1, got 0"),
        ({"octaves": 1.5}, "octaves: expected an integer, got 1.5"),
        ({"octave_scale": 1}, "octave_scale: expected a number above 1, got 1"),
        ({"octave_scale": float("nan")}, "octave_scale: expected a number above 1, got nan"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"jitter": -1}, "jitter: expected at least 0, got -1"),
        ({"rate": 0}, "rate: expected a number above 0, got 0"),
        ({"tile": 0}, "tile: expected at least 1, got 0"),
        ({"limits": (1, 0)}, "limits: expected"),
        ({"image": torch.rand(2, 3, 9, 9)}, "image: expected"),
        ({"image": torch.zeros(1, 3, 9, 9)}, "image: expected more than one value"),
        ({"image": torch.rand(1, 4, 9, 9)}, "image"),
    ],
)
def test_mistakes(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"image": torch.rand(1, 3, 9, 9), "layer": "3", "steps": 1, **change}
    with pytest.raises((TypeError, ValueError)) as caught:
        zfcuda.deep_dream(network(), **given)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_image_of_another_size_for_a_layer_behind_a_fully_connected_one() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 3))
    with pytest.raises(ValueError, match="does not fit layer '2'"):
        zfcuda.deep_dream(model, torch.rand(1, 3, 9, 9), "2")
    with pytest.warns(UserWarning, match="octaves: 1 of 4"):
        zfcuda.deep_dream(model, torch.rand(1, 3, 8, 8), "2", steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zfcuda.deep_dream(model, torch.rand(1, 3, 13, 9), "0", steps=1, octaves=2)


def test_ctrl_c_leaves_the_picture_so_far_in_its_full_size() -> None:
    runs = itertools.count()

    class Interrupting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if next(runs) == 10:
                raise KeyboardInterrupt
            return x.tanh()

    image = torch.rand(1, 3, 20, 30)
    with pytest.warns(UserWarning, match="the image so far"):
        found = dreamed(nn.Sequential(Interrupting()), image, "0", octaves=3, steps=5)
    assert found.images.shape == image.shape and not torch.equal(found.images, image)
    assert found.interrupted is not None and len(found.values) < 15


def test_numbers_that_are_not_finite_are_told() -> None:
    class Bad(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / (x - x)

    with pytest.raises(ValueError, match="objective: 0 is not finite where the image starts"):
        zfcuda.deep_dream(nn.Sequential(Bad()), torch.rand(1, 3, 9, 9), "0", octaves=1)

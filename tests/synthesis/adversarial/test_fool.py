"""Fooling images: against the way that a linear network takes, and at its ends."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

import zfcuda
from tests.synthesis.adversarial.networks import IMAGE, SHAPE, Small, away, linear, with_preprocess
from zfcuda.data import Preprocess
from zfcuda.synthesis.adversarial.border import with_border
from zfcuda.synthesis.adversarial.sheet import magnified


def test_on_a_linear_network_it_goes_straight_and_stops_at_the_border() -> None:
    model = linear()
    slope, margin = away(model, IMAGE)
    target = 1 - int(model(IMAGE[None]).argmax())
    way = model.layer.weight[target].detach().view(SHAPE)  # up its own logit, not away from the other's
    way = way / way.norm()
    length = 0.25 / 255 * (IMAGE.max() - IMAGE.min()) * math.sqrt(IMAGE.numel())
    needed = math.ceil(margin / float(length * (way * slope).sum()))
    made = zfcuda.fool(model, IMAGE, target, steps=1000)
    assert made.succeeded and made.label == target and abs(made.steps - needed) <= 1 and made.epsilon is None
    torch.testing.assert_close(made.change[0], made.steps * length * way, rtol=0, atol=1e-4)
    assert not zfcuda.fool(model, IMAGE, target, steps=max(1, made.steps - 1)).succeeded


def test_steps_may_not_be_enough() -> None:
    model = Small()
    target = (int(model(IMAGE[None]).argmax()) + 1) % 3
    made = zfcuda.fool(model, IMAGE, target, steps=1)
    assert not made.succeeded and made.label == made.original_label and made.steps == 1


def test_it_stays_in_the_range_and_is_rounded_on_request() -> None:
    model = with_preprocess()
    image = model.preprocess(Image.new("RGB", (6, 6), (250, 3, 120)))
    target = 1 - int(model(image).argmax())
    made = zfcuda.fool(model, image, target, steps=400, rounded=True)
    low, high = (model.preprocess(Image.new("RGB", (6, 6), colour)) for colour in ("black", "white"))
    assert bool((made.image >= low).all()) and bool((made.image <= high).all())
    values = 255 * (made.image - low) / (high - low)
    torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-3)
    assert made.succeeded == (int(model(made.image).argmax()) == target)


def test_it_starts_from_noise_by_seed() -> None:
    model = with_preprocess()
    model.classes = ["cat", "dog"]

    def made(seed: int) -> torch.Tensor:
        for target in ("cat", "dog"):
            try:
                return zfcuda.fool(model, None, target, seed=seed, steps=3).image
            except ValueError as error:
                assert "already" in str(error)
        raise AssertionError

    assert torch.equal(made(1), made(1)) and not torch.equal(made(1), made(2))


def test_bad_input() -> None:
    model = linear()
    label = int(model(IMAGE[None]).argmax())
    with pytest.raises(ValueError, match=r"target: .* already"):
        zfcuda.fool(model, IMAGE, label)
    with pytest.raises(TypeError, match="target: expected a class index or name, got None"):
        zfcuda.fool(model, IMAGE, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="target: the model has classes 0 to 1, got 7"):
        zfcuda.fool(model, IMAGE, 7)
    with pytest.raises(ValueError, match="steps: expected at least 1"):
        zfcuda.fool(model, IMAGE, 1 - label, steps=0)
    with pytest.raises(ValueError, match="image: expected values within the limits"):
        zfcuda.fool(model, 3 * IMAGE, 1 - label, limits=(0.0, 1.0))


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(24, 32),
        Preprocess((24, 16), 30),
        Preprocess((15, 24), 29, interpolation="bilinear"),
        Preprocess(20, 20),
        Preprocess(23, 32, order="bgr", interpolation="lanczos"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("size", [(50, 40), (24, 24), (33, 90)], ids=str)
def test_a_framed_picture_is_read_pixel_by_pixel(preprocess: Preprocess, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    high, wide = preprocess.sides
    made, original = (
        Image.fromarray(torch.randint(0, 256, (h, w, 3), generator=generator, dtype=torch.uint8).numpy())
        for h, w in ((high, wide), size)
    )
    again = preprocess.crop(with_border(made, original, preprocess))
    assert again.tobytes() == made.tobytes()


def test_a_preprocess_that_nobody_knows_has_no_frame() -> None:
    made = Image.new("RGB", (8, 8))
    assert with_border(made, Image.new("RGB", (20, 20)), lambda picture: torch.zeros(1, 3, 8, 8)) is made


def test_magnified() -> None:
    change = torch.zeros(3, 8, 8)
    change[0, 0, 0], change[1, 1, 1] = 4, -4
    shown, factor = magnified(change)
    assert factor == 30 and shown.getpixel((5, 5)) in {(127,) * 3, (128,) * 3}
    assert shown.getpixel((0, 0))[0] > 240 and shown.getpixel((1, 1))[1] < 15  # type: ignore[index]

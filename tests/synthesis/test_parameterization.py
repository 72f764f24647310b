"""What stands for images: the spectrum and its derivatives, pixels and what is done to them after a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import zfcuda
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.parameterization import Fourier, Pixels
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.priors import Regularizers, gaussian_blur
from zfcuda.synthesis.transforms import Affine

RANGE = PixelRange.of(torch.nn.Identity(), None, zfcuda.Preprocess(8, 8))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 5)])
def test_images_of_a_spectrum_are_in_range_and_of_their_size(channels: int, size: tuple[int, int]) -> None:
    limits = RANGE if channels == 3 else PixelRange(torch.tensor([[[-1.0]]]), torch.tensor([[[2.0]]]))
    image = Fourier((2, channels, *size), Dice(0, 2), limits, contrast=100.0, exponent=2.0, gain=3.0)
    made = image.images()
    assert made.shape == (2, channels, *size) and made.dtype == torch.float32
    torch.testing.assert_close(limits.clamp(made), made, atol=1e-5, rtol=0)
    assert limits.unit(made).std() > 0.3  # such a contrast reaches both ends
    faint = Fourier((2, channels, *size), Dice(0, 2), limits, contrast=0.0).images()
    torch.testing.assert_close(limits.unit(faint), torch.full_like(faint, 0.5))


def test_derivatives_of_a_spectrum() -> None:
    image = Fourier((1, 3, 4, 5), Dice(0, 1), RANGE, contrast=0.5, exponent=1.5)
    spectrum = image.parameters[0].detach().double()

    def made(values: Tensor) -> Tensor:
        image._spectrum = values  # in doubles
        return image.images()

    image._scale, image._colours = (
        image._scale.double(),
        image._colours.double() if image._colours is not None else None,
    )
    assert torch.autograd.gradcheck(made, (spectrum.requires_grad_(),), atol=1e-4)


def test_blue_first_has_the_same_colours() -> None:
    caffe = PixelRange.of(torch.nn.Identity(), None, zfcuda.Preprocess.caffe((8, 8)))
    made = [Fourier((1, 3, 8, 8), Dice(3, 1), limits, contrast=1.0) for limits in (RANGE, caffe)]
    rgb, bgr = RANGE.unit(made[0].images()), caffe.unit(made[1].images())
    torch.testing.assert_close(rgb, bgr.flip(1), atol=1e-5, rtol=1e-5)


def test_a_larger_exponent_gives_larger_shapes_of_the_same_strength() -> None:
    free = PixelRange()
    rough, smooth = (Fourier((1, 1, 32, 32), Dice(0, 1), free, 1.0, exponent) for exponent in (1.0, 2.0))
    assert float(rough._scale.norm()) == pytest.approx(float(smooth._scale.norm()), rel=1e-5)
    steps = [image.images().diff(dim=3).std() / image.images().std() for image in (rough, smooth)]
    assert steps[1] < steps[0] / 1.5


# ---------------------------------------------------------------- regularisers


def test_decay_and_clipping_by_hand() -> None:
    images = torch.tensor([[[1.0, -4.0], [2.0, 3.0]], [[0.0, 0.0], [0.0, 1.0]]])[None]  # two channels
    after = Regularizers(decay=0.25)(images, None, 0)
    torch.testing.assert_close(after, images * 0.75)
    # Norms of the pixels: 1, 4, 2, sqrt(10).
    after = Regularizers(small_norm=0.5)(images, None, 0)
    assert after[0, 0].tolist() == [[0, -4], [0, 3]] and after[0, 1].tolist() == [[0, 0], [0, 1]]
    # Contributions: 8, 4, 0, 3 + 5.
    gradients = torch.tensor([[[8.0, 1.0], [0.0, 1.0]], [[9.0, 9.0], [9.0, 5.0]]])[None]
    after = Regularizers(small_contribution=0.25)(images, gradients, 0)
    assert after[0, 0].tolist() == [[1, -4], [0, 3]]
    assert torch.equal(Regularizers(small_contribution=0.25)(images, None, 0), images)


def test_the_blur_is_a_gaussian_every_few_steps() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1.0
    blurred = gaussian_blur(image, 1.0)
    at = torch.arange(-3.0, 4.0)
    weights = (-at.square() / 2).exp() / (-at.square() / 2).exp().sum()
    torch.testing.assert_close(blurred[0, 0, 1:8, 1:8], weights[:, None] * weights)
    flat = torch.full((2, 3, 5, 1), 2.0)
    torch.testing.assert_close(gaussian_blur(flat, 3.0), flat)
    every = Regularizers(blur=28.0, blur_every=3)
    images = noise(1, 1, 8, 8)
    assert torch.equal(every(images, None, 0), images) and torch.equal(every(images, None, 1), images)
    torch.testing.assert_close(every(images, None, 2), gaussian_blur(images, 1.0))  # 28 of 224 pixels are 1 of 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 1.0}, "decay: expected a share"),
        ({"small_norm": -0.1}, "small_norm: expected a share"),
        ({"small_contribution": float("nan")}, "small_contribution: expected a share"),
        ({"blur": -1}, "blur: expected a number of at least 0"),
        ({"blur_every": 0}, "blur_every: expected at least 1"),
    ],
)
def test_what_regularisers_refuse(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Regularizers(**settings)


def test_pixels_stay_in_range_after_their_regularisers() -> None:
    image = Pixels(noise(1, 3, 8, 8) * 9, RANGE, Regularizers(decay=0.5))
    start = image.images().detach().clone()
    torch.testing.assert_close(RANGE.clamp(start), start)
    with torch.no_grad():
        image.project()
    torch.testing.assert_close(image.images(), start / 2)


# ---------------------------------------------------------------- views


def test_a_view_that_changes_nothing_and_one_that_is_drawn() -> None:
    images = noise(2, 3, 8, 6)
    still = Affine(0, (1, 1), 0)(images, Dice(0, 2))
    torch.testing.assert_close(still, images, atol=1e-5, rtol=1e-5)
    one, two = (Affine(1, (0.8, 1.6), 10)(images, Dice(seed, 2)) for seed in (0, 0))
    assert torch.equal(one, two) and one.shape == images.shape and not torch.allclose(one, images)
    assert torch.allclose(Affine(1, (0.8, 1.6), 10)(images[1:], Dice(1, 1)), one[1:], atol=1e-6)


def test_of_an_enlarged_image_any_part_is_seen() -> None:
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    dice = Dice(0, 1)
    middles = torch.stack([Affine(0, (2, 2), 0)(ramp, dice)[0, 0, 32, 31:33].mean() for _ in range(50)])
    assert middles.min() < -0.35 and middles.max() > 0.35 and middles.abs().max() < 0.51

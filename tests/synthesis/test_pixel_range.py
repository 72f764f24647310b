"""What black and white are to a network, against its own preprocess, and the way to pictures and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.data.preprocess import DigitPreprocess
from zfcuda.synthesis.pixel_range import PixelRange

RAMP = torch.linspace(0, 255, 3 * 8 * 8).view(1, 3, 8, 8).round().to(torch.uint8)
MEANS = (torch.arange(3 * 10 * 10) % 250).view(3, 10, 10).to(torch.uint8)


def of(preprocess: Any, limits: Any = None) -> PixelRange:
    return PixelRange.of(nn.Identity(), limits, preprocess)


@pytest.mark.parametrize(
    "preprocess",
    [
        zfcuda.Preprocess(8, 8),
        zfcuda.Preprocess.caffe((8, 8)),
        zfcuda.Preprocess(8, 8, (0.5,), (0.25,)),
        zfcuda.Preprocess(8, 10, mean_image=MEANS),
        zfcuda.Preprocess(8, 10, mean_image=MEANS, order="bgr"),
    ],
    ids=["rgb", "caffe", "grey", "mean picture", "mean picture, bgr"],
)
def test_it_is_what_the_preprocess_makes_of_0_and_255(preprocess: zfcuda.Preprocess) -> None:
    found, channels = of(preprocess), len(preprocess.mean)
    pixels = RAMP[:, :channels]
    image = preprocess.normalized(pixels)
    torch.testing.assert_close(found.unit(image), pixels / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.of_unit(pixels / 255), image, atol=1e-4, rtol=1e-5)
    for value in (0, 255):
        end = preprocess.normalized(torch.full_like(pixels, value))
        outside = end + (1 if value else -1)
        torch.testing.assert_close(found.clamp(outside), end, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.clamp(image), image, atol=1e-5, rtol=1e-5)
    seen = preprocess.restored(image)[0]
    seen = seen.flip(0) if preprocess.order == "bgr" else seen
    shown = torch.frombuffer(bytearray(found.picture(image[0]).tobytes()), dtype=torch.uint8).view(8, 8, 3)
    assert torch.equal(shown, seen.permute(1, 2, 0).expand(8, 8, 3))


def test_of_images_larger_than_a_mean_picture_its_colour_counts() -> None:
    preprocess = zfcuda.Preprocess(8, 10, mean_image=MEANS)
    image = torch.zeros(1, 3, 12, 12)
    shown = of(preprocess).unit(image) * 255
    torch.testing.assert_close(shown.round().to(torch.uint8), preprocess.restored(image))


def test_a_picture_goes_there_and_back() -> None:
    picture = Image.effect_noise((8, 8), 80).convert("RGB")
    for preprocess in (zfcuda.Preprocess(8, 8), zfcuda.Preprocess.caffe((8, 8))):
        assert of(preprocess).picture(preprocess(picture)[0]).tobytes() == preprocess.crop(picture).tobytes()


def test_digits_and_preprocesses_of_others() -> None:
    digits = of(DigitPreprocess())
    assert digits.low is not None and digits.high is not None
    assert (digits.low.item(), digits.high.item()) == pytest.approx((-0.1, 1.175), abs=1e-5)

    def inverted(picture: Image.Image) -> Tensor:
        return 1 - torch.tensor(picture.convert("L").resize((4, 4)).getdata()).view(1, 1, 4, 4) / 255

    found = of(inverted)
    assert found.of_unit(torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)).flatten().tolist() == [1, 0.75, 0]
    assert found.picture(torch.ones(1, 1, 1)).getpixel((0, 0)) == (0, 0, 0)
    assert found.low is not None and found.low.item() == 0
    transforms = pytest.importorskip("torchvision.transforms")
    theirs = of(transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]))
    assert theirs.low is not None and theirs.low.flatten().tolist() == [-1] * len(theirs.low)


def test_without_a_preprocess_there_is_no_limit() -> None:
    free, images = of(None), torch.tensor([-3.0, 5.0]).view(1, 1, 1, 2)
    assert free.clamp(images) is images and free.of_unit(images) is images
    assert free.unit(images).flatten().tolist() == [0, 1] and free.picture(images[0]).size == (2, 1)
    assert free.unit(torch.zeros(1, 1, 1, 2)).isfinite().all()


def test_limits_that_are_given() -> None:
    images = torch.tensor([-3.0, 5.0]).view(1, 2, 1, 1)
    assert of(None, (-1, 1)).clamp(images).flatten().tolist() == [-1, 1]
    assert of(None, (torch.tensor([-9.0, 0.0]), torch.tensor([0.0, 4.0]))).clamp(images).flatten().tolist() == [-3, 4]
    assert of(zfcuda.Preprocess.caffe((8, 8)), (0, 1)).reversed
    for wrong, kind, message in (
        (3, TypeError, "limits: expected a pair"),
        ((1, 2, 3), TypeError, "limits: expected a pair"),
        (("a", "b"), TypeError, "limits: expected a pair"),
        ((1, 1), ValueError, "every low below its high"),
        ((0, float("nan")), ValueError, "limits: expected finite"),
        ((0, float("inf")), ValueError, "limits: expected finite"),
    ):
        with pytest.raises(kind, match=message):
            of(None, wrong)

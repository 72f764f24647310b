"""Adversaries lie in their ball, in the range of pixels, and on the values of 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from tests.synthesis.adversarial.networks import SHAPE, Small, linear, picture, with_preprocess
from zfcuda.data import Preprocess
from zfcuda.synthesis import adversaries, pixel_values
from zfcuda.synthesis.pixel_range import PixelRange


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_it_lies_in_ball_and_range_to_the_last_bit(dtype: torch.dtype, norm: str) -> None:
    model = Small().to(dtype)
    for seed, epsilon in enumerate([0.001, 1 / 255, 0.03137, 0.1, 0.3]):
        image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)).to(dtype)
        made = zfcuda.adversarial(model, image, norm=norm, epsilon=epsilon, limits=(0.0, 1.0), seed=seed)
        assert made.image.dtype == dtype and made.image.shape == (1, *SHAPE)
        assert float(made.image.min()) >= 0 and float(made.image.max()) <= 1
        if norm == "inf":
            assert float((made.image - image).abs().max()) <= epsilon
        else:
            assert float((made.image.double() - image.double()).norm()) <= epsilon


def test_the_ball_is_exact_far_from_zero_where_floats_are_coarse() -> None:
    image = 100 * torch.randn(2000, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    for epsilon in (1e-5, 0.017, 0.3):
        made = torch.cat([one.image for one in adversaries(model, image, method="fgsm", epsilon=epsilon)])
        assert 0 < float((made - image).abs().max()) <= epsilon


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_what_is_rounded_is_what_a_png_says(norm: str, tmp_path: Path) -> None:
    model = with_preprocess()
    pixels = PixelRange.of(model)
    for seed in range(8):
        start = picture(seed)
        made = zfcuda.adversarial(model, start, norm=norm, seed=seed, rounded=True)
        pixels.picture(made.image[0]).save(tmp_path / "made.png")
        again = model.preprocess(tmp_path / "made.png")
        torch.testing.assert_close(again, made.image, rtol=0, atol=2e-6)
        label = int(model(again).argmax())
        assert label == made.label and made.succeeded == (label != made.original_label)
        image = model.preprocess(start)
        changed = (again - image).view(3, -1) / pixel_values(model).view(3, 1)
        if norm == "inf":
            assert changed.abs().max() < 4.001
        else:
            assert changed.norm() <= 108**0.5 + 1e-3
        assert changed.abs().max() > 0.999


class Negative:
    """A preprocess for which black is the highest value."""

    def __call__(self, picture: Image.Image) -> Tensor:
        return 1 - torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


MEAN = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize(
    "preprocess", [Negative(), Preprocess(6, 8, mean_image=MEAN)], ids=["negative", "mean picture"]
)
def test_other_preprocesses(preprocess: Any, norm: str) -> None:
    model = linear()
    model.preprocess = preprocess
    start = picture(2) if isinstance(preprocess, Negative) else picture(2, 8)
    made = zfcuda.adversarial(model, start, norm=norm, rounded=True)
    pixels = PixelRange.of(model)
    before, after = (np.array(pixels.picture(image)).astype(int) for image in (preprocess(start)[0], made.image[0]))
    change = after - before
    assert abs(change).max() == 4 if norm == "inf" else 0.5 < (change**2).mean() <= 1
    values = 255 * pixels.unit(made.image)
    torch.testing.assert_close(values, values.round(), rtol=0, atol=2e-3)

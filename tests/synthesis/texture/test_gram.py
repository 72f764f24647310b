"""Textures by Gram matrices, on a network of a few maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from zfcuda.data import Preprocess
from zfcuda.synthesis.texture.gram import gram_textured


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    model.preprocess = Preprocess(16, 16)
    return model


def stripes(wide: int, high: int) -> Image.Image:
    row = np.where(np.arange(wide) // 3 % 2, 200, 60).astype(np.uint8)
    return Image.fromarray(np.repeat(np.tile(row, (high, 1))[..., None], 3, 2))


def test_the_loss_falls_and_stripes_stay_upright() -> None:
    made = gram_textured(stripes(40, 40), (40, 40), network(), None, 0, steps=60)
    assert made.loss[-1] < made.loss[0] / 100
    pixels = np.asarray(made.picture.convert("L"), dtype=float)
    assert np.abs(np.diff(pixels, axis=1)).mean() > 2 * np.abs(np.diff(pixels, axis=0)).mean()


@pytest.mark.parametrize("size", [(70, 33), (150, 100)])
def test_it_has_any_size_and_depends_on_the_seed_alone(size: tuple[int, int]) -> None:
    model, sample = network(), stripes(50, 60)
    made = [gram_textured(sample, size, model, ["1"], seed, steps=2).picture for seed in (0, 0, 1)]
    assert made[0].size == size
    assert made[0].tobytes() == made[1].tobytes() != made[2].tobytes()


def test_bad_input_is_named() -> None:
    sample = stripes(20, 20)
    with pytest.raises(ValueError, match="steps: expected at least 1, got 0"):
        gram_textured(sample, (20, 20), network(), None, 0, steps=0)
    with pytest.raises(ValueError, match="layer: Sequential has no layer 'conv9'"):
        gram_textured(sample, (20, 20), network(), ["conv9"], 0)
    vectors = nn.Sequential(*network(), nn.Flatten())
    vectors.preprocess = Preprocess(16, 16)
    with pytest.raises(ValueError, match=r"style layer: expected a map \[N,K,h,w\], got a vector"):
        gram_textured(sample, (20, 20), vectors, ["4"], 0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3))
    plain.preprocess = Preprocess(16, 16)
    with pytest.raises(ValueError, match=r"^layers: expected names, as no rectifier of Sequential"):
        gram_textured(sample, (20, 20), plain, None, 0)
    bare = network()
    del bare.preprocess
    with pytest.raises(ValueError, match=r"no \.preprocess"):
        gram_textured(sample, (20, 20), bare, None, 0)

"""Shades of a texture, against numbers by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zfcuda.synthesis.texture.shades import shades
from zfcuda.synthesis.watched import Seen


def said(sample: Tensor, images: Tensor) -> Tensor:
    return shades(sample, lambda values: values, min(images.shape[2:])).value(Seen(images))


def squares(side: int, width: int = 32) -> Tensor:
    """A chessboard [1,1,width,width] of 0.25 and 0.75."""
    at = torch.arange(width) // side % 2
    return 0.25 + 0.5 * ((at[:, None] + at) % 2).float()[None, None]


def test_a_brighter_image_is_as_far_off_as_by_hand() -> None:
    sample = squares(1, 4)  # short side 4: squares of one pixel alone; deviation 1/4
    # Colours less 1/2 and 1/4: [[1, 0], [0, 1]] / 16. Brighter by 1/8: [[1, 1/2], [1/2, 5/4]] / 16.
    assert float(said(sample, sample)) == 0
    assert float(said(sample, sample + 1 / 8)) == pytest.approx(-(2 * (1 / 2) ** 2 + (1 / 4) ** 2) / 2)


def test_it_does_not_matter_where_things_are_but_how_large_they_are() -> None:
    sample = squares(2)
    assert float(said(sample, sample.flip(3))) == pytest.approx(0, abs=1e-6)
    assert float(said(sample, squares(8))) < -100  # means over larger squares differ, where those of the sample do not


def test_the_sample_may_be_flat_and_images_of_another_size() -> None:
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert said(flat, torch.full((2, 3, 21, 34), 0.5)).tolist() == [0, 0]
    assert said(flat, torch.rand(1, 3, 5, 5)).isfinite().all()
    assert said(flat, torch.rand(1, 3, 1, 1)).isfinite().all()

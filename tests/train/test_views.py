"""What is seen of a picture while training: parts of it, close-ups of Parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from zfcuda.data import Parts, Preprocess
from zfcuda.data.sources import PART, PartsSource
from zfcuda.train.chance import view_dice
from zfcuda.train.views import CloseUps, ResizedCrops

SMALL = Preprocess(32, 40, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def gradient(width: int, height: int) -> Image.Image:
    """Red grows from left to right, green from top to bottom: a colour says where it is."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 0 * x], 2).astype(np.uint8))


def test_a_resized_crop_is_a_part_of_the_picture() -> None:
    view = ResizedCrops(SMALL, smallest=0.3, colour=0.0)
    picture = gradient(120, 80)
    mirrored, shares = 0, []
    for index in range(60):
        pixels, crop = view(picture, view_dice(1, 0, index), 0)
        assert pixels.shape == (3, 32, 32) and pixels.dtype == torch.uint8 and crop == 0
        red, green = pixels[0, 16].float(), pixels[1, :, 16].float()
        mirrored += bool(red[0] > red[-1])
        assert (red.diff() >= 0).all() or (red.diff() <= 0).all()  # either way round, never shuffled
        assert (green.diff() >= 0).all()
        # The first and last pixels of a part are half a pixel inside its ends.
        wide, high = (float(abs(v[-1] - v[0])) / 255 * 32 / 31 for v in (red, green))
        shares.append(wide * high)
        assert 0.75 * 0.9 < wide * 120 / (high * 80) < 4 / 3 * 1.1
    assert 15 < mirrored < 45
    assert min(shares) > 0.25 and max(shares) < 1.05 and max(shares) - min(shares) > 0.3


def test_resized_crops_are_a_function_of_seed_epoch_and_index() -> None:
    view = ResizedCrops(SMALL, smallest=0.3, colour=0.4)
    picture = gradient(60, 60)

    def seen(*key: int) -> torch.Tensor:
        return view(picture, view_dice(*key), key[1]).pixels

    assert torch.equal(seen(1, 2, 3), seen(1, 2, 3))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(seen(1, 2, 3), seen(*other))


def test_colours_change_by_what_is_asked_for() -> None:
    grey = Image.new("RGB", (64, 64), (100, 100, 100))
    assert {int(ResizedCrops(SMALL, 1.0, 0.0)(grey, view_dice(0, 0, i), 0).pixels.max()) for i in range(10)} == {100}
    values = [
        ResizedCrops(SMALL, 1.0, 0.3)(grey, view_dice(0, 0, i), 0).pixels.float().mean().item() for i in range(60)
    ]
    assert 68 < min(values) < 85 and 115 < max(values) < 132


def test_a_picture_that_is_much_longer_than_wide_has_a_part_too() -> None:
    pixels = ResizedCrops(SMALL, 0.9, 0.0)(gradient(400, 20), view_dice(0, 0, 0), 0).pixels
    assert pixels.shape == (3, 32, 32)
    assert pixels[1, -1].float().mean() > 240  # from top to bottom
    assert 0.4 * 255 < pixels[0].float().mean() < 0.6 * 255  # of the middle


def test_pixels_become_what_the_preprocess_makes_of_them() -> None:
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    for view in (ResizedCrops(SMALL, 1.0, 0.0), CloseUps(SMALL, 1)):
        assert torch.equal(view.images(pixels, torch.zeros(2, dtype=torch.int64)), SMALL.normalized(pixels))


def test_parts_say_where_their_part_is() -> None:
    parts = Parts(3)
    source = PartsSource(parts, 5)
    for index in range(5):
        top, left, bottom, right = source.item(index).info[PART]  # type: ignore[union-attr]
        mask = parts[index].part_mask
        assert mask[top:bottom, left:right].sum() == mask.sum()
        assert mask[top].any() and mask[bottom - 1].any() and mask[:, left].any() and mask[:, right - 1].any()


def test_a_close_up_holds_the_whole_part_and_a_whole_picture_too() -> None:
    """A picture that is black but for its part: all of the part's pixels are in what is seen."""
    view = CloseUps(Preprocess.parts(), epochs=2)
    sides = set()
    for index in range(30):
        pixels = np.zeros((224, 224, 3), np.uint8)
        generator = np.random.default_rng(index)
        top, left = generator.integers(0, 150, 2)
        high, wide = generator.integers(10, 70, 2)
        pixels[top : top + high, left : left + wide] = 255
        picture = Image.fromarray(pixels)
        picture.info[PART] = (int(top), int(left), int(top + high), int(left + wide))
        for epoch in (0, 5):
            seen = view(picture, view_dice(0, epoch, index), epoch).pixels
            sides.add((epoch, seen.shape[-1]))
            assert (seen == 255).all(0).sum() == high * wide, (index, epoch)
    assert sides == {(0, 112), (5, 224)}


def test_half_of_the_whole_pictures_lose_a_square() -> None:
    view = CloseUps(Preprocess.parts(), epochs=0)
    picture = Image.new("RGB", (224, 224))
    picture.info[PART] = (0, 0, 224, 224)  # fills the picture: it cannot be moved, nor a square be painted
    for index in range(10):
        assert not view(picture, view_dice(0, 0, index), 0).pixels.any()
    picture.info[PART] = (100, 100, 124, 124)
    lost = 0
    for index in range(80):
        seen = view(picture, view_dice(0, 0, index), 0).pixels[:, 20:-20, 20:-20]  # what it is moved by is grey, too
        lost += bool(seen.any())
        assert not seen.any() or set(seen[0].unique().tolist()) == {0, 135}
    assert 20 < lost < 60


def test_close_ups_of_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="crops: expected pictures of Parts for close_ups"):
        CloseUps(Preprocess.parts(), 1)(Image.new("RGB", (224, 224)), view_dice(0, 0, 0), 0)

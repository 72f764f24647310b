"""A preprocess that subtracts the mean of each pixel, as the paper's (section 3)."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.data.collection import Collection
from zfcuda.data.preprocess import NotedPreprocess, Preprocess, centre_crop
from zfcuda.data.preprocess_facts import as_ours, facts, line
from zfcuda.data.preprocessing import assumed, changed, made_for
from zfcuda.report.subject import subject_of

MEAN = np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8)
PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (57, 83, 3), dtype=np.uint8))
STD = (0.2, 0.25, 0.3)


def seen(size: Any = 32, mean_image: Any = MEAN, **settings: Any) -> Preprocess:
    return Preprocess(size, 40, std=STD, mean_image=mean_image, **settings)


def centred(size: tuple[int, int]) -> np.ndarray:
    """The mean picture, cut as pictures are."""
    return np.array(centre_crop(Image.fromarray(MEAN.transpose(1, 2, 0)), size, 40)).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [32, 33, 35, 37, 40, (32, 20), (20, 33)])
@pytest.mark.parametrize("mean_image", [MEAN, torch.from_numpy(MEAN), MEAN.astype(np.float64)])
def test_each_pixel_loses_its_own_mean(size: Any, mean_image: Any) -> None:
    ours = seen(size, mean_image)
    image, pixels = ours(PICTURE), np.array(ours.crop(PICTURE)).transpose(2, 0, 1)
    expected = (pixels - centred(ours.sides).astype(np.float64)) / (255 * np.array(STD)[:, None, None])
    assert image.dtype == torch.float32 and image.shape == (1, 3, *ours.sides)
    assert np.allclose(image[0].numpy(), expected, atol=1e-5)
    assert torch.equal(ours.restored(image)[0], torch.from_numpy(pixels))
    assert np.array_equal(ours.restored(torch.zeros_like(image))[0].numpy(), centred(ours.sides)), "0 is the mean"


def test_the_whole_square_and_a_batch() -> None:
    ours = seen(32)
    pixels = torch.randint(0, 256, (5, 3, 40, 40), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    image = ours.normalized(pixels)
    assert torch.allclose(image, (pixels.float() - torch.from_numpy(MEAN)) / (255 * torch.tensor(STD)[:, None, None]))
    assert image.is_contiguous(memory_format=torch.channels_last) and torch.equal(ours.restored(image), pixels)
    with pytest.raises(ValueError, match=r"pixels: expected at most 40 x 40, as mean_image has, got \[1, 3, 41, 40\]"):
        ours.normalized(torch.zeros(1, 3, 41, 40, dtype=torch.uint8))
    colour = (255 * torch.tensor(ours.mean)).round().to(torch.uint8)
    assert torch.equal(ours.restored(torch.zeros(1, 3, 50, 50))[0, :, 0, 0], colour), "drawn all the same"


def test_one_channel_and_the_order_of_the_network() -> None:
    grey = Preprocess(32, 40, std=(1 / 255,), mean_image=MEAN[:1])
    assert grey(PICTURE).shape == (1, 1, 32, 32) and len(grey.mean) == 1
    blue_first = seen(order="bgr")
    pixels = np.array(blue_first.crop(PICTURE)).transpose(2, 0, 1)[::-1]
    assert torch.equal(blue_first.restored(blue_first(PICTURE))[0], torch.from_numpy(pixels.copy()))


def test_its_mean_is_the_colour() -> None:
    ours = seen(mean=(0.9, 0.9, 0.9))
    assert ours.mean == pytest.approx(tuple(MEAN.mean((1, 2)) / 255)) and ours == seen()


def test_equality_and_hash() -> None:
    ours, other = seen(), MEAN.copy()
    other[0, 0, 0] ^= 1
    assert ours == seen() and hash(ours) == hash(seen()) and len({ours, seen(), seen(33)}) == 2
    assert ours != seen(mean_image=other) and ours != seen(mean_image=None, mean=ours.mean)
    assert ours != seen(mean_image=MEAN.astype(np.float32))
    assert Preprocess() == Preprocess() and Preprocess() != Preprocess(size=200) and Preprocess() != 3
    assert NotedPreprocess(note="a") == NotedPreprocess(note="a") != NotedPreprocess(note="b") != Preprocess()
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), replace(ours, size=32)):
        assert copied == ours and torch.equal(copied.restored(copied(PICTURE)), ours.restored(ours(PICTURE)))


def test_it_is_a_copy() -> None:
    given = torch.from_numpy(MEAN.copy())
    ours = seen(mean_image=given)
    given.zero_()
    assert ours == seen()


def test_what_it_says_of_itself() -> None:
    assert repr(seen()).endswith("order='rgb', mean_image=<torch.uint8 [3, 40, 40]>)") and "array" not in repr(seen())
    assert repr(Preprocess()).startswith("Preprocess(size=224, short_side=256, mean=(0.485, ")
    assert repr(NotedPreprocess(note="why")).startswith("NotedPreprocess(") and "note='why'" in repr(
        NotedPreprocess(note="why")
    )
    known = facts(seen())
    assert "mean 0.491 0.507 0.496 (each pixel its own), std 0.2 0.25 0.3" in line(known)
    assert (
        json.loads(json.dumps(known)) == known
        and known["mean_image"] != facts(seen(mean_image=MEAN[::-1]))["mean_image"]
    )
    assert as_ours(seen()) == seen()


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([[[1.0]]], TypeError, "mean_image: expected a tensor or an array of uint8 or float32, got list"),
        (
            MEAN.astype(np.int64),
            TypeError,
            "mean_image: expected a tensor or an array of uint8 or float32, got torch.int64",
        ),
        (MEAN[:, 1:], ValueError, "mean_image: expected [1 or 3, 40, 40], a square of short_side, got [3, 39, 40]"),
        (MEAN[:2], ValueError, "mean_image: expected [1 or 3, 40, 40], a square of short_side, got [2, 40, 40]"),
        (MEAN[0], ValueError, "mean_image: expected [1 or 3, 40, 40]"),
        (MEAN / 255, ValueError, "mean_image: expected values of 0 to 255, got at most 1; multiply them by 255"),
        (MEAN - 0.5, ValueError, "mean_image: expected values of 0 to 255, got -0.5 to 254.5"),
        (MEAN * np.nan, ValueError, "mean_image: expected values of 0 to 255, got nan to nan"),
        (MEAN[:1], ValueError, "mean, std: expected one or three numbers each"),
    ],
)
def test_what_is_no_mean_picture(value: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        seen(mean_image=value)
    assert str(caught.value).startswith(message)


def test_single_settings_change() -> None:
    default = assumed(nn.Identity())
    for settings in ({"std": (0.5,)}, {"size": 20}, {"interpolation": "box"}):
        assert torch.equal(changed(seen(), default, **settings).mean_image, torch.from_numpy(MEAN))  # type: ignore[arg-type]
    without = changed(seen(), default, mean=(0.5,), short_side=300)
    assert without.mean_image is None and without.mean == (0.5,) * 3 and without.short_side == 300
    with pytest.raises(
        ValueError, match=r"short_side: expected 40, the side of the mean picture, got 50; a mean of one"
    ):
        changed(seen(), default, short_side=50)


# ---------------------------------------------------------------- where pictures are drawn back


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 32)
        self.preprocess = seen()

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image).flatten(1)  # type: ignore[no-any-return]


def test_maps_pages_and_patches_show_the_picture() -> None:
    model, cut = Net().eval(), np.array(seen().crop(PICTURE))
    assert made_for(model) == (3, 32, 32)
    shown = zfcuda.occlusion_map(model, PICTURE, window=16, stride=16).image("picture")
    assert np.array_equal(np.array(shown), cut)
    _, pixels, grey = subject_of(model).view(PICTURE)
    assert np.array_equal((255 * pixels).round().numpy(), cut.transpose(2, 0, 1))
    assert torch.allclose(model.preprocess.restored(grey[None]).float(), torch.tensor(127.5), atol=0.6)
    images = torch.cat([seen()(PICTURE)])
    assert np.array_equal(np.array(Collection.of(images, preprocess=seen()).picture(0)), cut)


def test_covering_with_zero_is_covering_with_the_mean_picture() -> None:
    model = Net().eval()
    result = zfcuda.occlusion_map(model, PICTURE, window=32, stride=32)
    mean = Image.fromarray(centred((32, 32)).transpose(1, 2, 0))
    covered = seen().normalized(torch.from_numpy(np.array(mean)).permute(2, 0, 1)[None])
    assert torch.allclose(result.logits[0, 0], model(covered)[0], atol=1e-4) and not covered.any()

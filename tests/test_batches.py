"""Images [N,C,H,W] and a target for each: what is made of them, and what is said of those that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.batches import checked_images, class_targets, scores


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def with_preprocess() -> nn.Module:
    model = net()
    model.preprocess = zfcuda.Preprocess(size=16, short_side=16)  # type: ignore[assignment]
    return model


PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
LOGITS = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 0.0]])
NAMES = ["cat", "dog", "bird"]


@pytest.mark.parametrize(
    ("shape", "expected"), [((3, 8, 9), 1), ((1, 3, 8, 9), 1), ((4, 3, 8, 9), 4), ((0, 3, 8, 9), 0)]
)
def test_tensors(shape: tuple[int, ...], expected: int) -> None:
    image = torch.rand(shape, requires_grad=True)
    images = checked_images(image, net())
    assert images.shape == (expected, 3, 8, 9) and not images.requires_grad
    assert torch.equal(images, image.detach().reshape(images.shape))


def test_pictures(tmp_path: Path) -> None:
    model, picture = with_preprocess(), Image.fromarray(PIXELS)
    picture.save(tmp_path / "a.png")
    one = model.preprocess(picture)  # type: ignore[operator]
    for given in (picture, PIXELS, str(tmp_path / "a.png"), tmp_path / "a.png", [picture]):
        assert torch.equal(checked_images(given, model), one)
    assert torch.equal(checked_images([picture, tmp_path / "a.png", one, one[0]], model), torch.cat([one] * 4))


def test_images_that_do_not_fit() -> None:
    model = with_preprocess()
    wrong: list[tuple[Any, type[Exception], str]] = [
        (torch.zeros(8, 8), ValueError, r"image: expected \[C,H,W\] or \[N,C,H,W\], got shape \[8, 8\]"),
        (torch.zeros(2, 3, 0, 8), ValueError, r"image: expected at least one pixel, got shape \[2, 3, 0, 8\]"),
        (torch.zeros(2, 3, 8, 8).index_fill(0, torch.tensor(1), float("nan")), ValueError, "image: expected finite"),
        (torch.zeros(2, 3, 8, 8).long(), TypeError, "image: expected a floating dtype, got torch.int64"),
        (torch.zeros(2, 3, 8, 8).double(), TypeError, "image: expected the model's dtype, torch.float32, got"),
        (torch.zeros(0, 3, 8, 8).double(), TypeError, "image: expected the model's dtype, torch.float32, got"),
        (torch.zeros(2, 8, 8, 3), ValueError, r"image: expected \[C,H,W\] of 3 channels, .* puts the channels first"),
        (None, TypeError, r"image: expected a Tensor \[C,H,W\] or \[N,C,H,W\], a PIL picture, .* got NoneType"),
        ([], ValueError, "image: expected at least one image, got an empty list"),
        ([torch.zeros(3, 8, 8), PIXELS], ValueError, r"image: expected all of one size .*\[3, 8, 8\].* at place 1"),
    ]
    for image, error, message in wrong:
        with pytest.raises(error, match=message):
            checked_images(image, model)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, [1, 0]),
        (2, [2, 2]),
        (np.int64(2), [2, 2]),
        (torch.tensor(2), [2, 2]),
        ("bird", [2, 2]),
        ([0, 2], [0, 2]),
        ((0, "bird"), [0, 2]),
        (["dog", torch.tensor(0)], [1, 0]),
        (torch.tensor([0, 2]), [0, 2]),
        (np.array([0, 2]), [0, 2]),
    ],
)
def test_targets(target: Any, expected: list[int]) -> None:
    found = class_targets(target, LOGITS, NAMES)
    assert found == expected and all(type(index) is int for index in expected)
    assert torch.equal(scores(found, LOGITS), LOGITS[[0, 1], expected])


def test_a_callable_target() -> None:
    def margin(logits: Tensor) -> Tensor:
        return logits[:, 1] - logits[:, 0]

    assert class_targets(margin, LOGITS) is margin
    assert torch.equal(scores(margin, LOGITS), torch.tensor([3.0, -1.0]))
    with pytest.raises(ValueError, match=r"target: expected it to turn \[2, 3\] into \[2\], got \[2, 3\]"):
        scores(lambda logits: logits, LOGITS)


def test_no_image_has_no_target() -> None:
    for target in (None, 1, "dog", [], torch.zeros(0, dtype=torch.int64)):
        assert class_targets(target, LOGITS[:0], NAMES) == []
    assert scores([], LOGITS[:0]).shape == (0,)
    with pytest.raises(ValueError, match="target: expected 0, one for each image, got 1"):
        class_targets([1], LOGITS[:0], NAMES)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 1, 2], ValueError, "target: expected 2, one for each image, got 3"),
        (torch.tensor([1]), ValueError, "target: expected 2, one for each image, got 1"),
        ([0, 3], ValueError, "target: the model has classes 0 to 2, got 3"),
        (-1, ValueError, "target: the model has classes 0 to 2, got -1"),
        ("birt", ValueError, "target: no class 'birt'; did you mean bird"),
        ([0, None], TypeError, "target: expected a class index or name, a callable or None, got None"),
        (1.0, TypeError, "target: expected a class index or name, a callable or None, got 1.0"),
        (torch.zeros(2), TypeError, "target: expected one integer, got torch.float32"),
        (torch.zeros(2, 2).long(), TypeError, r"target: expected one integer, got torch.int64 of shape \[2, 2\]"),
        (torch.zeros(2).long().to("meta"), ValueError, "target: expected numbers, .* on the device meta"),
    ],
)
def test_targets_that_do_not_fit(target: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        class_targets(target, LOGITS, NAMES)


def test_a_name_needs_names() -> None:
    with pytest.raises(ValueError, match="target: 'dog', but the model has no names of its classes"):
        class_targets(["dog", 1], LOGITS)

"""The table of methods, and what holds for each of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zfcuda.methods import METHODS, Method, method

each = pytest.mark.parametrize("one", METHODS.values(), ids=METHODS)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.Flatten(1),
        nn.Linear(6 * 6 * 6, 5),
    )


@each
def test_maps_of_a_batch_are_those_of_each_image(one: Method, net: nn.Module) -> None:
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    targets = [4, 0, 2]
    maps = one.compute(net, images, targets)
    assert maps.shape == (3, 16, 16) and maps.dtype == images.dtype and not maps.requires_grad
    assert maps.isfinite().all() and (one.signed or (maps >= 0).all())
    for image, target, of_batch in zip(images, targets, maps, strict=True):
        alone = one.compute(net, image[None], [target])[0]
        torch.testing.assert_close(of_batch, alone, rtol=1e-4, atol=1e-5 * float(maps.abs().max()))


@each
def test_no_image(one: Method, net: nn.Module) -> None:
    assert one.compute(net, torch.randn(0, 3, 16, 16), []).shape == (0, 16, 16)


@each
def test_is_told_in_words(one: Method) -> None:
    assert one.name == one.name.lower() and one.title and one.source and one.reading.endswith(".")


def test_an_unknown_method() -> None:
    with pytest.raises(ValueError, match=r"method: expected one of .*occlusion.*, got 'oclusion'; did you mean 'occlu"):
        method("oclusion")


def test_the_centre_is_largest_in_the_middle() -> None:
    map = METHODS["centre"].compute(nn.Identity(), torch.zeros(1, 3, 5, 9), [0])[0]
    assert map.argmax() == 2 * 9 + 4 and map.min() == 0

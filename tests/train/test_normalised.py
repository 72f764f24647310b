"""Bytes as the network reads them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from tests.train.sets.trees import picture
from zfcuda.data import Preprocess
from zfcuda.train.picture_statistics import colours, mean_picture
from zfcuda.train.preparation import ten_view
from zfcuda.train.sets import read_sets
from zfcuda.train.views.normalised import Normalised
from zfcuda.train.views.resized_crops import _recoloured

RGB = Preprocess(8, 10, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def pixels(count: int, size: int = 8) -> Tensor:
    made = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    return made.contiguous(memory_format=torch.channels_last)


def test_it_is_what_the_preprocess_does() -> None:
    normalised = Normalised()
    for count in (3, 5, 1, 0):
        given = pixels(count)
        for each in (given, given.contiguous()):
            found = normalised(RGB, each)
            assert torch.equal(found, RGB.normalized(given)) and found.dtype == torch.float32
            assert found.is_contiguous(memory_format=torch.channels_last)


def test_memory_is_used_again() -> None:
    normalised = Normalised()
    first = normalised(RGB, pixels(4))
    assert normalised(RGB, pixels(2)).data_ptr() == first.data_ptr()
    assert pickle.loads(pickle.dumps(normalised))(RGB, pixels(1)).shape == (1, 3, 8, 8)


def test_blue_comes_first_where_the_network_was_trained_so() -> None:
    caffe = Preprocess(8, 10, (0.1, 0.2, 0.3), (0.2, 0.25, 0.3), order="bgr")
    shown = picture(4, (10, 10))
    seen = torch.from_numpy(np.array(caffe.crop(shown))).permute(2, 0, 1)[None]
    assert torch.equal(Normalised()(caffe, seen), caffe(shown))


def test_each_of_ten_crops_has_its_own_mean() -> None:
    mean = 255 * torch.rand(3, 10, 10)
    known = Preprocess(8, 10, std=(1 / 255,) * 3, interpolation="bilinear", mean_image=mean)
    view = ten_view(known)
    shown = picture(3, (10, 10))
    whole = torch.from_numpy(np.array(shown)).permute(2, 0, 1) - mean
    seen = [view.crop(shown, number) for number in range(10)]
    given = torch.stack([each.pixels.contiguous() for each in seen]).contiguous(memory_format=torch.channels_last)
    found = view.images(given, torch.tensor([each.crop for each in seen]))
    for number, (top, left) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]):
        cut = whole[:, top : top + 8, left : left + 8]
        torch.testing.assert_close(found[number], cut)
        torch.testing.assert_close(found[number + 5], cut.flip(2))


def test_recolouring_is_pillows_where_nothing_is_clipped() -> None:
    shown = Image.fromarray((60 + 0.5 * np.asarray(picture(2, (30, 30)))).astype(np.uint8))
    for factors in ((0.8, 1.1, 0.9), (1.1, 0.7, 1.2), (1.0, 1.0, 1.0)):
        expected = shown
        for change, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
        ):
            expected = change(expected).enhance(factor)
        found = _recoloured(shown, *factors)
        assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 3  # which cuts off three times


@pytest.mark.parametrize("workers", [0, 2])
def test_means_are_of_all_pictures_that_can_be_read(workers: int) -> None:
    shown = [picture(number, (9, 9)) for number in range(40)]
    data = [(each, number % 2) for number, each in enumerate(shown)] + [("nowhere.png", 0)]
    source = read_sets((data, data[:2])).train
    values = torch.stack([torch.from_numpy(np.array(each)) for each in shown]).permute(0, 3, 1, 2).double()
    torch.testing.assert_close(mean_picture(source, 9, workers=workers), values.mean(0).float(), rtol=0, atol=0)
    mean, deviation = colours(source, 9, workers)
    torch.testing.assert_close(torch.tensor(mean), values.mean((0, 2, 3)).float() / 255)
    torch.testing.assert_close(torch.tensor(deviation), values.std((0, 2, 3), correction=0).float() / 255)


def test_a_mean_of_nothing_is_refused() -> None:
    data = [("nowhere.png", number % 2) for number in range(4)]
    with pytest.raises(ValueError, match="data: none of the training pictures can be read, such as item 0"):
        mean_picture(read_sets((data, data)).train, 9)

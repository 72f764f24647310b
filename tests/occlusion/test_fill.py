"""What covers the image where it is made of the image: its mean, its blur, noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.fake_gpu import fake_gpu
from tests.occlusion.incremental.definition import check, made_of
from zfcuda.occlusion.fill import FILLS, Filling

SHAPES = [(3, 23, 31), (1, 17, 12), (2, 1, 9)]


def image_of(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return (torch.randn(shape, generator=random, dtype=torch.float64) * 2 + 5).to(device, dtype)


def fill_of(image: Tensor, fill: Any, window: tuple[int, int] = (6, 4)) -> Tensor:
    return Filling(fill, image, window).of(image)


@pytest.fixture
def net(device: torch.device) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Flatten(1), nn.Linear(192, 5)
    ).to(device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fill", FILLS)
def test_is_the_closed_form(fill: str, shape: tuple, dtype: torch.dtype, device: torch.device) -> None:
    image = image_of(shape, device, dtype)
    found = fill_of(image, fill)
    assert (found.shape, found.dtype, found.device) == (image.shape, dtype, image.device)
    expected = made_of(image, fill, (6, 4)).expand_as(image)
    torch.testing.assert_close(found, expected.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("method", ["incremental", "batched"])
def test_maps_are_brute_force(
    method: str, fill: str, channels_last: bool, dtype: torch.dtype, net: nn.Module, device: torch.device
) -> None:
    image = image_of((1, 3, 23, 31), device, dtype)
    if channels_last:
        net, image = net.to(memory_format=torch.channels_last), image.to(memory_format=torch.channels_last)
    result = check(net.to(dtype), image, window=(7, 5), stride=(6, 7), fill=fill, method=method)
    assert result.fill == fill


def test_blur_does_not_darken_the_border(device: torch.device) -> None:
    flat = torch.full((2, 19, 13), 0.75, device=device)
    torch.testing.assert_close(fill_of(flat, "blur", (9, 13)), flat)


def test_blur_grows_with_the_window(device: torch.device) -> None:
    """Of one bright pixel, far from the border: a Gaussian whose deviation is half the window."""
    image = torch.zeros(1, 81, 81, device=device, dtype=torch.float64)
    image[0, 40, 40] = 1
    for window in [(4, 12), (12, 4), (8, 8)]:
        blurred = fill_of(image, "blur", window)[0]
        place = torch.arange(81, device=device, dtype=torch.float64) - 40
        torch.testing.assert_close(
            blurred.sum(1) @ place**2, torch.tensor((window[0] / 2) ** 2).to(image), rtol=1e-4, atol=0
        )
        torch.testing.assert_close(
            blurred.sum(0) @ place**2, torch.tensor((window[1] / 2) ** 2).to(image), rtol=1e-4, atol=0
        )


def test_noise_is_the_same_each_time_and_leaves_torchs_alone(device: torch.device) -> None:
    image = image_of((3, 64, 64), device)
    torch.manual_seed(1)
    first = fill_of(image, "noise")
    after = torch.rand(3)
    torch.manual_seed(2)
    assert torch.equal(first, fill_of(image, "noise"))
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))
    torch.testing.assert_close(first.mean((1, 2)), image.mean((1, 2)), atol=0.15, rtol=0)
    torch.testing.assert_close(first.std((1, 2)), image.std((1, 2)), atol=0.15, rtol=0)
    assert not torch.allclose(fill_of(image * 2, "noise"), first)


@pytest.mark.parametrize("fill", FILLS)
def test_nothing_waits_for_a_gpu(fill: str) -> None:
    filling = Filling(fill, image_of((3, 23, 31), torch.device("cpu")), (6, 4))
    with fake_gpu() as on_gpu:
        for cell in filling._make.__closure__ or ():  # the tables were made for the first image's device
            if isinstance(cell.cell_contents, Tensor):
                cell.cell_contents = on_gpu(cell.cell_contents)
        found = filling.of(on_gpu(torch.zeros(3, 23, 31)))
        assert found.device.type == "cuda" and found.shape == (3, 23, 31)


@pytest.mark.parametrize(
    ("fill", "recorded"),
    [
        *((fill, fill) for fill in FILLS),
        (0.1, 0.1),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        ([0.1, 0.2, 0.3], (0.1, 0.2, 0.3)),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.25, 0.5, 0.75])[:, None, None], (0.25, 0.5, 0.75)),
        (torch.zeros(3, 23, 31), "tensor"),
        (torch.zeros(31), "tensor"),
    ],
    ids=str,
)
def test_is_recorded_in_the_map_and_its_file(fill: Any, recorded: Any, net: nn.Module, tmp_path: Path) -> None:
    found = zfcuda.occlusion_map(net.cpu(), image_of((3, 23, 31), torch.device("cpu")), window=9, stride=9, fill=fill)
    assert found.fill == recorded
    found.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as file:
        assert np.array_equal(file["fill"], np.array(recorded))
    assert zfcuda.OcclusionMap.load(tmp_path / "map.npz").fill == recorded


@pytest.mark.parametrize("fill", ["gray", "Mean", ""])
def test_other_words_are_refused_with_those_that_there_are(fill: str, net: nn.Module) -> None:
    image = image_of((3, 23, 31), torch.device("cpu"))
    with pytest.raises(ValueError, match=rf"fill: expected .*'mean', 'blur', 'noise'.*, got {fill!r}"):
        zfcuda.occlusion_map(net.cpu(), image, window=9, fill=fill)

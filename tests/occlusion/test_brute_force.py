"""Brute force: what it runs, and what its first batch has to show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import zfcuda
from tests.occlusion.small import Named
from zfcuda.memory.forward import Taken
from zfcuda.occlusion.brute_force import BruteForce, chunk_size
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.watched_model import WatchedModel
from zfcuda.occlusion.windows import grid

WINDOWS = {"window": 8, "stride": 4, "method": "batched"}  # 5 x 5 of 24 x 24


@pytest.fixture
def image(device: torch.device) -> Tensor:
    return torch.randn(3, 24, 24, device=device)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each forward runs from now on."""
    counted, real = [], WatchedModel.__call__

    def count(self: WatchedModel, images: Tensor) -> Tensor:
        if type(images) is Tensor:  # not a stand-in
            counted.append(len(images))
        return real(self, images)

    monkeypatch.setattr(WatchedModel, "__call__", count)
    return counted


def test_two_images_more_than_windows(image: Tensor, sizes: list[int]) -> None:
    """The whole image alone, and once more in company."""
    zfcuda.occlusion_map(Named().to(image.device).eval(), image, **WINDOWS)
    assert sizes == ([1, 16, 10] if image.device.type == "cpu" else [1, 26])


def test_memory_is_measured_once(image: Tensor, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = Named().to(image.device).eval()
    first = zfcuda.occlusion_map(model, image, **WINDOWS)

    class Never:
        def __init__(self, image: Tensor) -> None:
            raise AssertionError("measured again")

    monkeypatch.setattr("zfcuda.occlusion.watched_model.ForwardMemory", Never)
    sizes.clear()
    assert torch.equal(zfcuda.occlusion_map(model, image, **WINDOWS).logits, first.logits)
    assert len(sizes) == (3 if image.device.type == "cpu" else 2)
    with pytest.raises(AssertionError, match="measured again"):  # images of another size take something else
        zfcuda.occlusion_map(model, image[:, :20], **WINDOWS)


class Random(Named):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand((), device=x.device)


@pytest.mark.parametrize("budget", [None, 1])
@pytest.mark.parametrize("method", ["batched", "auto", "incremental"])
def test_random_models_are_refused(image: Tensor, method: str, budget: int | None) -> None:
    with pytest.raises(ValueError, match="it is random even in eval mode"):
        zfcuda.occlusion_map(
            Random().to(image.device).eval(), image, **{**WINDOWS, "method": method}, memory_budget=budget
        )


class OneAtATime(Named):
    def forward(self, x: Tensor) -> Tensor:
        if type(x) is Tensor and len(x) != 1:  # a stand-in has no such number
            raise ValueError("one image, please")
        return super().forward(x)


class Mean(Named):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class First(Named):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:1]).expand(len(x), -1)


class Last(Named):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[-1:]).expand(len(x), -1)


@pytest.mark.parametrize("kind", [OneAtATime, Mean, First, Last])
@pytest.mark.parametrize("layer", [None, "conv"])
def test_without_the_proof_the_first_batch_tells(
    kind: type[Named], layer: str | None, image: Tensor, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was wrongly taken for independent is still run one image at a time."""
    monkeypatch.setattr(WatchedModel, "coupling", lambda self, image: None)
    model = kind().to(image.device).eval()
    found = zfcuda.occlusion_map(model, image, **WINDOWS, layer=layer)
    assert sizes[2:] == [1] * 26  # the whole image again, to tell a random model from this one
    monkeypatch.setattr(WatchedModel, "coupling", lambda self, image: "it is known")
    alone = zfcuda.occlusion_map(model, image, **WINDOWS, layer=layer)
    torch.testing.assert_close(found.logits, alone.logits)
    if layer is not None:
        torch.testing.assert_close(found.activity, alone.activity)


@pytest.mark.parametrize("chunk", [1, 2, 5, 40])
@pytest.mark.parametrize("sooner", [False, True])
def test_all_windows_in_their_order(image: Tensor, chunk: int, sooner: bool) -> None:
    origins = grid((24, 24), (8, 8), (4, 4)).flatten(0, 1).to(image.device)
    occluded = OccludedImage(image, torch.zeros_like(image), origins, (8, 8))
    model, told = WatchedModel(Named().to(image.device).eval(), "conv", None), []
    with torch.no_grad():
        base = model(image[None])[0]
        expected, activity = model(occluded.batch(slice(None))), model.activity
        found = BruteForce(model, occluded, base, chunk, told.append).all(sooner=sooner)
    torch.testing.assert_close(found.logits, expected)
    torch.testing.assert_close(found.activity, activity)
    assert sum(told) == 25 and max(told) <= chunk and (told[0] == 1 or not sooner)


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_scarce_memory(image: Tensor, most: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory runs out in the first batch or later, fewer run together, and no window is lost or told twice."""
    model = Named().to(image.device).eval()
    expected = zfcuda.occlusion_map(model, image, **WINDOWS).logits
    forward: Callable[[Tensor], Tensor] = model.forward

    def scarce(x: Tensor) -> Tensor:
        if type(x) is Tensor and len(x) > most:
            raise torch.OutOfMemoryError("out of memory")
        return forward(x)

    monkeypatch.setattr(model, "forward", scarce)
    sizes.clear()
    torch.testing.assert_close(zfcuda.occlusion_map(model, image, **WINDOWS).logits, expected)
    assert max(size for size in sizes if size <= most) > (most - 1) // 2


def test_the_whole_image_lies_where_it_was_put(image: Tensor) -> None:
    origins = torch.tensor([[0, 0], [20, 20], [9, 3]], device=image.device)
    occluded = OccludedImage(image, torch.zeros_like(image), origins, (8, 8))
    windows = torch.tensor([2, 0, 1], device=image.device)
    for place in range(4):
        images = occluded.beside_the_whole(windows, place)
        assert torch.equal(images[place], image)
        others = torch.cat([images[:place], images[place + 1 :]])
        assert torch.equal(others, occluded.batch(windows))


@pytest.mark.parametrize(
    ("taken", "budget", "expected"),
    [
        (Taken(3 << 20, 2 << 20, 0), 1 << 30, 16),  # small maps
        (Taken(10 << 20, 9 << 20, 0), 1 << 30, 7),  # EfficientNet-B0's
        (Taken(80 << 20, 70 << 20, 0), 1 << 30, 1),  # larger than is good for any batch
        (Taken(10 << 20, 9 << 20, 0), 40 << 20, 2),  # the budget
        (Taken(10 << 20, 9 << 20, 0), 1, 1),
        (Taken(0, 0, 0), 1 << 30, 16),
        (None, 1 << 30, 1),
    ],
)
def test_as_many_as_are_good_for_a_cpu_and_fit(taken: Taken | None, budget: int, expected: int) -> None:
    model = WatchedModel(Named(), None, None)
    model.memory = taken
    assert chunk_size(model, torch.zeros(3, 24, 24), budget) == expected
